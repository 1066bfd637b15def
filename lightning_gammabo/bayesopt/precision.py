"""The Gamma posterior of the precision: the conjugate updates of the thesis, and the marginal likelihood.

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

from torch import Tensor

__all__ = ["ThesisReading", "mean_posterior", "precision_posterior", "student_t_log_marginal"]

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


def student_t_log_marginal(quad: Tensor, root: Tensor, concentration: float, rate: float) -> Tensor:
    """Log density of ``n`` observations with the precision integrated out.

    ``y | tau ~ N(0, K / tau)``, ``tau ~ Gamma(a, b)`` make ``y`` multivariate Student-t with ``df = 2a`` and shape
    matrix ``(b / a) K``:  ``ln G(a_n) - ln G(a) + a ln b - a_n ln b_n - ln|K| / 2 - n ln(2 pi) / 2``.
    As ``a = b`` goes to infinity it becomes the Gaussian's.

    Args:
        quad: ``y' K^-1 y``, ``b x K x m``.
        root: lower Cholesky factors of K, ``b x K x n x n``.
        concentration: ``a``; ``inf`` (with rate ``inf``) is the Gaussian of unit precision.
        rate: ``b``.

    Returns:
        Log densities, ``b x K x m``.

    Example:
        One observation y = 1 with K = 2, a = b = 1.5 is a Student-t with 3 degrees of freedom:

        >>> import torch
        >>> root = torch.full((1, 1, 1), 2.0, dtype=torch.float64).sqrt()
        >>> round(student_t_log_marginal(torch.full((1, 1), 0.5), root, 1.5, 1.5).item(), 6)
        -1.655764
    """
    n = root.shape[-1]
    half_logdet = root.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1).unsqueeze(-1)
    constant = -0.5 * n * math.log(2.0 * math.pi)
    if math.isinf(concentration):
        return constant - 0.5 * quad - half_logdet
    a_n, b_n = precision_posterior(concentration, rate, n, quad)
    constant += math.lgamma(a_n) - math.lgamma(concentration) + concentration * math.log(rate)
    return constant - a_n * b_n.log() - half_logdet
