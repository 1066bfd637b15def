"""The one-dimensional Student-t process of :class:`BayesOpt`: exact, averaged over a grid of hyperparameters, fast.

| symbol | meaning | shape |
| --- | --- | --- |
| ``x``, ``y`` | places and standardised scores | ``n`` |
| ``u`` | places asked about | ``g`` |
| ``l``, ``rho`` | lengthscale (unit interval), noise as a ratio of the signal | ``L``, ``R`` |
| ``Q``, ``lam`` | eigenvectors and -values of ``k(x, x) + v`` | ``L x n x n``, ``L x n`` |
| ``w`` | posterior weight of a node ``(l, rho)`` | ``L x R``; ``K`` kept ones |

Model: ``f ~ GP(0, (k + v) / tau)``, noise variance ``rho / tau``, ``tau ~ Gamma(a, b)``; ``v`` is the prior variance of
a constant mean. One eigendecomposition for each lengthscale serves every noise ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lightning_gammabo.bayesopt.precision import precision_posterior, student_t_log_marginal

__all__ = ["KERNELS", "ROUGH", "Fit", "HyperGrid", "Kernel", "Mixture", "fit", "predict"]

Array = npt.NDArray[np.float64]
Kernel = Literal["matern52", "rbf"]

_PRUNE = 1e-3
"""nodes below this share of the best node's weight are left out: 14 to 65 of 84 remain"""
_VARIANCE_FLOOR = 1e-12


def _matern52(distance: Array) -> Array:
    r = math.sqrt(5.0) * distance
    return np.asarray((1.0 + r + r * r / 3.0) * np.exp(-r))


def _rbf(distance: Array) -> Array:
    return np.asarray(np.exp(-0.5 * distance * distance))


KERNELS: dict[str, Callable[[Array], Array]] = {"matern52": _matern52, "rbf": _rbf}


@dataclass(frozen=True)
class HyperGrid:
    """The quadrature nodes of the hyperparameters and their prior.

    Results are flat in all of these numbers (measured on learning-rate landscapes).

    Args:
        kernel: ``"matern52"`` or ``"rbf"``.
        lengthscales: ``l``, on the unit interval.
        noise_ratios: ``rho``, noise variance over signal variance.
        lengthscale_prior: median of ``l`` and standard deviation of ``ln l``.
        noise_prior: median of ``rho`` and standard deviation of ``ln rho``.
        mean_variance: ``v``.
        maximise: keep the best node alone instead of averaging.
    """

    kernel: Kernel = "matern52"
    lengthscales: tuple[float, ...] = tuple(np.geomspace(0.05, 2.0, 12).tolist())
    noise_ratios: tuple[float, ...] = (1e-6, 1e-4, 1e-3, 1e-2, 0.05, 0.2, 1.0)
    lengthscale_prior: tuple[float, float] = (0.2, 0.75)
    noise_prior: tuple[float, float] = (1e-2, 2.0)
    mean_variance: float = 1.0
    maximise: bool = False

    def log_prior(self) -> Array:
        """Log prior density of the nodes over (ln l, ln rho), up to a constant.

        Returns:
            ``L x R``.
        """
        l_median, l_sd = self.lengthscale_prior
        r_median, r_sd = self.noise_prior
        log_l = -0.5 * ((np.log(self.lengthscales) - math.log(l_median)) / l_sd) ** 2
        log_r = -0.5 * ((np.log(self.noise_ratios) - math.log(r_median)) / r_sd) ** 2
        return np.asarray(log_l[:, None] + log_r[None, :])


ROUGH = HyperGrid(lengthscale_prior=(0.12, 1.0))
"""nodes for a later epoch, in which little is left to gain and ripples a few tenths of a decade wide count"""


@dataclass(frozen=True)
class Fit:
    """What the data say: all that :func:`predict` needs.

    Args:
        grid: the nodes.
        x: places, ``n``.
        vectors: ``Q``, ``L x n x n``.
        values: ``lam``, ``L x n``.
        projected: ``Q' y``, ``L x n``.
        weights: ``w``, ``L x R``, summing to 1; 0 for a node that was left out.
        spread: ``b_n / a_n``, ``L x R``.
        df: ``2 a_n``.
    """

    grid: HyperGrid
    x: Array
    vectors: Array
    values: Array
    projected: Array
    weights: Array
    spread: Array
    df: float


