"""Student-t functions on tensors, stable far in the tails and differentiable (twice).

| symbol | meaning |
| --- | --- |
| ``z`` | standardised improvement, ``(loc - best - xi) / scale`` |
| ``df`` | degrees of freedom; ``inf`` is the Gaussian. A number: it counts observations and needs no gradient |
| ``t``, ``T`` | density and distribution function of the standard Student-t |
| ``h`` | ``h(z) = E[max(z + e, 0)]`` for ``e ~ t_df``; expected improvement is ``scale * h(z)`` |

For ``df > 1``: ``h(z) = z T(z) + (df + z^2) / (df - 1) t(z)``, ``h' = T``. In the left tail the two terms cancel;
there ``T`` is written by Gauss's 2F1, whose leading term cancels by algebra (docs/bayesopt_method.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import special
from torch import Tensor

__all__ = ["cdf", "inverse_root_chi2", "log_cdf", "log_h", "log_pdf", "quantile"]

Array = npt.NDArray[np.float64]

_GAUSSIAN_DF = 1e8
"""from here on the Gaussian formulas are closer to the truth than rounding is: the difference is O(1/df)"""
_LEFT = -2.0
"""left of it T comes by a continued fraction or a series, which give it relative to t and so cannot underflow"""
_MANY = 4096
"""from so many values on ``log_h`` is interpolated, to 1e-7: a grid of 512 places has tens of thousands"""
_LN_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


def log_pdf(z: Tensor, df: float) -> Tensor:
    """Log density of the standard Student-t.

    Args:
        z: any shape.
        df: degrees of freedom, > 0; ``inf`` is the Gaussian.

    Returns:
        Shape of ``z``.

    Example:
        >>> round(log_pdf(torch.tensor(0.0, dtype=torch.float64), 3.0).item(), 6)
        -1.000889
    """
    if df >= _GAUSSIAN_DF:
        return -0.5 * z.clamp(-1e150, 1e150).square() - _LN_SQRT_2PI
    constant = math.lgamma(0.5 * (df + 1.0)) - math.lgamma(0.5 * df) - 0.5 * math.log(df * math.pi)
    # z^2 overflows beyond 1e150, where it alone counts
    big = z.abs() > 1e100
    body = torch.log1p(z.masked_fill(big, 0.0).square() / df)
    tail = 2.0 * z.abs().masked_fill(~big, 1.0).log() - math.log(df)
    return constant - 0.5 * (df + 1.0) * torch.where(big, tail, body)


def cdf(z: Tensor, df: float) -> Tensor:
    """Distribution function, without gradient.

    Args:
        z: any shape.
        df: degrees of freedom, > 0; ``inf`` is the Gaussian.

    Returns:
        Shape of ``z``, in [0, 1].

    Example:
        >>> round(cdf(torch.tensor(-1.0, dtype=torch.float64), 3.0).item(), 6)
        0.195501
    """
    return _through_numpy(_cdf, z, df)


def quantile(p: float, df: float) -> float:
    """Inverse of the distribution function.

    Args:
        p: a probability between 0 and 1.
        df: degrees of freedom, > 0; ``inf`` is the Gaussian.

    Returns:
        The quantile.
    """
    return float(special.ndtri(p) if math.isinf(df) else special.stdtrit(df, p))


def log_cdf(z: Tensor, df: float) -> Tensor:
    """Log of the distribution function, without underflow; d/dz = t / T.

    Args:
        z: any shape.
        df: degrees of freedom, > 1; ``inf`` is the Gaussian.

    Returns:
        Shape of ``z``.

    Raises:
        ValueError: if ``df`` is not above 1.

    Example:
        >>> round(log_cdf(torch.tensor(-1e6, dtype=torch.float64), 4.0).item(), 4)
        -54.1634
    """
    _check(df)
    return _LogCdf.apply(z, df)  # type: ignore[no-untyped-call, no-any-return]


def log_h(z: Tensor, df: float) -> Tensor:
    """Log of the standardised expected improvement, without underflow; d/dz = T / h.

    Args:
        z: any shape; 4,096 values or more are interpolated, to 1e-7.
        df: degrees of freedom, > 1; ``inf`` is the Gaussian.

    Returns:
        Shape of ``z``.

    Raises:
        ValueError: if ``df`` is not above 1.

    Example:
        The tail is polynomial, ``h ~ |z|**(1 - df)``:

        >>> z = torch.tensor([-0.5, -1e8], dtype=torch.float64)
        >>> log_h(z, 3.0).round(decimals=4).tolist()
        [-1.0612, -37.4368]
    """
    _check(df)
    return _LogH.apply(z, df)  # type: ignore[no-untyped-call, no-any-return]


def inverse_root_chi2(normal: Tensor, df: float) -> Tensor:
    """``sqrt(df / chi2)`` where chi2 is the quantile of a chi-square variable at the place of a standard normal one.

    Times a standard normal vector this is a multivariate Student-t one. The smaller tail is inverted on either side,
    so that no normal variable however extreme gives zero or infinity.

    Args:
        normal: any shape.
        df: degrees of freedom; ``inf`` gives ones.

    Returns:
        Shape of ``normal``, positive, without gradient.
    """
    if math.isinf(df):
        return torch.ones_like(normal)
    g = normal.detach().double().cpu().numpy()
    tail = np.maximum(special.ndtr(-np.abs(g)), 1e-300)
    half = np.where(g > 0.0, special.gammainccinv(0.5 * df, tail), special.gammaincinv(0.5 * df, tail))
    return torch.as_tensor(np.sqrt(0.5 * df / half)).to(normal)


def _check(df: float) -> None:
    if not df > 1.0:
        raise ValueError(f"df={df!r}: expected improvement exists for more than one degree of freedom")


def _through_numpy(function: Callable[[Any, float], Array], z: Tensor, df: float) -> Tensor:
    values = function(z.detach().double().cpu().numpy(), df)
    return torch.as_tensor(np.asarray(values)).to(z)


class _LogCdf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, df: float) -> Tensor:
        ctx.save_for_backward(z)
        ctx.df = df
        return _through_numpy(_log_cdf, z, df)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        return grad * (log_pdf(z, ctx.df) - log_cdf(z, ctx.df)).exp(), None


class _LogH(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, df: float) -> Tensor:
        ctx.save_for_backward(z)
        ctx.df = df
        exact = z.numel() < _MANY or df >= _GAUSSIAN_DF
        return _through_numpy(_log_h if exact else _interpolated_log_h, z, df)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        return grad * (log_cdf(z, ctx.df) - log_h(z, ctx.df)).exp(), None


# ---------------------------------------------------------------- values, on arrays


def _cdf(z: Array, df: float) -> Array:
    return np.asarray(special.ndtr(z) if df >= _GAUSSIAN_DF else special.stdtr(df, z))


def _log_cdf(z: Array, df: float) -> Array:
    return np.asarray(special.log_ndtr(z)) if df >= _GAUSSIAN_DF else _logs(z, df)[0]


def _log_h(z: Array, df: float) -> Array:
    return _gaussian_log_h(z) if df >= _GAUSSIAN_DF else _logs(z, df)[1]


def _log_pdf(z: Array, df: float) -> Array:
    return log_pdf(torch.as_tensor(z), df).numpy()


def _mills_series(x: Array, df: float) -> Array:
    # ``-sum_{k>=1} d_k x^k > 0`` with T(-w) = t(w) (1 + sum d_k x^k) / (w x), for x = df / (df + w^2) <= 1/2
    total, power, c = np.zeros_like(x), np.ones_like(x), 1.0
    for k in range(1, 61):  # x <= 1/2 halves every term at least: 2^-60 is below rounding
        d = -0.5 * c / (0.5 * df + k)
        c += d
        power = power * x
        total -= d * power
    return total


def _mills_fraction(w: Array, df: float) -> Array:
    # T(-w) / t(w) by the continued fraction of the incomplete beta function (modified Lentz), for x > 1/2, w >= 2
    a, b, x = 0.5 * df, 0.5, df / (df + w**2)
    c = np.ones_like(x)
    d = 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    value = d.copy()
    for m in range(1, 2000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / (1.0 + term * d)
            c = 1.0 + term / c
            step = c * d
            value = value * step
        if np.all(np.abs(step - 1.0) < 1e-15):
            break
    return np.asarray(w * value / df)


def _right(z: Array, df: float) -> tuple[Array, Array]:
    # (T, h) by their definitions, for z > -2
    below = _cdf(z, df)
    return below, z * below + (df + z**2) / (df - 1.0) * np.exp(_log_pdf(z, df))


def _near(z: Array, df: float) -> tuple[Array, Array]:
    # (T / t, h / t) for z <= -2 and x > 1/2
    mills = _mills_fraction(-z, df)
    return mills, (df + z**2) / (df - 1.0) + z * mills


def _far(z: Array, df: float) -> tuple[Array, Array]:
    # (ln T / t, ln h / t) for z <= -2 and x <= 1/2
    w = np.minimum(-z, 1e150)
    series = _mills_series(df / (df + w**2), df)
    log_w2 = np.log(df + w**2) + 2.0 * np.log(np.maximum(-z / 1e150, 1.0))
    # wT / t = (1 - series) / x and (df + w^2) / (df - 1) = df / ((df - 1) x): their difference without cancellation
    log_h_ratio = log_w2 + np.log(1.0 / (df * (df - 1.0)) + series / df)
    return log_w2 - math.log(df) - np.log(-z) + np.log1p(-series), log_h_ratio


def _logs(z: Array, df: float) -> tuple[Array, Array]:
    # (ln T, ln h), each place by the formula for its region; df finite
    flat = np.minimum(z.ravel(), 1e100)
    out = np.empty((2, flat.size))
    right = flat > _LEFT
    far = flat <= min(_LEFT, -math.sqrt(df))  # x = df / (df + z^2) <= 1/2
    near = ~(right | far)
    for region, logs in ((right, _right), (near, _near), (far, _far)):
        if region.any():
            here = flat[region]
            values = np.stack(logs(here, df))
            out[:, region] = values if logs is _far else np.log(values)
            if logs is not _right:
                out[:, region] += _log_pdf(here, df)
    return out[0].reshape(z.shape), out[1].reshape(z.shape)


def _gaussian_log_h(z: Array) -> Array:
    # ``ln(phi(z) + z Phi(z))``; see BoTorch's ``_log_ei_helper`` [Ament2023logei]
    z = np.clip(z, -1e150, 1e150)  # z^2 must not overflow
    right = np.maximum(z, -1.0)
    direct = np.log(np.exp(-0.5 * right**2 - _LN_SQRT_2PI) + right * special.ndtr(right))
    w = np.maximum(-z, 1.0)
    near = np.minimum(w, 60.0)
    i2 = 1.0 / np.maximum(w, 60.0) ** 2
    # 1 - w Phi(-w) / phi(w): direct up to 60 (loses eps w^2), asymptotic series beyond (next term 10395 w^-12 / w^-2)
    ratio = 1.0 - near * math.sqrt(0.5 * math.pi) * special.erfcx(near / math.sqrt(2.0))
    series = i2 * (1.0 - i2 * (3.0 - i2 * (15.0 - i2 * (105.0 - i2 * 945.0))))
    left = -0.5 * w**2 - _LN_SQRT_2PI + np.log(np.where(w > 60.0, series, ratio))
    return np.asarray(np.where(z > -1.0, direct, left))


_HALF_WIDTH, _PIECES = 24.0, 1536
"""the table spans |z| <= sinh(24) = 1.3e10 in pieces of 1/32 of asinh(z)"""


@lru_cache(maxsize=64)
def _table(df: float) -> Array:
    # coefficients 4 x pieces of a cubic spline of log_h over asinh(z); a millisecond
    step = 2.0 * _HALF_WIDTH / _PIECES
    knots = np.linspace(-_HALF_WIDTH, _HALF_WIDTH, _PIECES + 1)
    log_t, f = _logs(np.sinh(knots), df)
    slope = np.exp(log_t - f) * np.cosh(knots) * step  # d log h / dz = T / h
    f0, f1, g0, g1 = f[:-1], f[1:], slope[:-1], slope[1:]
    return np.stack([f0, g0, 3.0 * (f1 - f0) - 2.0 * g0 - g1, 2.0 * (f0 - f1) + g0 + g1])


def _interpolated_log_h(z: Array, df: float) -> Array:
    # beyond |z| = 1e10 the value at that end
    place = (np.arcsinh(z) + _HALF_WIDTH) * (_PIECES / (2.0 * _HALF_WIDTH))
    place = np.clip(place, 0.0, _PIECES - 1e-6)
    piece = place.astype(np.intp)
    s = place - piece
    c0, c1, c2, c3 = (np.take(c, piece) for c in _table(df))
    return np.asarray(c0 + s * (c1 + s * (c2 + s * c3)))
