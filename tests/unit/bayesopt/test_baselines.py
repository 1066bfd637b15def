"""The searches to compare with: list, grid, random, Sobol."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from lightning_gammabo.bayesopt import (
    GridSearch,
    LearningRateSpace,
    ListSearch,
    RandomSearch,
    SobolSearch,
)

SPACE = LearningRateSpace(1e-3, 0.1)
LINEAR = LearningRateSpace(0.0, 0.5, scale="linear")


def test_a_grid_spans_the_range_and_ends() -> None:
    search = GridSearch(LINEAR, n_trials=5)
    rates = []
    while not search.finished:
        rates.append(search.ask().lr)
    assert rates == pytest.approx([0.0, 0.125, 0.25, 0.375, 0.5])
    with pytest.raises(RuntimeError, match="look at `finished`"):
        search.ask()


def test_enqueued_rates_are_part_of_the_grids_budget() -> None:
    search = GridSearch(SPACE, n_trials=4)
    search.enqueue(0.05)
    rates = []
    while not search.finished:
        rates.append(search.ask().lr)
    assert rates == pytest.approx([0.05, 0.001, 0.01, 0.1])
    search.enqueue(0.07)  # late ones come on top
    assert not search.finished
    assert search.ask().lr == 0.07


def test_a_grid_of_one_lies_in_the_middle_and_of_none_is_refused() -> None:
    assert GridSearch(SPACE, n_trials=1).ask().lr == pytest.approx(0.01)
    with pytest.raises(ValueError, match="at least one trial"):
        GridSearch(SPACE, n_trials=0)


def test_a_list_is_followed() -> None:
    search = ListSearch(SPACE, candidates=[3.0, 0.0, 0.01])
    assert [trial.lr for trial in search.ask(3)] == [3.0, 0.0, 0.01]
    assert search.finished
    for bad in ([], [0.1, -0.1], [math.nan]):
        with pytest.raises(ValueError, match="at least one rate"):
            ListSearch(SPACE, candidates=bad)


@pytest.mark.parametrize("kind", [RandomSearch, SobolSearch])
def test_places_are_uniform(kind: Any) -> None:
    places = np.sort([SPACE.to_unit(trial.lr) for trial in kind(SPACE, seed=0).ask(512)])
    distance = np.abs(places - (np.arange(512) + 0.5) / 512).max()
    # Kolmogorov-Smirnov at 1e-4 for 512 independent draws; Sobol' is far more even
    assert distance < (0.098 if kind is RandomSearch else 0.01)


def test_sobol_is_the_sequence() -> None:
    engine: Any = torch.quasirandom.SobolEngine(1, scramble=True, seed=11)
    want = engine.draw(6, dtype=torch.float64).squeeze(-1).tolist()
    got = [LINEAR.to_unit(trial.lr) for trial in SobolSearch(LINEAR, seed=11).ask(6)]
    assert got == pytest.approx(want)
