"""The fixed test functions of the benchmark, all on the unit interval or Krasser's; greater is better.

All but ``end`` were written down before any search was run on them. ``None`` stands for a diverged point: such a point
has no value, and regret counts it as the smallest value of the function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FUNCTIONS", "TestFunction"]

POINTS = 301
"""Candidates of every function, evenly spaced."""


@dataclass(frozen=True)
class TestFunction:
    """A function on a grid.

    Args:
        name: how the tables call it.
        low: left end.
        high: right end.
        formula: value at a point, None where it diverges.
        noise: standard deviation of the Gaussian noise on an observation.
    """

    name: str
    low: float
    high: float
    formula: Callable[[float], float | None]
    noise: float = 0.0

    @property
    def x(self) -> NDArray[np.float64]:
        """The candidates, ascending."""
        return np.linspace(self.low, self.high, POINTS)

    @property
    def values(self) -> NDArray[np.float64]:
        """The values at the candidates, NaN where the function diverges."""
        found = [self.formula(float(x)) for x in self.x]
        return np.array([math.nan if value is None else value for value in found])


def krasser(x: float) -> float:
    """The thesis's own (fig. 12, 13): two hills, the lower one on the right."""
    return -math.sin(3 * x) - x * x + 0.7 * x


def plateau(u: float) -> float:
    """Nothing happens on the left 55 %, then a smooth rise to a flat top that falls off slowly."""
    return 1 / (1 + math.exp(-40 * (u - 0.62))) - 0.8 * max(0.0, u - 0.75) ** 2


def cliff(u: float) -> float:
    """A slow rise, then a drop to far below the start within 4 % of the range."""
    return u**1.5 - 2.5 / (1 + math.exp(-200 * (u - 0.7)))


def wall(u: float) -> float | None:
    """A hill whose right flank diverges: no value above 0.8."""
    return None if u > 0.8 else math.exp(-(((u - 0.58) / 0.15) ** 2)) - 0.3 * u


def edge(u: float) -> float | None:
    """The best point is the last one before divergence, as with a rate that is as large as training bears."""
    return None if u > 0.64 else 3 * u**3


def steps(u: float) -> float:
    """A hill seen through an accuracy of few images: twelve terraces, a dead flat floor on both sides."""
    return math.floor(12 * math.exp(-(((u - 0.37) / 0.12) ** 2))) / 12


def end(u: float) -> float:
    """The best point is the end of the range: what it costs to believe that it is not. Added after the others."""
    return u


FUNCTIONS = {
    function.name: function
    for function in (
        TestFunction("krasser", -1.0, 2.0, krasser),
        TestFunction("krasser_noise", -1.0, 2.0, krasser, noise=0.2),
        TestFunction("plateau", 0.0, 1.0, plateau),
        TestFunction("cliff", 0.0, 1.0, cliff),
        TestFunction("wall", 0.0, 1.0, wall),
        TestFunction("edge", 0.0, 1.0, edge),
        TestFunction("steps", 0.0, 1.0, steps),
        TestFunction("end", 0.0, 1.0, end),
    )
}
"""Krasser's function without and with the noise of the thesis's source, and five shapes of learning-rate curves."""
