"""Arguments that the settings decide on: outside their domain, in contradiction, and as they are kept."""

from __future__ import annotations

import dataclasses
import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.policy import SearchPolicy, make_policy
from lightning_gammabo.scheduler.settings import SEARCH_NAMES, SearchSettings

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


def made(**arguments: Any) -> SearchSettings:
    """The callback's defaults, some of them set otherwise."""
    policy = {field.name for field in dataclasses.fields(SearchPolicy)}
    parameters = inspect.signature(GammaLRSearch).parameters
    plain = {
        field.name: arguments.get(field.name, parameters[field.name].default)
        for field in dataclasses.fields(SearchSettings)
    }
    overrides = {name: value for name, value in arguments.items() if name in policy}
    return SearchSettings(**{**plain, "policy": make_policy("epochwise", overrides)})


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
    ({"lr_min": 2.0, "lr_max": 1.0}, ValueError, rf"lr_min=2.0, lr_max=1.0: {RANGE}"),
    ({"lr_max": -1.0}, ValueError, rf"lr_min=None, lr_max=-1.0: {RANGE}"),
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
    least("every_n_epochs", 0, 1),
    least("start_epoch", -1, 0),
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
    ({"report_file": ""}, ValueError, r"report_file='': a name is not empty"),
    name_of("report_file", 1),
    ({"log_figures": "tensorboard"}, TypeError, r"log_figures='tensorboard': need True or False"),
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
    # what searches may cost
    number("max_overhead", "1"),
    number("max_overhead", True),
    (
        {"max_overhead": -0.1},
        ValueError,
        r"max_overhead=-0.1: the extra passes \(or seconds\) for each plain one, 0 or ",
    ),
    ({"max_overhead": NAN}, ValueError, r"max_overhead=nan: .* None for no cap"),
    ({"max_overhead": INF}, ValueError, r"max_overhead=inf: .* None for no cap"),
    choice("overhead_unit", "minutes", "passes"),
    choice("overhead_unit", None, "passes"),
    # two that contradict each other
    *(
        (
            {"lr_schedulers": "scale", "anchor": anchor},
            ValueError,
            rf"lr_schedulers='scale', anchor='{anchor}': .* both",
        )
        for anchor in ("cosine", "linear", "plateau")
    ),
    (
        {"lr_schedulers": "override", "anchor": "scheduler"},
        ValueError,
        r"lr_schedulers='override', anchor='scheduler': .* choose anchor='cosine'",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "error", "message"), BAD, ids=[", ".join(f"{k}={v!r}" for k, v in bad[0].items()) for bad in BAD]
)
def test_a_bad_argument_is_refused_at_once(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        made(**arguments)


def test_every_setting_has_a_bad_value_in_the_table() -> None:
    tried = {name for arguments, _, _ in BAD for name in arguments}
    # what scores candidates may be any loader, and a policy has a table of its own
    assert {field.name for field in dataclasses.fields(SearchSettings)} - {"policy", "score_dataloader"} <= tried


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
        {"policy": SearchPolicy(name="mine", n_later=2), "n_later": 3},
        {"lr_min": 1, "lr_max": 2},
        {"lr_min": np.float64(1e-3)},
        {"lr_min": 3.0},
        {"lr_max": 1e-6},
        {"kappa_lambda": 1},
        {"n_initial": 1, "n_iterations": 0},
        {"start_epoch": 4, "stop_epoch": 5},
        {"candidates": (0.1, 5)},
        {"objective": "val_f1", "objective_mode": "min"},
        {"history_file": Path("history.csv")},
        {"max_overhead": 0, "overhead_unit": "seconds"},
        {"lr_schedulers": "scale", "anchor": "scheduler"},
        {"lr_schedulers": "override", "anchor": "cosine"},
        {"score_dataloader": "score_dataloader"},
        {"report_file": Path("report.html"), "log_figures": True},
        *({"search": name} for name in SEARCH_NAMES),
    ],
)
def test_good_arguments_are_stored_as_given(arguments: dict[str, Any]) -> None:
    callback = GammaLRSearch(**arguments)
    for name, parameter in inspect.signature(GammaLRSearch).parameters.items():
        assert getattr(callback, name) is arguments.get(name, parameter.default)


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="lr_min"):
        made().lr_min = 0.1  # type: ignore[misc]


def test_what_is_ranked_is_the_policys() -> None:
    assert made().objective == "kappa"
    assert made(objective="val_f1").objective == "val_f1"


def test_fields_of_a_policy_that_are_not_named_are_the_policys() -> None:
    callback = GammaLRSearch("thesis")
    overridable = [field.name for field in dataclasses.fields(SearchPolicy) if field.name != "name"]
    assert [getattr(callback, name) for name in overridable] == [None] * len(overridable)
