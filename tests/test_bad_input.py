"""What users get wrong, and the message they get: at once where the call shows it, at set-up where the run does."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LearningRateMonitor, StochasticWeightAveraging

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.neighbours import remarks
from tests.identity.scenarios import Net, Scheduled
from tests.test_no_trace import loaders, trainer_of

NAN, INF = math.nan, math.inf
RANGE = r"need 0 < lr_min < lr_max < inf \(log scale\), for example lr_min=1e-4, lr_max=1.0"
LAMBDA = r"lambda of eqs. 11 and 12 lies in \(0, 1\]"
LIST = r"need a list of rates, or None to search"


def number(name: str, value: object) -> tuple[dict[str, object], type[Exception], str]:
    return {name: value}, TypeError, rf"{name}=.*: need a number, not {type(value).__name__}"


def whole(name: str, value: object) -> tuple[dict[str, object], type[Exception], str]:
    return {name: value}, TypeError, rf"{name}=.*: need a whole number, not {type(value).__name__}"


def least(name: str, value: int, bound: int) -> tuple[dict[str, object], type[Exception], str]:
    return {name: value}, ValueError, rf"{name}={value}: need at least {bound}"


def choice(name: str, value: object, first: str) -> tuple[dict[str, object], type[Exception], str]:
    return {name: value}, ValueError, rf"{name}=.*: choose one of '{first}', "


def name_of(name: str, value: object) -> tuple[dict[str, object], type[Exception], str]:
    return {name: value}, TypeError, rf"{name}=.*: need a name, not {type(value).__name__}"


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    # the range
    ({"lr_min": 0.0}, ValueError, rf"lr_min=0.0, lr_max=None: {RANGE}"),
    ({"lr_min": -1e-4}, ValueError, RANGE),
    ({"lr_min": NAN}, ValueError, RANGE),
    ({"lr_max": NAN}, ValueError, RANGE),
    ({"lr_max": INF}, ValueError, RANGE),
    ({"lr_max": 0.0}, ValueError, RANGE),
    ({"lr_min": 0.1, "lr_max": 0.1}, ValueError, rf"lr_min=0.1, lr_max=0.1: {RANGE}"),
    ({"lr_min": 0.1, "lr_max": 0.01}, ValueError, rf"lr_min=0.1, lr_max=0.01: {RANGE}"),
    ({"lr_min": INF}, ValueError, rf"lr_min=inf, lr_max=None: {RANGE}"),
    ({"lr_min": 2.0, "lr_max": 1.0}, ValueError, rf"lr_min=2.0, lr_max=1.0: {RANGE}"),
    number("lr_min", "0.1"),
    number("lr_max", True),
    number("lr_max", [1.0]),
    # lambda
    ({"kappa_lambda": 0.0}, ValueError, rf"kappa_lambda=0.0: {LAMBDA}"),
    ({"kappa_lambda": -0.5}, ValueError, LAMBDA),
    ({"kappa_lambda": 1.01}, ValueError, LAMBDA),
    ({"kappa_lambda": NAN}, ValueError, LAMBDA),
    number("kappa_lambda", "1"),
    # counts
    least("n_initial", 0, 1),
    least("n_initial", -2, 1),
    least("n_iterations", -1, 0),
    least("every_n_epochs", 0, 1),
    least("start_epoch", -1, 0),
    whole("n_initial", 2.0),
    whole("n_initial", True),
    whole("n_iterations", "10"),
    whole("n_later", 2.0),
    whole("min_steps", "8"),
    whole("score_samples", 512.0),
    least("n_later", 0, 1),
    least("min_steps", 0, 1),
    least("score_samples", 0, 1),
    whole("every_n_epochs", 1.5),
    whole("start_epoch", None),
    whole("stop_epoch", 3.0),
    whole("stop_epoch", True),
    whole("seed", 0.0),
    whole("seed", None),
    ({"seed": -1}, ValueError, r"seed=-1: a seed is not negative"),
    ({"stop_epoch": 0}, ValueError, r"stop_epoch=0, start_epoch=0: no epoch would be searched; .* None for none"),
    ({"start_epoch": 5, "stop_epoch": 5}, ValueError, r"stop_epoch=5, start_epoch=5: no epoch would be searched"),
    ({"start_epoch": 5, "stop_epoch": 2}, ValueError, r"stop_epoch=2, start_epoch=5: no epoch would be searched"),
    # words
    choice("search", "bayes", "gamma"),
    choice("search", "Gamma", "gamma"),
    choice("search", ["gamma"], "gamma"),
    choice("search", "list", "gamma"),  # that is what candidates= is for
    choice("objective_mode", "upwards", "min"),
    choice("objective_mode", None, "min"),
    choice("commit", "move", "copy"),
    choice("commit", True, "copy"),
    choice("lr_schedulers", "ignore", "override"),
    choice("overhead_unit", "minutes", "passes"),
    choice("overhead_unit", None, "passes"),
    choice("anchor", "sine", "auto"),
    choice("anchor", True, "auto"),
    choice("rule", "worst", "best"),
    choice("policy", "epoch-wise", "epochwise"),
    choice("policy", "", "epochwise"),
    ({"policy": None}, TypeError, r"policy=None: need a name or a SearchPolicy, not NoneType"),
    ({"policy": {"name": "thesis"}}, TypeError, r"policy=.*: need a name or a SearchPolicy, not dict"),
    ({"guard": "yes"}, TypeError, r"guard='yes': need True or False"),
    ({"guard": 1}, TypeError, r"guard=1: need True or False"),
    # shares
    *(
        ({name: value}, ValueError, rf"{name}={value}: a share of an epoch lies above 0 and up to 1")
        for name in ("first_fraction", "fraction", "drop_at")
        for value in (0.0, -0.5, 1.5, NAN, INF)
    ),
    *(number(name, "half") for name in ("first_fraction", "fraction", "drop_at", "region", "max_overhead")),
    *(number(name, True) for name in ("first_fraction", "fraction", "drop_at", "region", "max_overhead")),
    *(
        ({"region": value}, ValueError, rf"region={value}: a factor above 1, or None for the whole range")
        for value in (1.0, 0.5, -2.0, INF, NAN)
    ),
    *(
        ({"max_overhead": value}, ValueError, rf"max_overhead={value}: the extra passes .*0 or more, for example 1.0")
        for value in (-0.1, INF, NAN)
    ),
    ({"when": "sometimes"}, ValueError, r"when='sometimes': choose 'every', 'first', or a list of shares of the run"),
    ({"when": []}, TypeError, r"when=\[\]: need 'every', 'first', or a list of shares of the run such as \[0.5\]"),
    ({"when": 0.5}, TypeError, r"when=0.5: need 'every', 'first', or a list"),
    ({"when": [0.5, 1.0]}, ValueError, r"when=\[0.5, 1.0\]: 1.0 is no share of the run; each lies between 0 and 1"),
    ({"when": [0.0]}, ValueError, r"0.0 is no share of the run"),
    ({"when": [NAN]}, ValueError, r"nan is no share of the run"),
    ({"when": ["half"]}, TypeError, r"when='half': need a number, not str"),
    number("errors", "2"),
    number("later_share", "0.1"),
    *(({"errors": value}, ValueError, rf"errors={value}: paired standard errors, 0 or more") for value in (-1.0, NAN)),
    *(
        ({"later_share": value}, ValueError, rf"later_share={value}: passes for each epoch, above 0; None for no limit")
        for value in (0.0, -0.1, INF, NAN)
    ),
    # pairs
    (
        {"lr_schedulers": "scale", "anchor": "cosine"},
        ValueError,
        r"'scale', anchor='cosine': .* would both move the rate",
    ),
    ({"lr_schedulers": "override", "anchor": "scheduler"}, ValueError, r"set aside cannot be the anchor; leave .* out"),
    # names
    name_of("objective", 3),
    name_of("objective", ["kappa"]),
    name_of("monitor_loss", 1),
    name_of("monitor_loss", Path("val_loss")),
    name_of("monitor_accuracy", ["val_acc"]),
    name_of("history_file", 1),
    name_of("history_file", b"history.csv"),
    ({"objective": ""}, ValueError, r"objective='': a name is not empty"),
    ({"monitor_loss": ""}, ValueError, r"monitor_loss='': a name is not empty"),
    ({"monitor_accuracy": ""}, ValueError, r"monitor_accuracy='': a name is not empty"),
    ({"history_file": ""}, ValueError, r"history_file='': a name is not empty"),
    ({"history_file": "."}, ValueError, r"history_file='.': is a folder; name a file, .jsonl or .csv"),
    ({"progress": "yes"}, TypeError, r"progress='yes': need True or False"),
    ({"progress": None}, TypeError, r"progress=None: need True or False"),
    ({"progress": 1}, TypeError, r"progress=1: need True or False"),
    # candidates
    ({"candidates": []}, ValueError, rf"candidates=\[\]: {LIST}"),
    ({"candidates": ()}, ValueError, LIST),
    ({"candidates": "0.1"}, ValueError, LIST),
    ({"candidates": 0.1}, ValueError, rf"candidates=0.1: {LIST}"),
    ({"candidates": {0.1, 0.2}}, ValueError, LIST),
    ({"candidates": np.array([0.1])}, ValueError, LIST),
    ({"candidates": [0.1, 0.0]}, ValueError, r"candidates=\[0.1, 0.0\]: 0.0 is no rate; each is above 0 and finite"),
    ({"candidates": [-0.1]}, ValueError, r"-0.1 is no rate"),
    ({"candidates": [NAN]}, ValueError, r"nan is no rate"),
    ({"candidates": (0.1, INF)}, ValueError, r"inf is no rate"),
    ({"candidates": [0.1, "0.2"]}, TypeError, r"candidates='0.2': need a number, not str"),
    ({"candidates": [0.1, None]}, TypeError, r"candidates=None: need a number, not NoneType"),
    ({"candidates": [True]}, TypeError, r"candidates=True: need a number, not bool"),
    # the call
    ({"lr": 0.1}, TypeError, r"unexpected keyword argument 'lr'"),
]


@pytest.mark.parametrize(
    ("arguments", "error", "message"), BAD, ids=[", ".join(f"{k}={v!r}" for k, v in bad[0].items()) for bad in BAD]
)
def test_a_bad_argument_is_refused_at_once(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        GammaLRSearch(**arguments)


def test_every_argument_has_a_bad_value_in_the_table() -> None:
    tried = {name for arguments, _, _ in BAD for name in arguments}
    # a loader, or a method's name, can only be judged when there is a run
    assert set(inspect.signature(GammaLRSearch).parameters) - {"score_dataloader"} <= tried


def test_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="positional argument"):
        GammaLRSearch("thesis", 1e-3)  # type: ignore[misc]
    with pytest.raises(TypeError, match=r"policy=0.001: need a name or a SearchPolicy, not float"):
        GammaLRSearch(1e-3)  # type: ignore[arg-type]


AT_SET_UP: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"score_dataloader": 42}, TypeError, r"score_dataloader=42\): need a loader, or the name of a method .* not int"),
    ({"score_dataloader": []}, ValueError, r"score_dataloader=\[\]\): the loader has no batch to score on"),
    ({"score_dataloader": "nothing"}, ValueError, r"'nothing'\): neither the data module nor the module has a method"),
    ({"score_dataloader": "python_number"}, TypeError, r"'python_number'\): need a loader, .* not int"),
    ({"anchor": "scheduler"}, ValueError, r"anchor='scheduler'\): the module configures no LR scheduler"),
    ({"monitor_loss": "val_los"}, ValueError, r"monitor_loss='val_los'\): no such metric was logged .*'val_loss'"),
    ({"monitor_accuracy": "acc"}, ValueError, r"monitor_accuracy='acc'\): no such metric was logged .*'val_acc'"),
    ({"objective": "val_f1"}, ValueError, r"objective='val_f1'\): no such metric was logged .*'val_loss'"),
]


class Numbered(Net):
    def python_number(self) -> int:
        return 3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("arguments", "error", "message"), AT_SET_UP, ids=[str(bad[0]) for bad in AT_SET_UP])
def test_what_does_not_fit_the_run_is_refused_in_its_first_epoch(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    trainer = trainer_of(GammaLRSearch(progress=False, **arguments))
    with pytest.raises(error, match=message):
        trainer.fit(Numbered(), *loaders())
    assert trainer.current_epoch == 0


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_is_refused_is_named() -> None:
    with pytest.raises(ValueError, match=r"lr_schedulers='error'\): the module configures StepLR. Remove the LR"):
        trainer_of(GammaLRSearch(lr_schedulers="error")).fit(Scheduled("step"), *loaders())


@pytest.mark.filterwarnings("ignore")
def test_two_searches_in_one_run_are_refused() -> None:
    with pytest.raises(RuntimeError, match="more than one stateful callback of type `GammaLRSearch`"):
        trainer_of(GammaLRSearch(), GammaLRSearch())


@pytest.mark.filterwarnings("ignore")
def test_a_start_beyond_the_run_is_said() -> None:
    with pytest.warns(UserWarning, match=r"no epoch is searched: start_epoch=20, .* the run has 2 epochs, from 0"):
        trainer_of(GammaLRSearch(start_epoch=20)).fit(Net(), *loaders())


@pytest.mark.parametrize(
    ("callback", "scales", "said"),
    [
        (LearningRateMonitor("epoch"), False, ["logging_interval='step' logs the rates that are trained at"]),
        (LearningRateMonitor("step"), False, []),
        (StochasticWeightAveraging(0.1), False, ["lr_schedulers='scale' lets the search multiply it instead"]),
        (StochasticWeightAveraging(0.1), True, []),
    ],
)
def test_neighbours_that_need_a_word(callback: Callback, scales: bool, said: list[str]) -> None:
    trainer = trainer_of(callback, logger=True)
    found = list(remarks(trainer, scales=scales, keeps_history=False))
    assert len(found) == len(said)
    assert all(words in remark for words, remark in zip(said, found, strict=True))


def test_processes_that_give_no_history_back_are_named() -> None:
    trainer = trainer_of(strategy="ddp_spawn", devices=2)
    trainer.strategy._configure_launcher()
    assert "history_file='history.jsonl' keeps it" in next(remarks(trainer, scales=False, keeps_history=False))
    assert list(remarks(trainer, scales=False, keeps_history=True)) == []
