"""Learning rates and their places."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_gammabo.bayesopt import LearningRateSpace

SPACES = [LearningRateSpace(1e-5, 1.0), LearningRateSpace(1e-3, 0.5), LearningRateSpace(0.0, 0.5, scale="linear")]


@pytest.mark.parametrize("space", SPACES)
def test_ends_are_exact(space: LearningRateSpace) -> None:
    assert (space.from_unit(0.0), space.from_unit(1.0)) == (space.low, space.high)
    assert (space.to_unit(space.low), space.to_unit(space.high)) == (0.0, 1.0)


@given(u=st.floats(0.0, 1.0), space=st.sampled_from(SPACES))
def test_places_of_the_interval_are_rates_of_the_range(u: float, space: LearningRateSpace) -> None:
    lr = space.from_unit(u)
    assert space.low <= lr <= space.high
    assert space.to_unit(lr) == pytest.approx(u, abs=1e-12)


@given(lr=st.floats(1e-300, 1e300))
def test_rates_outside_have_places_outside(lr: float) -> None:
    space = LearningRateSpace(1e-3, 0.5)
    u = space.to_unit(lr)
    assert math.isfinite(u)
    assert (u < 0.0) == (lr < space.low) or lr == pytest.approx(space.low)
    assert space.from_unit(u) == pytest.approx(lr, rel=1e-9)


def test_scales_are_what_they_say() -> None:
    assert LearningRateSpace(1e-4, 1e-2).from_unit(0.5) == pytest.approx(1e-3)
    assert LearningRateSpace(0.0, 0.5, scale="linear").from_unit(0.5) == 0.25


@pytest.mark.parametrize(
    ("low", "high", "scale", "match"),
    [
        (0.0, 0.5, "log", "needs low > 0"),
        (0.5, 0.5, "log", "low < high"),
        (-1.0, 0.5, "linear", "0 <= low"),
        (1e-3, math.inf, "log", "high < inf|high=inf"),
        (math.nan, 0.5, "linear", "low=nan"),
        (1e-3, 0.5, "ln", "'log' and 'linear'"),
    ],
)
def test_impossible_ranges_are_refused(low: float, high: float, scale: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        LearningRateSpace(low, high, scale)  # type: ignore[arg-type]


def test_rates_without_a_place_are_refused() -> None:
    space = LearningRateSpace(1e-3, 0.5)
    assert not space.has_place(0.0)
    assert LearningRateSpace(0.0, 0.5, scale="linear").has_place(0.0)
    with pytest.raises(ValueError, match="no place on the log scale"):
        space.to_unit(0.0)
    with pytest.raises(ValueError, match="finite"):
        space.from_unit(math.nan)


@pytest.mark.parametrize("space", SPACES)
def test_logs_of_rates_are_those_of_the_rates(space: LearningRateSpace) -> None:
    places = torch.linspace(0.01, 1.2, 7, dtype=torch.float64)
    want = [math.log10(space.from_unit(u)) for u in places.tolist()]
    assert space.log10_rates(places).tolist() == pytest.approx(want, abs=1e-12)
    assert torch.isfinite(space.log10_rates(torch.zeros(1, dtype=torch.float64))).all()
