"""Slow references: the same numbers by quadrature, with many digits, by explicit inverses."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
from scipy import integrate, stats


def log_h_and_log_cdf(z: float, df: float) -> tuple[float, float]:
    """ln E[max(z + e, 0)] and ln P(e < z) for e ~ t_df, with 60 digits."""
    with mpmath.workdps(60):
        z_, nu = mpmath.mpf(z), mpmath.mpf(df)
        density = mpmath.gamma((nu + 1) / 2) / mpmath.gamma(nu / 2) / mpmath.sqrt(nu * mpmath.pi)
        density *= (1 + z_**2 / nu) ** (-(nu + 1) / 2)
        below = mpmath.betainc(nu / 2, mpmath.mpf(1) / 2, 0, nu / (nu + z_**2), regularized=True) / 2
        if z_ > 0:
            below = 1 - below
        h = z_ * below + (nu + z_**2) / (nu - 1) * density
        return float(mpmath.log(h)), float(mpmath.log(below))


def gaussian_log_h(z: float) -> float:
    """ln(phi(z) + z Phi(z)), with 80 digits."""
    with mpmath.workdps(80 + int(0.5 * z * z)):
        z_ = mpmath.mpf(z)
        return float(mpmath.log(mpmath.npdf(z_) + z_ * mpmath.ncdf(z_)))


def expected_improvement(df: float, loc: float, scale: float, best: float) -> float:
    """E[max(f - best, 0)] for f Student-t, by quadrature."""
    law = stats.t(df, loc, scale)
    value, _ = integrate.quad(lambda f: (f - best) * law.pdf(f), best, math.inf, epsabs=1e-13, epsrel=1e-12, limit=400)
    return float(value)


def matern52(a: np.ndarray, b: np.ndarray, lengthscale: float) -> np.ndarray:
    """Matern-5/2 by its textbook formula, points in rows."""
    r = np.sqrt(5.0) * np.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(-1)) / lengthscale
    return np.asarray((1 + r + r**2 / 3) * np.exp(-r))


def process_by_formula(
    x: np.ndarray,
    y: np.ndarray,
    u: np.ndarray,
    lengthscale: float,
    rho: float,
    v: float,
    a: float,
    b: float,
    kernel: Callable[[np.ndarray, np.ndarray, float], np.ndarray] = matern52,
) -> tuple[float, np.ndarray, np.ndarray, float]:
    """df, loc, shape matrix and log marginal likelihood of one node, with explicit inverses; points in rows."""
    K = kernel(x, x, lengthscale) + v + rho * np.eye(len(x))
    k = kernel(x, u, lengthscale) + v
    inverse = np.linalg.inv(K)
    a_n, b_n = a + len(x) / 2, b + 0.5 * float(y @ inverse @ y)
    shape = b_n / a_n * (kernel(u, u, lengthscale) + v - k.T @ inverse @ k)
    marginal = stats.multivariate_t(np.zeros(len(x)), b / a * K, df=2 * a).logpdf(y)
    return 2 * a_n, k.T @ inverse @ y, shape, float(marginal)


def thesis_estimate(
    m: float, s2: float, y: list[float], means: list[float], a: float, b: float, reading: str
) -> tuple[float, float]:
    """Equations 13 to 15 of the thesis at one candidate, as they are printed."""
    centre = means if reading == "L3" else [m] * len(y)
    alpha = a + len(y) / 2
    beta = b + sum((yi - c) ** 2 for yi, c in zip(y, centre, strict=True)) / 2
    sigma2 = beta / alpha
    v = 1 / (1 / s2 + len(y) / sigma2)
    return v * (m / s2 + sum(y) / sigma2), sigma2 if reading == "L1" else v


def mixture_moments(
    weights: np.ndarray, loc: np.ndarray, scale: np.ndarray, df: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a mixture of Student-t's, components in rows."""
    mean = weights @ loc
    inflation = 1.0 if math.isinf(df) else df / (df - 2.0)
    return mean, weights @ (scale**2 * inflation + (loc - mean) ** 2)
