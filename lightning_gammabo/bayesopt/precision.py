"""Conjugate updates with a Gamma posterior of the precision: pure functions on numbers, arrays or tensors.

| symbol | meaning |
| --- | --- |
| ``tau`` | precision, ``1 / variance`` |
| ``a, b`` | concentration and rate of ``tau ~ Gamma(a, b)``; ``E[tau] = a / b`` |
| ``n`` | number of observations |

Equation numbers are those of the thesis (chapter 3.3). Everything is elementwise and broadcasts.
"""

from __future__ import annotations

import math
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = [
    "ThesisReading",
    "mean_posterior",
    "normal_gamma_update",
    "precision_posterior",
    "student_t_log_marginal",
    "thesis_estimate",
]

Array = npt.NDArray[np.float64]
ThesisReading = Literal["L1", "L2", "L3"]
T = TypeVar("T")


def precision_posterior(concentration: float, rate: float, n: int, sum_squares: T) -> tuple[float, T]:
    """Gamma posterior of the precision after ``n`` residuals about a known mean (eqs. 14, 15).

    ``tau | y ~ Gamma(a + n / 2, b + sum_squares / 2)``. With correlated residuals ``sum_squares`` is ``r' K^-1 r``.

    Args:
        concentration: ``a`` of the prior.
        rate: ``b`` of the prior.
        n: number of residuals.
        sum_squares: their (whitened) sum of squares, any shape.

    Returns:
        ``a_n`` and ``b_n``, the latter of the shape of ``sum_squares``.

    Example:
        >>> precision_posterior(1.0, 1.0, 4, 6.0)
        (3.0, 4.0)
    """
    return concentration + 0.5 * n, rate + 0.5 * sum_squares  # type: ignore[operator, return-value]


def mean_posterior(prior_mean: T, prior_variance: T, total: float, n: int, variance: T) -> tuple[T, T]:
    """Gaussian posterior of a mean from ``n`` observations of known variance (eq. 13).

    ``1/V = 1/prior_variance + n/variance`` and ``M = V (prior_mean/prior_variance + total/variance)``.

    Args:
        prior_mean: prior mean, any shape.
        prior_variance: prior variance, > 0, same shape.
        total: sum of the observations.
        n: how many they are.
        variance: variance of one observation, > 0, same shape.

    Returns:
        ``M`` and ``V``, the posterior mean and variance.

    Example:
        >>> mean_posterior(0.0, 1.0, 6.0, 3, 1.0)
        (1.5, 0.25)
    """
    v = 1.0 / (1.0 / prior_variance + n / variance)  # type: ignore[operator]
    return v * (prior_mean / prior_variance + total / variance), v  # type: ignore[operator, return-value]


def normal_gamma_update(
    mean: float, strength: float, concentration: float, rate: float, y: npt.ArrayLike
) -> tuple[float, float, float, float]:
    """Normal-Gamma posterior when neither mean nor precision is known.

    Prior: ``tau ~ Gamma(a, b)``, ``mu | tau ~ N(mean, 1 / (strength tau))``; observations ``N(mu, 1 / tau)``.

    Args:
        mean: prior mean of ``mu``.
        strength: prior strength in observations, > 0.
        concentration: ``a`` of the prior.
        rate: ``b`` of the prior.
        y: observations, any shape, flattened.

    Returns:
        The four parameters of the posterior, in the order of the prior's. Its marginal of ``mu`` is Student-t with
        ``df = 2 a_n``, ``loc = mean_n``, ``scale**2 = b_n / (a_n strength_n)``.

    Example:
        >>> normal_gamma_update(0.0, 1.0, 1.0, 1.0, [1.0, 3.0])
        (1.3333333333333333, 3.0, 2.0, 3.333333333333333)
    """
    values = np.asarray(y, dtype=np.float64).ravel()
    n = values.size
    if n == 0:
        return mean, strength, concentration, rate
    ybar = float(values.mean())
    spread = float(((values - ybar) ** 2).sum()) + strength * n * (ybar - mean) ** 2 / (strength + n)
    a_n, b_n = precision_posterior(concentration, rate, n, spread)
    return (strength * mean + n * ybar) / (strength + n), strength + n, a_n, b_n


