"""Where a rate may be proposed: what diverged rates forbid, and the region that earlier epochs point at.

A diverged rate is a bound and never a number. All places are on the unit interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Bounds", "WarmRegion", "away_from"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


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
        allowed = np.asarray(places < self.wall)
        if not self.finite.size:
            # nothing is known to work: go down by halves of what is left
            return allowed & (places <= 0.5 * max(self.wall, 0.0) if math.isfinite(self.wall) else True)
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
    if not tried.size:
        return np.ones(places.shape, dtype=bool)
    return np.asarray(np.abs(places[:, None] - tried[None, :]).min(axis=1) >= distance)


@dataclass(frozen=True)
class WarmRegion:
    """The rates worth a look after an epoch was won by ``winner``: ``[winner / below, above * winner]``.

    What of earlier epochs was measured to help: the winner and half of it tried first, and this region. The optimum and
    the edge of divergence both move (by a factor of 4 after the first epoch), which is why scores are not carried over.

    Args:
        winner: the rate that won.
        below: how far below it the region reaches, a factor.
        above: how far above, a factor.
    """

    winner: float
    below: float = 20.0
    above: float = 2.0

    def starts(self) -> tuple[float, float]:
        """The rates to try first.

        Returns:
            The winner and half of it.
        """
        return self.winner, 0.5 * self.winner

    def edges(self, best: float | None, diverged: Sequence[float] = ()) -> tuple[float, float]:
        """Lower and upper rate of the region, widened where this epoch's own results say that it misleads.

        While the best rate so far lies in the outer tenth of the region (on the log scale), that side is moved on by
        the same factor again; when rates of the region diverged and none was finite, there is no lower edge.

        Args:
            best: best rate of this epoch so far; None if none was finite.
            diverged: rates that diverged in this epoch.

        Returns:
            The two edges; the lower one may be 0.
        """
        low, high = self.winner / self.below, self.winner * self.above
        if best is None:
            return (0.0 if diverged else low), high
        margin = (self.below * self.above) ** 0.1
        while best > high / margin:
            high *= self.above
        while 0.0 < best < low * margin:
            low /= self.below
        return (0.0 if best <= 0.0 else low), high