@dataclass(frozen=True)
class Mixture:
    """A mixture of Student-t marginals at ``g`` places.

    Args:
        weights: ``K``, summing to 1.
        loc: ``K x g``.
        scale: ``K x g``; not the standard deviation.
        df: degrees of freedom, the same in every node.
    """

    weights: Array
    loc: Array
    scale: Array
    df: float

    @property
    def mean(self) -> Array:
        """Mean of the mixture, ``g``."""
        return np.asarray(self.weights @ self.loc)

    @property
    def variance(self) -> Array:
        """Variance of the mixture, ``g``; infinite for ``df <= 2``."""
        inflation = 1.0 if math.isinf(self.df) else self.df / (self.df - 2.0) if self.df > 2.0 else math.inf
        centred = self.loc - self.mean
        return np.asarray(self.weights @ (self.scale**2 * inflation + centred**2))


def fit(x: Array, y: Array, grid: HyperGrid, concentration: float, rate: float) -> Fit:
    """Condition the process on data.

    Args:
        x: places, ``n``; duplicates are fine.
        y: standardised scores, ``n``.
        grid: the hyperparameters' nodes.
        concentration: ``a`` of the precision's prior; ``inf`` for the Gaussian process of unit precision.
        rate: ``b`` of the precision's prior.

    Returns:
        The posterior weights and factors.
    """
    n = x.size
    distance = np.abs(x[:, None] - x[None, :]) / np.asarray(grid.lengthscales)[:, None, None]
    values, vectors = np.linalg.eigh(KERNELS[grid.kernel](distance) + grid.mean_variance)
    values = np.maximum(values, 0.0)
    projected = np.matmul(y, vectors)
    noisy = values[:, None, :] + np.asarray(grid.noise_ratios)[None, :, None]
    quad = (projected[:, None, :] ** 2 / noisy).sum(axis=-1)
    log_w = student_t_log_marginal(quad, np.log(noisy).sum(axis=-1), n, concentration, rate) + grid.log_prior()
    weights = np.exp(log_w - log_w.max())
    weights[weights < (1.0 if grid.maximise else _PRUNE)] = 0.0
    if math.isinf(concentration):
        spread, df = np.ones_like(quad), math.inf
    else:
        a_n, b_n = precision_posterior(concentration, rate, n, quad)
        spread, df = b_n / a_n, 2.0 * a_n
    return Fit(grid, x, vectors, values, projected, weights / weights.sum(), spread, df)


def predict(fitted: Fit, u: Array, *, observation_noise: bool = False) -> Mixture:
    """Marginals of ``f`` (or of a new observation) at some places.

    ``m = k' K^-1 y`` and ``s^2 = (b_n / a_n) (1 + v - k' K^-1 k)``.

    Args:
        fitted: what :func:`fit` gave.
        u: places, ``g``.
        observation_noise: whether ``s^2`` is that of a new observation (``rho`` joins the bracket).

    Returns:
        The mixture over the kept nodes.
    """
    grid, v = fitted.grid, fitted.grid.mean_variance
    ratios = np.asarray(grid.noise_ratios)
    distance = np.abs(fitted.x[:, None] - u[None, :])
    kernel = KERNELS[grid.kernel]
    loc, scale, weights = [], [], []
    for i in np.flatnonzero(fitted.weights.any(axis=1)):
        kept = np.flatnonzero(fitted.weights[i])
        cross = fitted.vectors[i].T @ (kernel(distance / grid.lengthscales[i]) + v)  # n x g
        inverse = 1.0 / (fitted.values[i] + ratios[kept, None])  # R x n
        bracket = 1.0 + v - inverse @ (cross * cross)
        if observation_noise:
            bracket = bracket + ratios[kept, None]
        loc.append((inverse * fitted.projected[i]) @ cross)
        scale.append(np.sqrt(np.maximum(fitted.spread[i, kept, None] * bracket, _VARIANCE_FLOOR)))
        weights.append(fitted.weights[i, kept])
    return Mixture(np.concatenate(weights), np.concatenate(loc), np.concatenate(scale), fitted.df)
