"""Arguments of the callback: outside their domain, in contradiction, and stored as given."""

from __future__ import annotations

import inspect
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_gammabo import GammaLRSearch, Kappa, ListSampler, SearchPolicy
from lightning_gammabo.bayesopt import SAMPLER_NAMES
from lightning_gammabo.scheduler.arguments import Cap, SearchArguments, check_paths

NAN, INF = math.nan, math.inf
RANGE = r"need 0 < min_lr < max_lr < inf \(log scale\), for example min_lr=1e-4, max_lr=1.0"
CAP = r"give extra passes per plain pass such as 0.5, a share of the time such as '30%s', or None for no cap"


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


def path_of(name: str, value: object) -> tuple[dict[str, object], type[Exception], str]:
    return {name: value}, TypeError, rf"{name}=.*: need a path, not {type(value).__name__}"


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    # the range
    ({"min_lr": 0.0}, ValueError, rf"min_lr=0.0, max_lr=None: {RANGE}"),
    ({"min_lr": -1e-4}, ValueError, RANGE),
    ({"min_lr": NAN}, ValueError, RANGE),
    ({"max_lr": NAN}, ValueError, RANGE),
    ({"max_lr": INF}, ValueError, RANGE),
    ({"max_lr": 0.0}, ValueError, RANGE),
    ({"min_lr": 0.1, "max_lr": 0.1}, ValueError, rf"min_lr=0.1, max_lr=0.1: {RANGE}"),
    ({"min_lr": 0.1, "max_lr": 0.01}, ValueError, rf"min_lr=0.1, max_lr=0.01: {RANGE}"),
    ({"min_lr": 2.0, "max_lr": 1.0}, ValueError, rf"min_lr=2.0, max_lr=1.0: {RANGE}"),
    ({"max_lr": -1.0}, ValueError, rf"min_lr=None, max_lr=-1.0: {RANGE}"),
    number("min_lr", "0.1"),
    number("max_lr", True),
    number("max_lr", [1.0]),
    whole("seed", 0.0),
    whole("seed", None),
    ({"seed": -1}, ValueError, r"seed=-1: a seed is not negative"),
    # words
    choice("sampler", "bayes", "gamma"),
    choice("sampler", "Gamma", "gamma"),
    choice("sampler", ["gamma"], "gamma"),
    choice("sampler", "list", "gamma"),  # that is what ListSampler is for
    ({"mode": "upwards"}, ValueError, r"mode='upwards': the direction of a metric is 'min' or 'max'; None where"),
    ({"mode": "min"}, ValueError, r"objective='kappa', mode='min': mode is the direction of a logged metric; leave it"),
    choice("log_metrics", True, "epoch"),
    choice("commit", "move", "copy"),
    choice("commit", True, "copy"),
    choice("lr_schedulers", "ignore", "override"),
    # names
    ({"objective": 3}, TypeError, r"objective=3: need a name, a Kappa or a CustomObjective, not int"),
    ({"objective": ["kappa"]}, TypeError, r"need a name, a Kappa or a CustomObjective, not list"),
    ({"objective": "val_score"}, ValueError, r"objective='val_score': its name does not tell .* give mode='min' or "),
    (
        {"objective": "val_loss", "mode": "max"},
        ValueError,
        r"objective='val_loss', mode='max': by its name it is better when it is lower. Choose mode='min', or a Custom",
    ),
    name_of("monitor_loss", 1),
    name_of("monitor_loss", Path("val_loss")),
    name_of("monitor_accuracy", ["val_acc"]),
    path_of("history_file", 1),
    path_of("history_file", b"history.csv"),
    path_of("report", 1),
    (
        {"history_file": "history.json"},
        ValueError,
        r"history_file='history.json': ends in '.json'; name a file that en",
    ),
    ({"history_file": "/"}, ValueError, r"history_file='/': is a folder; name a file that ends in .jsonl or .csv"),
    ({"report": "report.pdf"}, ValueError, r"report='report.pdf': ends in '.pdf'; name a file that ends in .html or "),
    ({"objective": ""}, ValueError, r"objective='': name one of "),
    ({"monitor_loss": ""}, ValueError, r"monitor_loss='': a name is not empty"),
    ({"monitor_accuracy": ""}, ValueError, r"monitor_accuracy='': a name is not empty"),
    (
        {"monitor_loss": "val_acc"},
        ValueError,
        r"monitor_loss='val_acc': .* better when it is higher, so it is no loss\. Le",
    ),
    (
        {"monitor_accuracy": "val_nll"},
        ValueError,
        r"monitor_accuracy='val_nll': .* lower, so it is no accuracy\. .*rank",
    ),
    ({"history_file": ""}, ValueError, r"history_file='': a name is not empty"),
    ({"report": ""}, ValueError, r"report='': a name is not empty"),
    ({"log_figures": "tensorboard"}, TypeError, r"log_figures='tensorboard': need True or False"),
    ({"progress": "yes"}, TypeError, r"progress='yes': need True or False"),
    ({"progress": None}, TypeError, r"progress=None: need True or False"),
    ({"progress": 1}, TypeError, r"progress=1: need True or False"),
    # what searches may cost
    ({"max_overhead": "1"}, ValueError, rf"max_overhead='1': {CAP}"),
    ({"max_overhead": "30 %"}, ValueError, rf"max_overhead='30 %': {CAP}"),
    ({"max_overhead": True}, TypeError, rf"max_overhead=True: need a number or a word, not bool; {CAP}"),
    ({"max_overhead": [1]}, TypeError, rf"need a number or a word, not list; {CAP}"),
    ({"max_overhead": -0.1}, ValueError, rf"max_overhead=-0.1: {CAP}"),
    ({"max_overhead": NAN}, ValueError, rf"max_overhead=nan: {CAP}"),
    ({"max_overhead": INF}, ValueError, rf"max_overhead=inf: {CAP}"),
    # two that contradict each other
    *(
        (
            {"lr_schedulers": "scale", "policy": SearchPolicy(annealing=annealing)},
            ValueError,
            rf"lr_schedulers='scale', annealing='{annealing}': .* both",
        )
        for annealing in ("cosine", "linear", "plateau")
    ),
    (
        {"lr_schedulers": "override", "policy": SearchPolicy(annealing="scheduler")},
        ValueError,
        r"lr_schedulers='override', annealing='scheduler': .* choose annealing='cosine'",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "error", "message"), BAD, ids=[", ".join(f"{k}={v!r}"[:60] for k, v in bad[0].items()) for bad in BAD]
)
def test_a_bad_argument_is_refused_at_once(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        GammaLRSearch(**arguments)


def test_every_argument_has_a_bad_value_in_the_table() -> None:
    tried = {name for arguments, _, _ in BAD for name in arguments}
    # what scores candidates may be any loader
    assert set(SearchArguments.__annotations__) - {"val_dataloaders"} <= tried


def test_what_a_fit_reads_are_the_arguments_of_the_callback() -> None:
    assert list(SearchArguments.__annotations__) == list(inspect.signature(GammaLRSearch).parameters)


@pytest.mark.parametrize(
    ("given", "cap"), [(None, Cap(None)), (1, Cap(1.0)), (0.0, Cap(0.0)), ("30%s", Cap(0.3, "seconds")),
                       (" 12.5 % s ", Cap(0.125, "seconds"))]
)  # fmt: skip
def test_a_cap_is_read_in_passes_or_in_seconds(given: float | str | None, cap: Cap) -> None:
    assert Cap.parse(given) == cap


def test_arguments_but_the_policy_are_named() -> None:
    assert GammaLRSearch("once").policy == "once"
    with pytest.raises(TypeError, match=r"policy=0.001: need a name or a SearchPolicy, not float"):
        GammaLRSearch(1e-3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="positional argument"):
        GammaLRSearch("once", 1e-3)  # type: ignore[misc]
    with pytest.raises(TypeError, match="unexpected keyword argument 'lr'"):
        GammaLRSearch(lr=0.1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"policy": "thesis"},
        {"policy": SearchPolicy(base="once", later_candidates=3)},
        {"min_lr": 1, "max_lr": 2},
        {"min_lr": np.float64(1e-3)},
        {"min_lr": 3.0},
        {"max_lr": 1e-6},
        {"objective": Kappa(0.5)},
        {"sampler": ListSampler((0.1, 5))},
        {"objective": "val_f1", "mode": "min"},
        {"objective": "val_f1"},
        {"history_file": Path("history.csv")},
        {"max_overhead": "30%s"},
        {"lr_schedulers": "scale", "policy": SearchPolicy(annealing="scheduler")},
        {"lr_schedulers": "override", "policy": SearchPolicy(annealing="cosine")},
        {"val_dataloaders": "val_dataloaders"},
        {"report": Path("report.html"), "log_figures": True},
        *({"sampler": name} for name in SAMPLER_NAMES),
    ],
)
def test_good_arguments_are_stored_as_given(arguments: dict[str, Any]) -> None:
    callback = GammaLRSearch(**arguments)
    for name, parameter in inspect.signature(GammaLRSearch).parameters.items():
        assert getattr(callback, name) is arguments.get(name, parameter.default)


def test_files_whose_folder_cannot_hold_them_are_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    check_paths(GammaLRSearch(report=str(tmp_path / "new" / "report.html"), history_file="history.csv"))
    with pytest.raises(ValueError, match=r"report='.*x\.html'\): .*taken is no folder; name another file"):
        check_paths(GammaLRSearch(report=str(tmp_path / "taken" / "x.html")))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match=r"history_file='.*h\.csv'\): .* may not be written to; name another file"):
        check_paths(GammaLRSearch(history_file=str(tmp_path / "h.csv")))
