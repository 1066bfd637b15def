"""What is believed of the optimum's place before a score is seen: weak priors that the scores outvote.

A prior ``pi(u)`` of the optimum's place multiplies the acquisition as ``pi(u) ** power`` [Hvarfner2022pibo]. There a
prior fades with the number of scores; here it yields to what they say. All places are on the unit interval.

References:
    [Hvarfner2022pibo] C. Hvarfner et al. piBO: Augmenting Acquisition Functions with User Beliefs for Bayesian
    Optimization. ICLR 2022.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["WarmPrior", "inside_log_prior"]

Array = npt.NDArray[np.float64]

_NEAR_END = 0.3
"""a best place so near to an end that the optimum may lie at it"""
_MOVE, _MOVE_SCALE = -0.5, 0.7
"""by how much ``ln`` of the best rate moves from epoch to epoch, and how far from that it strays"""


def inside_log_prior(places: Array, best: float | None = None, tried: Array | None = None) -> Array:
    """A range is chosen around the optimum: ``ln(0.05 + 0.95 * 4 u (1 - u))``, 0 in the middle and -3 at the ends.

    Without it, expected improvement spends its first proposals on the ends of the range, where the surrogate knows
    least. What scores say against it counts more: where the best place lies near an end (within 0.3) and nothing was
    tried between them, the places between are believed in no less than the best one. So an optimum at the end is
    reached step by step, and one bad or diverged score beyond the best place brings the belief back.

    Args:
        places: ``g``.
        best: place of the best score so far, in [0, 1] or beyond; None for the belief before any score.
        tried: all places tried, diverged ones too, ``n``.

    Returns:
        ``g``.

    Example:
        >>> inside_log_prior(np.array([0.0, 0.5])).round(3).tolist()
        [-2.996, 0.0]
        >>> inside_log_prior(np.array([0.0, 0.9, 1.0]), best=0.8, tried=np.array([0.4, 0.8])).round(3).tolist()
        [-2.996, -0.419, -0.419]
    """
    prior = np.log(0.05 + 0.95 * 4.0 * np.clip(places * (1.0 - places), 0.0, 0.25))
    if best is None or tried is None:
        return np.asarray(prior)
    level = float(inside_log_prior(np.asarray([best]))[0]) if 0.0 <= best <= 1.0 else 0.0
    if best <= _NEAR_END and not (tried < best).any():
        prior = np.where(places <= best, np.maximum(prior, level), prior)
    if best >= 1.0 - _NEAR_END and not (tried > best).any():
        prior = np.where(places >= best, np.maximum(prior, level), prior)
    return np.asarray(prior)


@dataclass(frozen=True)
class WarmPrior:
    """What an epoch that was won by ``winner`` says of the next one's best rate: near it, rather lower, seldom far.

    ``ln lr ~ Cauchy(ln winner - 0.5, 0.7)``: median and half the interquartile range of the moves of the best rate from
    one recorded epoch to the next. Scores themselves are not carried over: the best rate and the edge of divergence
    both move. A joint process over rates and epochs, or the last epoch's posterior mean as prior mean, did worse than
    nothing.

    It misleads where the landscape has jumped, which shows in the scores: training goes on from the winner's weights,
    and so long as no score reaches the winner's own the prior is not used.

    Args:
        winner: the rate that won, > 0.
        reached: its score.
        strength: power of the prior; 0 for none.
    """

    winner: float
    reached: float
    strength: float

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, float | None]], strength: float) -> WarmPrior | None:
        """What rates and scores of an epoch say of the next one.

        Args:
            pairs: rates and scores.
            strength: power of the prior.

        Returns:
            The prior; None where no rate has a finite score.
        """
        finite = [(lr, s) for lr, s in pairs if s is not None and math.isfinite(s) and lr > 0.0]
        if not finite:
            return None
        winner, reached = max(finite, key=lambda pair: pair[1])
        return cls(winner=float(winner), reached=float(reached), strength=strength)

    def starts(self) -> tuple[float, float]:
        """The rates to try first.

        Returns:
            The winner, and half of it: keeping a rate for another epoch is often too much.
        """
        return self.winner, 0.5 * self.winner

    def misleads(self, best: float) -> bool:
        """Whether this epoch's scores contradict it.

        Args:
            best: the best score so far.

        Returns:
            True if it is worse than the best score of the epoch before.
        """
        return best < self.reached

    def log_prior(self, rates: Array) -> Array:
        """Log density up to a constant, times ``strength``.

        Args:
            rates: learning rates, not negative, ``g``.

        Returns:
            ``g``; finite.
        """
        move = np.log(np.maximum(rates, np.finfo(np.float64).tiny) / self.winner)
        return np.asarray(-self.strength * np.log1p(((move - _MOVE) / _MOVE_SCALE) ** 2))
