"""A schedule in miniature, by known answers."""

from __future__ import annotations

import numpy as np
import pytest

from lightning_gammabo.learning_rate.lookahead import Forecast
from lightning_gammabo.learning_rate.miniature import cooling_factors, miniature


def forecast(multipliers: list[float], **options: object) -> Forecast:
    given = {"ratios": ((0, (1.0, 0.1)),), "momenta": np.empty(0), "interval": "step", **options}
    return Forecast(multipliers=np.array(multipliers), peak=0.5, configured=0.5, **given)  # type: ignore[arg-type]


RAMP = [step / 40 for step in range(40)] + [1.0 - step / 60 for step in range(60)]


def test_a_warm_up_takes_a_quarter_and_the_peak_the_rest() -> None:
    found = miniature(forecast(RAMP), 16)
    # the ramp is near its peak at step 40: four parts of ten steps, each at its middle
    assert found.multipliers == (5 / 40, 15 / 40, 25 / 40, 35 / 40, *[1.0] * 12)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps_are_all_at_the_peak(steps: int) -> None:
    assert miniature(forecast(RAMP), steps).multipliers == (1.0,) * steps


def test_a_warm_up_that_is_short_enough_stays_as_it_is() -> None:
    ramp = [0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 0.5]
    assert miniature(forecast(ramp), 16).multipliers == (0.2, 0.4, 0.6, 0.8, *[1.0] * 12)


def test_where_nothing_warms_up_all_is_at_the_peak() -> None:
    for multipliers in ([1.0] * 30, [1.0 - step / 30 for step in range(30)]):
        assert miniature(forecast(multipliers), 8).multipliers == (1.0,) * 8


def test_a_warm_up_as_long_as_the_run() -> None:
    found = miniature(forecast([step / 99 for step in range(100)]), 400)
    assert len(found.multipliers) == 400
    assert found.multipliers[0] == 0.0
    assert found.multipliers[99:] == (1.0,) * 301


def test_momentum_goes_with_the_rate() -> None:
    momenta = np.array([0.95 - 0.1 * rate for rate in RAMP])
    found = miniature(forecast(RAMP, momenta=momenta), 8)
    assert found.momenta == pytest.approx([0.925, 0.875, *[0.85] * 6])
    assert miniature(forecast(RAMP), 8).momenta == ()


def test_groups_have_the_ratios_of_where_they_are_in_the_run() -> None:
    found = miniature(forecast(RAMP, ratios=((0, (1.0, 0.0)), (20, (1.0, 0.3)))), 8)
    assert found.ratios == ((1.0, 0.0), *[(1.0, 0.3)] * 7)
    assert found.rates(0, 2.0) == [0.5, 0.0]
    assert found.rates(1, 2.0) == [1.5, 1.5 * 0.3]
    assert found.rates(7, 2.0) == found.rates(99, 2.0) == [2.0, 0.6]


def test_cooling_is_a_line_to_zero() -> None:
    assert cooling_factors(1) == (0.5,)
    assert cooling_factors(2) == (0.75, 0.25)
    assert cooling_factors(0) == ()
    factors = cooling_factors(100)
    assert sum(factors) == pytest.approx(50.0)
    assert np.diff(factors) == pytest.approx(-0.01)


def test_no_steps_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"miniature\(steps=0\): need at least 1"):
        miniature(forecast(RAMP), 0)