def student_t_log_marginal(quad: Array, logdet: Array, n: int, concentration: float, rate: float) -> Array:
    """Log density of ``n`` observations with the precision integrated out.

    ``y | tau ~ N(0, K / tau)``, ``tau ~ Gamma(a, b)`` make ``y`` multivariate Student-t with ``df = 2a`` and shape
    matrix ``(b / a) K``:  ``ln G(a_n) - ln G(a) + a ln b - a_n ln b_n - ln|K| / 2 - n ln(2 pi) / 2``.
    As ``a = b`` goes to infinity it becomes the Gaussian's.

    Args:
        quad: ``y' K^-1 y``, any shape.
        logdet: ``ln |K|``, same shape.
        n: number of observations.
        concentration: ``a``; ``inf`` (with rate ``inf``) is the Gaussian of unit precision.
        rate: ``b``.

    Returns:
        Log densities, same shape.

    Example:
        One observation y = 1 with K = 2, a = b = 1.5 is a Student-t with 3 degrees of freedom:

        >>> import numpy as np
        >>> round(float(student_t_log_marginal(np.array(0.5), np.log(2.0), 1, 1.5, 1.5)), 6)
        -1.655764
    """
    constant = -0.5 * n * math.log(2.0 * math.pi)
    if math.isinf(concentration):
        return np.asarray(constant - 0.5 * quad - 0.5 * logdet)
    a_n, b_n = precision_posterior(concentration, rate, n, quad)
    constant += float(special.gammaln(a_n) - special.gammaln(concentration)) + concentration * math.log(rate)
    return np.asarray(constant - a_n * np.log(b_n) - 0.5 * logdet)


def thesis_estimate(
    mean: Array,
    variance: Array,
    y: Array,
    *,
    mean_at_y: Array | None = None,
    concentration: float = 1.0,
    rate: float = 1.0,
    reading: ThesisReading = "L2",
) -> tuple[Array, Array]:
    """The thesis's own estimate of mean and variance for its acquisition (ch. 3.3): eqs. 14, 15, then eq. 13.

    The surrogate's mean is taken as known; the precision gets its Gamma posterior from the observations; the variance
    is estimated as ``1 / E[tau] = b_n / a_n``; the mean is estimated again with that variance (eq. 13, the surrogate's
    mean and variance being the prior). The text leaves open which mean and which variance; the readings are

    - ``"L2"`` (default): residuals ``y_i - m(x)`` about the candidate's own mean; EI from ``M(x)`` and ``V(x)``;
    - ``"L1"``: as L2, but EI from ``M(x)`` and the estimated variance of one observation;
    - ``"L3"``: residuals ``y_i - m(x_i)`` about the means at the data; EI from ``M(x)`` and ``V(x)``.

    All three treat the observations as ``n`` draws of one mean, so M is drawn to their average wherever the surrogate
    is unsure, and V shrinks everywhere as n grows.

    Args:
        mean: the surrogate's mean at the candidates, ``k``.
        variance: its variance there, ``k``.
        y: the observations, ``n``.
        mean_at_y: the surrogate's mean where they were observed, ``n``; only L3 needs it.
        concentration: ``a0`` of the Gamma prior.
        rate: ``b0``, in squared units of ``y``; with b0 near 0 the variance of L3 collapses.
        reading: one of the three.

    Returns:
        Mean and variance for the acquisition, ``k`` each; the variance is at least 1e-12.

    Raises:
        ValueError: if the reading is unknown, or L3 lacks ``mean_at_y``.

    Example:
        >>> import numpy as np
        >>> m, v = thesis_estimate(np.array([0.0]), np.array([1.0]), np.array([1.0, -1.0]))
        >>> m.tolist(), v.tolist()
        ([0.0], [0.3333333333333333])
    """
    if reading not in ("L1", "L2", "L3"):
        raise ValueError(f"reading={reading!r}: the readings are 'L1', 'L2' and 'L3'")
    if reading == "L3":
        if mean_at_y is None:
            raise ValueError("reading='L3' takes the residuals at the data: give mean_at_y")
        squares = np.full_like(mean, float(((y - mean_at_y) ** 2).sum()))
    else:
        squares = ((y[:, None] - mean[None, :]) ** 2).sum(axis=0)
    a_n, b_n = precision_posterior(concentration, rate, y.size, squares)
    noise = np.maximum(b_n / a_n, 1e-12)
    again, again_variance = mean_posterior(mean, np.maximum(variance, 1e-12), float(y.sum()), y.size, noise)
    return again, np.maximum(noise if reading == "L1" else again_variance, 1e-12)
