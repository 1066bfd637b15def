"""What is believed of the optimum's place before a score is seen: weak priors that the scores outvote.

A prior ``pi(u)`` of the optimum's place multiplies the acquisition as ``pi(u) ** power`` [Hvarfner2022pibo]. There a
prior fades with the number of scores, ``power = strength / n``, as the warm start's does here; the belief in the
inside of the range yields to what the scores say instead. All places are on the unit interval.

References:
    [Hvarfner2022pibo] C. Hvarfner et al. piBO: Augmenting Acquisition Functions with User Beliefs for Bayesian
    Optimization. ICLR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["WarmPrior", "inside_log_prior"]

Array = npt.NDArray[np.float64]

_NEAR_END = 0.3
"""a best place so near to an end that the optimum may lie at it"""


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
    """What an epoch that was won by ``winner`` says of the next one's best rate: somewhat lower, within a decade.

    ``ln lr ~ N(ln(0.7 winner), 2^2)`` and a uniform background of 0.02. The best rate and the edge of divergence both
    move between epochs (by a factor of 4 after the first), which is why scores themselves are not carried over; a
    joint process over rates and epochs, or the last epoch's posterior mean as prior mean, did worse than nothing.

    It misleads where the landscape has jumped. So it fades with every score, and it is dropped while the best rate of
    this epoch lies outside one standard deviation of it.

    Args:
        winner: the rate that won, > 0.
        strength: how many scores it weighs as.
    """

    winner: float
    strength: float

    def starts(self) -> tuple[float, float]:
        """The rates to try first.

        Returns:
            The winner, and half of it: keeping a rate for another epoch is often too much.
        """
        return self.winner, 0.5 * self.winner

    def _distance(self, rates: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.maximum(rates, 0.0) / (0.7 * self.winner)) / 2.0)

    def misleads(self, best: float) -> bool:
        """Whether this epoch's best rate so far contradicts it.

        Args:
            best: the best rate so far.

        Returns:
            True if it lies outside one standard deviation.
        """
        return bool(np.abs(self._distance(np.asarray([best])))[0] > 1.0)

    def log_prior(self, rates: Array) -> Array:
        """Log density up to a constant.

        Args:
            rates: learning rates, ``g``.

        Returns:
            ``g``; not below ln 0.02.
        """
        return np.asarray(np.log(0.02 + np.exp(-0.5 * self._distance(rates) ** 2)))
