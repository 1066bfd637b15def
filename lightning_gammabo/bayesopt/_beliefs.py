"""What is believed of the optimum's place before a score is seen: weak priors that the scores outvote.

A prior ``pi(u)`` of the optimum's place multiplies the acquisition as ``pi(u) ** (strength / n)`` after ``n`` scores
[Hvarfner2022pibo]: it steers the first proposals and fades as scores come in. All places are on the unit interval.

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


def inside_log_prior(places: Array) -> Array:
    """A range is chosen around the optimum: ``ln(0.05 + 0.95 * 4 u (1 - u))``, 0 in the middle and -3 at the ends.

    Without it, expected improvement spends two of its first proposals on the ends of the range, where the surrogate
    knows least.

    Args:
        places: ``g``.

    Returns:
        ``g``.

    Example:
        >>> inside_log_prior(np.array([0.0, 0.5])).round(3).tolist()
        [-2.996, 0.0]
    """
    return np.asarray(np.log(0.05 + 0.95 * 4.0 * np.clip(places * (1.0 - places), 0.0, 0.25)))


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
