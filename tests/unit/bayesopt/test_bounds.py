"""Where may a rate be proposed? Walls, holes, repetitions, space filling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_gammabo.bayesopt.bounds import Bounds, away_from, space_filling

GRID = np.linspace(0.0, 1.0, 101)


def bounds(finite: list[float], diverged: list[float]) -> Bounds:
    return Bounds(finite=np.asarray(finite, dtype=float), diverged=np.asarray(diverged, dtype=float))


def test_wall_is_the_lowest_divergence_above_all_that_works() -> None:
    assert bounds([0.3, 0.5], [0.9, 0.7, 0.4]).wall == 0.7
    assert bounds([], [0.9, 0.2]).wall == 0.2
    assert bounds([0.3], []).wall == math.inf


def test_half_the_way_to_a_wall_is_allowed() -> None:
    allowed = bounds([0.5], [0.7]).allows(GRID)
    np.testing.assert_array_equal(allowed, GRID <= 0.6 + 1e-12)


def test_a_hole_below_a_finite_rate_is_no_wall() -> None:
    allowed = bounds([0.2, 0.8], [0.5]).allows(GRID)
    assert not allowed[(GRID > 0.36) & (GRID < 0.64)].any()
    assert allowed[(GRID < 0.34) | (GRID > 0.66)].all()


def test_a_wall_falls_when_a_higher_rate_works() -> None:
    assert not bounds([0.3], [0.5]).allows(GRID)[GRID > 0.5].any()
    assert bounds([0.3, 0.9], [0.5]).allows(GRID)[GRID > 0.75].all()


def test_with_nothing_that_works_the_search_goes_down_by_halves() -> None:
    np.testing.assert_array_equal(bounds([], [0.8]).allows(GRID), GRID <= 0.4)
    assert not bounds([], [-0.5]).allows(GRID).any()


@given(
    finite=st.lists(st.floats(-1.0, 2.0), max_size=6),
    diverged=st.lists(st.floats(-1.0, 2.0), max_size=6),
)
def test_what_diverged_is_never_allowed_again(finite: list[float], diverged: list[float]) -> None:
    places = np.asarray(diverged, dtype=float)
    assert not bounds(finite, diverged).allows(places).any()


@given(
    finite=st.lists(st.floats(0.0, 1.0), max_size=5),
    diverged=st.lists(st.floats(0.0, 1.0), max_size=5),
    cells=st.integers(0, 5),
    seed=st.integers(0, 100),
)
def test_space_filling_stays_inside(finite: list[float], diverged: list[float], cells: int, seed: int) -> None:
    where = bounds(finite, diverged)
    tried = np.asarray([*finite, *diverged], dtype=float)
    assert 0.0 <= space_filling(np.random.default_rng(seed), where, tried, cells, GRID) <= 1.0


def test_space_filling_takes_each_cell_once() -> None:
    tried: list[float] = []
    for number in range(4):
        place = space_filling(np.random.default_rng(number), bounds(tried, []), np.asarray(tried), 4, GRID)
        tried.append(place)
    assert sorted(int(place * 4) for place in tried) == [0, 1, 2, 3]


def test_space_filling_halves_what_diverged() -> None:
    tried = np.array([0.8])
    assert space_filling(np.random.default_rng(0), bounds([], [0.8]), tried, 0, GRID) == pytest.approx(0.4)


def test_space_filling_without_cells_goes_far_away() -> None:
    tried = np.array([0.1, 0.5])
    assert space_filling(np.random.default_rng(0), bounds([0.1, 0.5], []), tried, 0, GRID) == 1.0


@given(st.lists(st.floats(-2.0, 2.0), max_size=8))
def test_away_from_is_the_plain_distance(tried: list[float]) -> None:
    places = np.asarray(tried, dtype=float)
    want = [all(abs(u - t) >= 0.05 for t in tried) for u in GRID]
    assert away_from(GRID, places, 0.05).tolist() == want
