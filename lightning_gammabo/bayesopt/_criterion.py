"""The acquisitions of :class:`BayesOpt`, in logs and in standardised scores."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from lightning_gammabo.bayesopt import student_t
from lightning_gammabo.bayesopt._process import Mixture

__all__ = ["gaussian_log_ei", "log_ei", "log_pi"]

Array = npt.NDArray[np.float64]


def log_ei(mixture: Mixture, best: float) -> Array:
    """``ln sum_k w_k s_k h(z_k)``: log expected improvement of a mixture, exactly.

    Args:
        mixture: the surrogate at ``g`` places.
        best: what is to be improved on.

    Returns:
        ``g``.
    """
    z = (mixture.loc - best) / mixture.scale
    log_h = student_t.log_h(z, math.inf) if math.isinf(mixture.df) else student_t.log_h_table(mixture.df)(z)
    terms = log_h + np.log(mixture.scale * mixture.weights[:, None])
    top = terms.max(axis=0)
    return np.asarray(top + np.log(np.exp(terms - top).sum(axis=0)))


def log_pi(mixture: Mixture, best: float) -> Array:
    """``ln sum_k w_k T(z_k)``: log probability of improvement of a mixture.

    Args:
        mixture: the surrogate at ``g`` places.
        best: what is to be improved on.

    Returns:
        ``g``.
    """
    terms = student_t.log_cdf((mixture.loc - best) / mixture.scale, mixture.df)
    return np.asarray(special.logsumexp(terms, axis=0, b=mixture.weights[:, None]))


def gaussian_log_ei(mean: Array, variance: Array, best: float) -> Array:
    """Log expected improvement of Gaussians: the last step of the thesis's acquisition (eq. 10).

    Args:
        mean: ``g``.
        variance: ``g``, > 0.
        best: what is to be improved on.

    Returns:
        ``g``.
    """
    scale = np.sqrt(variance)
    return np.asarray(np.log(scale) + student_t.log_h((mean - best) / scale, math.inf))
