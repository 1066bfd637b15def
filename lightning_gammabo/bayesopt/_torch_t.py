"""Student-t functions on tensors, differentiable (twice); values by :mod:`lightning_gammabo.bayesopt.student_t`.

The degrees of freedom are a number: they count observations, and nothing is ever differentiated by them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import special
from torch import Tensor

from lightning_gammabo.bayesopt import student_t

__all__ = ["cdf", "inverse_root_chi2", "log_cdf", "log_h", "log_pdf"]


def _through_numpy(function: Callable[[Any, float], npt.NDArray[np.float64]], z: Tensor, df: float) -> Tensor:
    values = function(z.detach().double().cpu().numpy(), df)
    return torch.as_tensor(np.asarray(values)).to(z)


def log_pdf(z: Tensor, df: float) -> Tensor:
    """Log density of the standard Student-t.

    Args:
        z: any shape.
        df: degrees of freedom; ``inf`` is the Gaussian.

    Returns:
        Shape of ``z``.
    """
    if math.isinf(df):
        return -0.5 * z.square() - 0.5 * math.log(2.0 * math.pi)
    constant = math.lgamma(0.5 * (df + 1.0)) - math.lgamma(0.5 * df) - 0.5 * math.log(df * math.pi)
    return constant - 0.5 * (df + 1.0) * torch.log1p(z.square() / df)


class _LogCdf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, df: float) -> Tensor:
        out = _through_numpy(student_t.log_cdf, z, df)
        ctx.save_for_backward(z, out)
        ctx.df = df
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        z, _ = ctx.saved_tensors
        return grad * (log_pdf(z, ctx.df) - log_cdf(z, ctx.df)).exp(), None


class _LogH(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, df: float) -> Tensor:
        out = _through_numpy(student_t.log_h, z, df)
        ctx.save_for_backward(z, out)
        ctx.df = df
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        z, _ = ctx.saved_tensors
        return grad * (log_cdf(z, ctx.df) - log_h(z, ctx.df)).exp(), None


def log_cdf(z: Tensor, df: float) -> Tensor:
    """Log of the distribution function; d/dz = t / T.

    Args:
        z: any shape.
        df: degrees of freedom, > 1; ``inf`` is the Gaussian.

    Returns:
        Shape of ``z``.
    """
    return _LogCdf.apply(z, df)  # type: ignore[no-untyped-call, no-any-return]


def log_h(z: Tensor, df: float) -> Tensor:
    """Log of the standardised expected improvement; d/dz = T / h.

    Args:
        z: any shape.
        df: degrees of freedom, > 1; ``inf`` is the Gaussian.

    Returns:
        Shape of ``z``.
    """
    return _LogH.apply(z, df)  # type: ignore[no-untyped-call, no-any-return]


def cdf(z: Tensor, df: float) -> Tensor:
    """Distribution function without gradient, for any ``df > 0``.

    Args:
        z: any shape.
        df: degrees of freedom; ``inf`` is the Gaussian.

    Returns:
        Shape of ``z``.
    """
    return _through_numpy(student_t.cdf, z, df)


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
