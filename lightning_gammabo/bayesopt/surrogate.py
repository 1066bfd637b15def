"""Scores in and out of the surrogate's units, and the frozen view of what it believes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

if TYPE_CHECKING:
    from lightning_gammabo.bayesopt.posterior import StudentTPosterior

__all__ = ["SurrogateView", "Units", "newest_and_best"]

Array = npt.NDArray[np.float64]

_LARGEST = 1e300
"""scores beyond count as this, so that differences and multiples of them do not overflow"""
_FARTHEST = 100.0
"""a score this many gaps below the best is a disaster, and how great a one says nothing any more"""


@dataclass(frozen=True)
class Units:
    """How scores become the surrogate's: the bad end drawn together, then mean 0 and standard deviation 1.

    How bad a bad rate is says little of where the good ones lie, but a cliff or a disaster among the scores would set
    the scale for all. So a score that is ``d`` below the best counts as ``gap ln(1 + d / gap)`` below it, ``gap`` being
    a multiple of the median ``d``, and a disaster as 100 gaps. The order stays, and from the best score up nothing
    changes: neither does expected improvement.

    Args:
        best: the best score.
        gap: where drawing together sets in; ``inf`` for not at all.
        centre: mean of the drawn scores.
        unit: their standard deviation; where they are equal to rounding, 1 or their magnitude, what is greater.
    """

    best: float
    gap: float
    centre: float
    unit: float

    @classmethod
    def of(cls, scores: Array, share: float) -> Units:
        """The units that some scores set.

        Args:
            scores: finite, ``n`` >= 1.
            share: ``gap`` as a multiple of the median distance from the best score; ``inf`` for no drawing together.

        Returns:
            The units. Scores however large do not overflow.

        Example:
            >>> Units.of(np.array([1.0, 2.0, 3.0]), share=math.inf)
            Units(best=3.0, gap=inf, centre=2.0, unit=1.0)
        """
        scores = _finite(scores)
        best, gap = float(scores.max()), math.inf
        below = best - scores
        below = below[below > 1e-12 * (abs(best) + np.abs(scores))]  # the others tie but for rounding
        if below.size and math.isfinite(share):
            gap = max(share * float(np.median(below)), 1e-100 * float(below.max()))
        drawn = _draw(scores, best, gap)
        magnitude = math.ldexp(1.0, math.frexp(float(np.abs(drawn).max()))[1])  # a power of 2 scales without rounding
        shrunk = drawn / magnitude
        centre = float(shrunk.mean())
        unit = float(shrunk.std(ddof=1)) if scores.size > 1 else 0.0
        if unit < 1e-13:  # equal to rounding
            return cls(best=best, gap=gap, centre=best, unit=max(1.0, magnitude))
        return cls(best=best, gap=gap, centre=magnitude * centre, unit=magnitude * unit)

    def standard(self, scores: npt.ArrayLike) -> Array:
        """Scores in the surrogate's units.

        Args:
            scores: any shape.

        Returns:
            Same shape.
        """
        drawn = _draw(_finite(scores), self.best, self.gap)
        return np.asarray((drawn - self.centre) / self.unit)

    def raw(self, standard: npt.ArrayLike) -> Array:
        """The inverse of :meth:`standard`, down to 100 gaps below the best score.

        Args:
            standard: any shape.

        Returns:
            Same shape.
        """
        drawn = self.centre + self.unit * np.asarray(standard, dtype=np.float64)
        if math.isinf(self.gap):
            return np.asarray(drawn)
        below = np.clip((self.best - drawn) / self.gap, 0.0, math.log1p(_FARTHEST))
        return np.asarray(np.where(below > 0.0, self.best - self.gap * np.expm1(below), drawn))

    def log_slope(self, scores: npt.ArrayLike) -> Array:
        """``ln(d standard / d score)``: what turns a density of the surrogate's into one of scores.

        Args:
            scores: any shape.

        Returns:
            Same shape.
        """
        below = np.maximum(self.best - _finite(scores), 0.0)
        return np.asarray(-np.log1p(np.minimum(below / self.gap, _FARTHEST)) - math.log(self.unit))


def _finite(scores: npt.ArrayLike) -> Array:
    return np.clip(np.asarray(scores, dtype=np.float64), -_LARGEST, _LARGEST)


def _draw(scores: Array, best: float, gap: float) -> Array:
    if math.isinf(gap):
        return scores
    below = np.minimum(np.maximum(best - scores, 0.0) / gap, _FARTHEST)
    return np.asarray(np.where(below > 0.0, best - gap * np.log1p(below), scores))


def newest_and_best(pairs: Array, limit: int) -> Array:
    """The pairs that the surrogate sees when there are too many: the worst of the older ones are forgotten.

    Args:
        pairs: rates and scores in the order of telling, ``n x 2``.
        limit: how many may stay; the newer half of them stay in any case.

    Returns:
        The pairs in their order, at most ``limit x 2``.
    """
    excess = len(pairs) - limit
    if excess <= 0:
        return pairs
    older = pairs[: len(pairs) - limit // 2]
    return np.delete(pairs, np.argsort(older[:, 1], kind="stable")[:excess], axis=0)


@dataclass(frozen=True)
class SurrogateView:
    """The surrogate's belief at ``g`` rates, in units of the score.

    In the surrogate's own units it is ``posterior``, a mixture of Student-t's at each rate; ``cdf``, ``log_density``
    and ``interval`` carry it to scores exactly. Where bad scores are drawn together (:class:`Units`), a mean of scores
    may not even exist below the best one; ``mean`` is then the image of the posterior's mean, and ``scale`` and
    ``variance`` are to first order about it. From the best score up both are exact.

    Args:
        lrs: the rates, ``g``.
        mean: centre of the belief, ``g``.
        variance: its variance, ``g``; infinite for ``df <= 2``.
        scale: scale of the one Student-t of ``df`` degrees of freedom that has this variance, ``g``.
        df: degrees of freedom of every component; ``inf`` for the Gaussian.
        acquisition: what ``ask()`` maximises, ``g``: an improvement in units of the score, its log, or a probability,
            times the priors of the optimum's place.
        posterior: the belief in the surrogate's units, of shape ``g x 1 x 1``.
        units: between scores and the surrogate's units.
    """

    lrs: Array
    mean: Array
    variance: Array
    scale: Array
    df: float
    acquisition: Array
    posterior: StudentTPosterior
    units: Units

    @classmethod
    def of(cls, lrs: Array, posterior: StudentTPosterior, units: Units, acquisition: Array) -> SurrogateView:
        """The view of a posterior.

        Args:
            lrs: rates, ``g``.
            posterior: the belief there in standardised scores, ``g x 1 x 1``.
            units: of the scores.
            acquisition: the acquisition there, ``g``.

        Returns:
            The view.
        """
        mean = units.raw(posterior.mean.numpy().ravel())
        slope = np.exp(-units.log_slope(mean))  # d score / d standard
        variance, scale = (values.numpy().ravel() for values in (posterior.variance, posterior.scale))
        return cls(lrs, mean, variance * slope**2, scale * slope, posterior.df, acquisition, posterior, units)

    def _standard(self, score: npt.ArrayLike) -> torch.Tensor:
        return torch.as_tensor(self.units.standard(score)).reshape(-1, 1, 1)

    def cdf(self, score: npt.ArrayLike) -> Array:
        """Probability of a score up to ``score`` at each rate.

        Args:
            score: a number, or ``g`` of them.

        Returns:
            Probabilities, ``g``.
        """
        return np.asarray(self.posterior.cdf(self._standard(score)).numpy().ravel())

    def log_density(self, score: npt.ArrayLike) -> Array:
        """Log density of a score at each rate.

        Args:
            score: a number, or ``g`` of them.

        Returns:
            Log densities, ``g``.
        """
        log_density = self.posterior.log_density(self._standard(score)).numpy().ravel()
        return np.asarray(log_density + self.units.log_slope(score))

    def interval(self, probability: float) -> tuple[Array, Array]:
        """Central interval at each rate.

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
        low, high = self.posterior.quantile(torch.tensor([tail, 1.0 - tail], dtype=torch.float64)).numpy()
        return self.units.raw(low.ravel()), self.units.raw(high.ravel())
