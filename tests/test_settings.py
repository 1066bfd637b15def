"""Every argument of GammaLRSearch outside its domain, and what the message says."""

from __future__ import annotations

import dataclasses
import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.settings import SEARCH_NAMES, SearchSettings

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
    ({"lr_min": 0.0}, ValueError, rf"lr_min=0.0, lr_max=1.0: {RANGE}"),
    ({"lr_min": -1e-4}, ValueError, RANGE),
    ({"lr_min": NAN}, ValueError, RANGE),
    ({"lr_max": NAN}, ValueError, RANGE),
    ({"lr_max": INF}, ValueError, RANGE),
    ({"lr_max": 0.0}, ValueError, RANGE),
    ({"lr_min": 0.1, "lr_max": 0.1}, ValueError, rf"lr_min=0.1, lr_max=0.1: {RANGE}"),
    ({"lr_min": 0.1, "lr_max": 0.01}, ValueError, rf"lr_min=0.1, lr_max=0.01: {RANGE}"),
    ({"lr_min": 2.0}, ValueError, rf"lr_min=2.0, lr_max=1.0: {RANGE}"),
    number("lr_min", "0.1"),
    number("lr_max", None),
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
    whole("n_iterations", None),
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
    choice("search", None, "gamma"),
    choice("search", ["gamma"], "gamma"),
    choice("search", "list", "gamma"),  # that is what candidates= is for
    choice("objective_mode", "upwards", "min"),
    choice("objective_mode", None, "min"),
    choice("commit", "move", "copy"),
    choice("commit", True, "copy"),
    choice("lr_schedulers", "ignore", "override"),
    choice("lr_schedulers", None, "override"),
    # names
    name_of("objective", None),
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
    assert set(inspect.signature(GammaLRSearch).parameters) <= tried


def test_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="positional argument"):
        GammaLRSearch(1e-3)  # type: ignore[misc]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"lr_min": 1, "lr_max": 2},
        {"lr_min": np.float64(1e-3)},
        {"kappa_lambda": 1},
        {"n_initial": 1, "n_iterations": 0},
        {"start_epoch": 4, "stop_epoch": 5},
        {"candidates": (0.1, 5)},
        {"objective": "val_f1", "objective_mode": "min"},
        {"history_file": Path("history.csv")},
        {"report_file": Path("report.html"), "log_figures": True},
        *({"search": name} for name in SEARCH_NAMES),
    ],
)
def test_good_arguments_are_stored_as_given(arguments: dict[str, Any]) -> None:
    callback = GammaLRSearch(**arguments)
    for name, parameter in inspect.signature(GammaLRSearch).parameters.items():
        assert getattr(callback, name) is arguments.get(name, parameter.default)


def made(**arguments: Any) -> SearchSettings:
    callback = GammaLRSearch(**arguments)
    return SearchSettings(**{field.name: getattr(callback, field.name) for field in dataclasses.fields(SearchSettings)})


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="lr_min"):
        made().lr_min = 0.1  # type: ignore[misc]


def test_the_defaults_are_the_numbers_of_the_thesis() -> None:
    settings = made()
    assert (settings.n_initial, settings.n_iterations, settings.n_trials) == (2, 10, 12)
    assert (settings.search, settings.objective, settings.kappa_lambda) == ("gamma", "kappa", 1.0)


def test_the_present_rate_is_one_trial_more_than_the_candidates() -> None:
    assert made(candidates=[0.1, 0.2], n_initial=9).n_trials == 3
    assert made(n_initial=1, n_iterations=0).n_trials == 1


@pytest.mark.parametrize(
    ("arguments", "searched"),
    [
        ({}, list(range(10))),
        ({"every_n_epochs": 3}, [0, 3, 6, 9]),
        ({"start_epoch": 2}, list(range(2, 10))),
        ({"stop_epoch": 2}, [0, 1]),
        ({"start_epoch": 1, "stop_epoch": 8, "every_n_epochs": 3}, [1, 4, 7]),
        ({"start_epoch": 20}, []),
    ],
)
def test_which_epochs_are_searched(arguments: dict[str, int], searched: list[int]) -> None:
    settings = made(**arguments)
    assert [epoch for epoch in range(10) if settings.searches(epoch)] == searched
