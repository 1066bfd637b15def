"""Student-t helpers for the acquisitions, stable far in the tails.

| symbol | meaning |
| --- | --- |
| ``z`` | standardised improvement, ``(loc - best - xi) / scale`` |
| ``df`` | degrees of freedom, > 1; ``inf`` is the Gaussian |
| ``t``, ``T`` | density and distribution function of the standard Student-t |
| ``h`` | ``h(z) = E[max(z + e, 0)]`` for ``e ~ t_df``; expected improvement is ``scale * h(z)`` |

For ``df > 1``: ``h(z) = z T(z) + (df + z^2) / (df - 1) t(z)``, ``h' = T``. In the left tail the two terms cancel;
there ``T`` is written by Gauss's 2F1, whose leading term cancels by algebra (docs/bayesopt_method.md).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["LogHTable", "cdf", "h", "log_cdf", "log_h", "log_h_table", "log_pdf"]

Array = npt.NDArray[np.float64]

_GAUSSIAN_DF = 1e8
"""from here on the Gaussian formulas are closer to the truth than rounding is: the difference is O(1/df)"""
_LEFT = -2.0
"""left of it T comes by a continued fraction or a series, which give it relative to t and so cannot underflow"""
_LN_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


def _check(df: float) -> None:
    if not df > 1.0:
        raise ValueError(f"df={df!r}: expected improvement exists for more than one degree of freedom")


def log_pdf(z: npt.ArrayLike, df: float) -> Array:
    """Log density of the standard Student-t.

    Args:
        z: any shape.
        df: degrees of freedom, > 0; ``inf`` is the Gaussian.

    Returns:
        Shape of ``z``.

    Example:
        >>> round(float(log_pdf(0.0, 3.0)), 6)
        -1.000889
    """
    z = np.asarray(z, dtype=np.float64)
    if df >= _GAUSSIAN_DF:
        return np.asarray(-0.5 * np.clip(z, -1e150, 1e150) ** 2 - _LN_SQRT_2PI)
    const = special.gammaln(0.5 * (df + 1.0)) - special.gammaln(0.5 * df) - 0.5 * math.log(df * math.pi)
    w = np.abs(z)
    with np.errstate(over="ignore", divide="ignore"):
        big = w > 1e100  # z^2 would overflow
        tail = np.where(big, 2.0 * np.log(np.where(big, w, 1.0)) - math.log(df), 0.0)
        body = np.where(big, tail, np.log1p(np.where(big, 0.0, z) ** 2 / df))
    return np.asarray(const - 0.5 * (df + 1.0) * body)


def cdf(z: npt.ArrayLike, df: float) -> Array:
    """Distribution function of the standard Student-t.

    Args:
        z: any shape.
        df: degrees of freedom, > 0; ``inf`` is the Gaussian.

    Returns:
        Shape of ``z``, in [0, 1].

    Example:
        >>> round(float(cdf(-1.0, 3.0)), 6)
        0.195501
    """
    z = np.asarray(z, dtype=np.float64)
    return np.asarray(special.ndtr(z) if df >= _GAUSSIAN_DF else special.stdtr(df, z))


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
    below = cdf(z, df)
    return below, z * below + (df + z**2) / (df - 1.0) * np.exp(log_pdf(z, df))


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
                out[:, region] += log_pdf(here, df)
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


def log_cdf(z: npt.ArrayLike, df: float) -> Array:
    """Log of the distribution function, without underflow.

    Args:
        z: any shape.
        df: degrees of freedom, > 1; ``inf`` is the Gaussian.

    Returns:
        Shape of ``z``.

    Raises:
        ValueError: if ``df`` is not above 1.

    Example:
        >>> round(float(log_cdf(-1e6, 4.0)), 4)
        -54.1634
    """
    _check(df)
    z = np.asarray(z, dtype=np.float64)
    if df >= _GAUSSIAN_DF:
        return np.asarray(special.log_ndtr(z))
    return _logs(z, df)[0]


def log_h(z: npt.ArrayLike, df: float) -> Array:
    """Log of the standardised expected improvement, without underflow.

    Args:
        z: standardised improvement, any shape.
        df: degrees of freedom, > 1; ``inf`` is the Gaussian.

    Returns:
        Shape of ``z``.

    Raises:
        ValueError: if ``df`` is not above 1.

    Example:
        The tail is polynomial, ``h ~ |z|**(1 - df)``:

        >>> round(float(log_h(-0.5, 3.0)), 6), round(float(log_h(-1e8, 3.0)), 4)
        (-1.061152, -37.4368)
    """
    _check(df)
    z = np.asarray(z, dtype=np.float64)
    if df >= _GAUSSIAN_DF:
        return _gaussian_log_h(z)
    return _logs(z, df)[1]


def h(z: npt.ArrayLike, df: float) -> Array:
    """Standardised expected improvement, ``E[max(z + e, 0)]`` with ``e ~ t_df``.

    Args:
        z: standardised improvement, any shape.
        df: degrees of freedom, > 1; ``inf`` is the Gaussian.

    Returns:
        Shape of ``z``, not negative.

    Example:
        >>> round(float(h(-0.5, 3.0)), 5)  # the Gaussian would give 0.19780
        0.34606
    """
    return np.asarray(np.exp(log_h(z, df)))


_HALF_WIDTH, _PIECES = 24.0, 1536
"""the table spans |z| <= sinh(24) = 1.3e10 in pieces of 1/32 of asinh(z)"""


class LogHTable:
    """``log_h`` for one ``df`` as a cubic spline over ``asinh(z)``: tens of thousands of values in a millisecond.

    Args:
        df: degrees of freedom, > 1.

    Example:
        >>> table = LogHTable(5.0)
        >>> abs(float(table(-3.7)) - float(log_h(-3.7, 5.0))) < 1e-7
        True
    """

    def __init__(self, df: float) -> None:
        _check(df)
        step = 2.0 * _HALF_WIDTH / _PIECES
        knots = np.linspace(-_HALF_WIDTH, _HALF_WIDTH, _PIECES + 1)
        z = np.sinh(knots)
        log_t, f = (log_cdf(z, df), log_h(z, df)) if df >= _GAUSSIAN_DF else _logs(z, df)
        slope = np.exp(log_t - f) * np.cosh(knots) * step  # d log h / dz = T / h
        f0, f1, g0, g1 = f[:-1], f[1:], slope[:-1], slope[1:]
        self._coefficients = np.stack([f0, g0, 3.0 * (f1 - f0) - 2.0 * g0 - g1, 2.0 * (f0 - f1) + g0 + g1])
        self._per_unit = 1.0 / step

    def __call__(self, z: npt.ArrayLike) -> Array:
        """Interpolate.

        Args:
            z: any shape; beyond |z| = 1e10 the value at that end is returned.

        Returns:
            ``log_h(z, df)`` to about 1e-7, shape of ``z``.
        """
        place = (np.arcsinh(np.asarray(z, dtype=np.float64)) + _HALF_WIDTH) * self._per_unit
        place = np.clip(place, 0.0, _PIECES - 1e-6)
        piece = place.astype(np.intp)
        s = place - piece
        c0, c1, c2, c3 = (np.take(c, piece) for c in self._coefficients)
        return np.asarray(c0 + s * (c1 + s * (c2 + s * c3)))


@lru_cache(maxsize=64)
def log_h_table(df: float) -> LogHTable:
    """The table for ``df``, made on first use (about a millisecond) and kept.

    Args:
        df: degrees of freedom, > 1.

    Returns:
        The table.
    """
    return LogHTable(df)
