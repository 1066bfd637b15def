"""Where a rate may be proposed: what diverged rates forbid, repetitions, and the places that fill the space.

A diverged rate is a bound and never a number. All places are on the unit interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Bounds", "away_from", "space_filling"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_TIE = 1e-10


@dataclass(frozen=True)
class Bounds:
    """What the diverged rates among the told ones say.

    The **wall** is the lowest diverged place with no finite place at or above it: everything from there on is
    forbidden. A diverged place below some finite one is a hole, not a wall. Around either, places nearer to it than
    half the way to the nearest finite place are forbidden too, so that the search neither creeps along a wall step by
    step nor digs in a hole; each new finite place takes half of what is left.

    Args:
        finite: places of trials with a finite score.
        diverged: places of trials without.

    Example:
        >>> bounds = Bounds(finite=np.array([0.5]), diverged=np.array([0.2, 0.9]))
        >>> bounds.wall, bounds.allows(np.array([0.2, 0.4, 0.65, 0.75])).tolist()
        (0.9, [False, True, True, False])
    """

    finite: Array
    diverged: Array

    @property
    def wall(self) -> float:
        """The lowest forbidden place from which everything above is forbidden; ``inf`` if there is none."""
        top = self.finite.max() if self.finite.size else -math.inf
        above = self.diverged[self.diverged > top]
        return float(above.min()) if above.size else math.inf

    def allows(self, places: Array) -> Mask:
        """Which places may be proposed.

        Args:
            places: any number of places, ``g``.

        Returns:
            True where allowed, ``g``.
        """
        wall = self.wall
        allowed = np.asarray(places < wall)
        if not self.finite.size:
            # nothing is known to work: go down by halves of what is left
            return allowed if math.isinf(wall) else allowed & (places <= 0.5 * max(wall, 0.0))
        for place in self.diverged:
            radius = 0.5 * np.abs(self.finite - place).min()
            allowed &= np.abs(places - place) >= max(radius, 1e-9)
        return allowed


def away_from(places: Array, tried: Array, distance: float) -> Mask:
    """Which places keep a distance from all that was tried.

    Args:
        places: candidates, ``g``.
        tried: places tried, ``n``.
        distance: what counts as the same place.

    Returns:
        True where no tried place is nearer than ``distance``, ``g``.
    """
    return _nearest(places, tried) >= distance


def _nearest(places: Array, tried: Array) -> Array:
    if not tried.size:
        return np.full(places.shape, math.inf)
    ordered = np.concatenate([[-math.inf], np.sort(tried), [math.inf]])
    right = np.searchsorted(ordered, places)
    return np.asarray(np.minimum(places - ordered[right - 1], ordered[right] - places))


def space_filling(rng: np.random.Generator, bounds: Bounds, tried: Array, cells: int, grid: Array) -> float:
    """A place to look at while there is nothing to reason from.

    In this order: the middle half of a random one of ``cells`` equal cells in which nothing was tried yet; where all
    rates so far diverged, half the lowest; else the allowed place farthest from all that was tried.

    Args:
        rng: breaks ties.
        bounds: what diverged rates forbid.
        tried: places tried or pending, ``n``.
        cells: number of cells; 0 for none.
        grid: places to choose from when the cells are used up, ``g``.

    Returns:
        The place, in [0, 1].
    """
    if cells:
        free = np.setdiff1d(np.arange(cells), np.floor(tried * cells))
        if free.size:
            place = float((rng.choice(free) + rng.uniform(0.25, 0.75)) / cells)
            if bounds.allows(np.asarray([place])).all():
                return place
    if not bounds.finite.size and math.isfinite(bounds.wall):
        half = 0.5 * min(max(bounds.wall, 0.0), 1.0)  # what diverged may lie far outside of the range
        if half == 0.0 or away_from(np.asarray([half]), tried, 0.5 / grid.size).all():
            return half
    allowed = bounds.allows(grid)
    places = grid[allowed] if allowed.any() else grid
    distance = _nearest(places, tried)
    return float(places[rng.choice(np.flatnonzero(distance >= distance.max() - _TIE))])
