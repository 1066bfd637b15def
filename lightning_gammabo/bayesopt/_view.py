"""Scores in and out of the surrogate's units, and the frozen view of its belief."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from lightning_gammabo.bayesopt import student_t
from lightning_gammabo.bayesopt._process import Mixture

__all__ = ["SurrogateView", "mixture_in_units", "standardise"]

Array = npt.NDArray[np.float64]

_OUTLIER = 10.0
"""a score this many times farther below the best than the median is drawn up to there, lest it set the unit alone"""


def standardise(scores: Array) -> tuple[Array, float, float]:
    """Scores with mean 0 and standard deviation 1 (population's n - 1), for the surrogate.

    Equal scores (to rounding) become zeros with a unit of 1. Scores however large do not overflow. A score
    far below all others (a loss of 1e36) is drawn up first.

    Args:
        scores: finite, ``n`` >= 1.

    Returns:
        Standardised scores, centre and unit: ``score = centre + unit * standardised``.

    Example:
        >>> y, centre, unit = standardise(np.array([1.0, 2.0, 3.0]))
        >>> y.tolist(), centre, unit
        ([-1.0, 0.0, 1.0], 2.0, 1.0)
    """
    best, half = scores.max(), 0.5 * scores
    gap = 0.5 * best - np.median(half)
    if gap > 0.0:
        half = np.maximum(half, 0.5 * best - _OUTLIER * gap)
    magnitude = math.ldexp(1.0, math.frexp(float(np.abs(half).max()))[1])  # a power of 2 scales without rounding
    shrunk = half / magnitude
    centre = float(shrunk.mean())
    unit = float(shrunk.std(ddof=1)) if scores.size > 1 else 0.0
    if unit < 1e-13:
        return np.zeros_like(scores), float(np.clip(2.0 * magnitude * centre, scores.min(), best)), 1.0
    return (shrunk - centre) / unit, 2.0 * (magnitude * centre), 2.0 * (magnitude * unit)


@dataclass(frozen=True)
class SurrogateView:
    """The surrogate's belief at ``g`` rates, in units of the score: a mixture of ``K`` Student-t's.

    Args:
        lrs: the rates, ``g``.
        mean: mean of the mixture, ``g``.
        variance: its variance, ``g``; infinite for ``df <= 2``.
        scale: scale of the one Student-t of ``df`` degrees of freedom that has this variance, ``g``.
        df: degrees of freedom of every component; ``inf`` for the Gaussian.
        acquisition: the acquisition's value, ``g``: improvement in units of the score, its log, or a probability.
        weights: weights of the components, ``K``.
        component_loc: their locations, ``K x g``.
        component_scale: their scales, ``K x g``.
    """

    lrs: Array
    mean: Array
    variance: Array
    scale: Array
    df: float
    acquisition: Array
    weights: Array
    component_loc: Array
    component_scale: Array

    def cdf(self, score: npt.ArrayLike) -> Array:
        """Probability of a score up to ``score`` at each rate.

        Args:
            score: a number, or ``g`` of them.

        Returns:
            Probabilities, ``g``.
        """
        return np.asarray(
            self.weights @ student_t.cdf((np.asarray(score) - self.component_loc) / self.component_scale, self.df)
        )

    def log_density(self, score: npt.ArrayLike) -> Array:
        """Log density of a score at each rate.

        Args:
            score: a number, or ``g`` of them.

        Returns:
            Log densities, ``g``.
        """
        z = (np.asarray(score) - self.component_loc) / self.component_scale
        terms = student_t.log_pdf(z, self.df) - np.log(self.component_scale)
        return np.asarray(special.logsumexp(terms, axis=0, b=self.weights[:, None]))

    def interval(self, probability: float) -> tuple[Array, Array]:
        """Central interval of the mixture at each rate, by bisection on its distribution function.

        Args:
            probability: mass inside, between 0 and 1.

        Returns:
            Lower and upper ends, ``g`` each.

        Raises:
            ValueError: if ``probability`` is not between 0 and 1.
        """
        if not 0.0 < probability < 1.0:
            raise ValueError(f"interval({probability!r}): need a probability between 0 and 1")
        tail = 0.5 * (1.0 - probability)
        return self._quantile(tail), self._quantile(1.0 - tail)

    def _quantile(self, p: float) -> Array:
        z = float(special.ndtri(p) if math.isinf(self.df) else special.stdtrit(self.df, p))
        ends = self.component_loc + z * self.component_scale  # the mixture's quantile lies between its components'
        low, high = ends.min(axis=0), ends.max(axis=0)
        for _ in range(60):
            middle = 0.5 * (low + high)
            below = self.cdf(middle) < p
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(0.5 * (low + high))


def mixture_in_units(lrs: Array, standard: Mixture, centre: float, unit: float, acquisition: Array) -> SurrogateView:
    """The view of a mixture that is in standardised scores.

    Args:
        lrs: rates, ``g``.
        standard: the mixture there.
        centre: centre of the scores.
        unit: unit of the scores.
        acquisition: the acquisition's values, in units of the score, ``g``.

    Returns:
        The view.
    """
    variance = standard.variance * unit**2
    inflation = 1.0 if math.isinf(standard.df) else standard.df / (standard.df - 2.0) if standard.df > 2.0 else math.inf
    return SurrogateView(
        lrs=lrs,
        mean=centre + unit * standard.mean,
        variance=variance,
        scale=np.sqrt(variance / inflation),
        df=standard.df,
        acquisition=acquisition,
        weights=standard.weights,
        component_loc=centre + unit * standard.loc,
        component_scale=unit * standard.scale,
    )
