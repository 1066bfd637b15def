"""What data say about each hyperparameter node, and the marginals that follow: the arithmetic of GammaPrecisionGP.

Notation as in :mod:`lightning_gammabo.bayesopt.model`. Everything here is in double precision and differentiable.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_gammabo.bayesopt._linalg import cholesky
from lightning_gammabo.bayesopt._nodes import MEAN_VARIANCE, HyperNodes, covariance, log_marginal
from lightning_gammabo.bayesopt._process import Kernel
from lightning_gammabo.bayesopt.posterior import StudentTPosterior

__all__ = ["Factors", "make_factors", "marginals"]

_PRUNE = 1e-3
"""nodes below this share of the best node's weight, in every batch and output, are left out of posteriors"""
_VARIANCE_FLOOR = 1e-12


@dataclass(frozen=True)
class Factors:
    """What posteriors need of the data.

    Args:
        inputs: transformed inputs, ``b x n x d``.
        lengthscales: of the kept nodes, ``(b x) K x d``.
        noise_ratios: of the kept nodes, ``(b x) K``.
        root: Cholesky factor of ``C``, ``b x K x n x n``.
        white: ``root^-1 y``, ``b x K x n x m``.
        weights: ``b x K x m``, summing to 1 over K.
        spread: ``r_n / a_n``, ``b x K x m``.
        df: ``2 a_n``.
    """

    inputs: Tensor
    lengthscales: Tensor
    noise_ratios: Tensor
    root: Tensor
    white: Tensor
    weights: Tensor
    spread: Tensor
    df: float


def make_factors(kernel: Kernel, x: Tensor, y: Tensor, nodes: HyperNodes, prior: tuple[float, float]) -> Factors:
    """Condition every node on the data, weigh them, and leave out those without weight.

    Args:
        kernel: name of the kernel.
        x: inputs, ``b x n x d``.
        y: outcomes, ``b' x n x m``; ``b'`` may have dimensions more than ``b``.
        nodes: the hyperparameters.
        prior: concentration and rate of the precision's prior.

    Returns:
        The factors of the kept nodes.
    """
    a, r = prior
    n = x.shape[-2]
    noise = nodes.noise_ratios[..., None, None] * torch.eye(n, dtype=x.dtype, device=x.device)
    root = cholesky(covariance(kernel, x, x, nodes.lengthscales, MEAN_VARIANCE) + noise)
    white = torch.linalg.solve_triangular(root, y.unsqueeze(-3), upper=False)
    quad = white.square().sum(dim=-2)
    weights = torch.softmax(log_marginal(quad, root, a, r) + nodes.log_prior.unsqueeze(-1), dim=-2)
    share = (weights / weights.amax(dim=-2, keepdim=True)).detach()
    kept = (share >= _PRUNE).movedim(-2, 0).flatten(1).any(dim=1).nonzero().squeeze(-1)
    weights = weights.index_select(-2, kept)
    return Factors(
        inputs=x,
        lengthscales=nodes.lengthscales.index_select(-2, kept),
        noise_ratios=nodes.noise_ratios.index_select(-1, kept),
        root=root.index_select(-3, kept),
        white=white.index_select(-3, kept),
        weights=weights / weights.sum(dim=-2, keepdim=True),
        spread=((r + 0.5 * quad) / (a + 0.5 * n)).index_select(-2, kept),
        df=2.0 * a + n,
    )


def marginals(
    kernel: Kernel, f: Factors, x: Tensor, *, observation_noise: bool, dtype: torch.dtype
) -> StudentTPosterior:
    """The posterior of some points; their joint shape matrix is made only when a sample asks for it.

    Args:
        kernel: name of the kernel.
        f: the factors.
        x: inputs, ``b x q x d``.
        observation_noise: whether rho joins the variances.
        dtype: data type of the posterior.

    Returns:
        Posterior of batch shape ``b`` broadcast with the factors'.
    """
    cross = _white_cross(kernel, f, x)
    noise = f.noise_ratios if observation_noise else torch.zeros_like(f.noise_ratios)
    bracket = 1.0 + MEAN_VARIANCE - cross.square().sum(dim=-2) + noise.unsqueeze(-1)  # b x K x q
    square = f.spread.unsqueeze(-2) * bracket.clamp_min(_VARIANCE_FLOOR).unsqueeze(-1)
    loc, square = torch.broadcast_tensors(cross.transpose(-1, -2) @ f.white, square)  # type: ignore[no-untyped-call]

    def shape_matrix() -> Tensor:
        prior = covariance(kernel, x, x, f.lengthscales, MEAN_VARIANCE)
        eye = torch.eye(x.shape[-2], dtype=x.dtype, device=x.device)
        matrix = prior - cross.transpose(-1, -2) @ cross + noise[..., None, None] * eye
        return f.spread[..., None, None] * matrix.unsqueeze(-3)

    return StudentTPosterior(
        f.df, loc.to(dtype), square.sqrt().to(dtype), f.weights.to(dtype), shape_matrix=shape_matrix
    )


def _white_cross(kernel: Kernel, f: Factors, x: Tensor) -> Tensor:
    # root^-1 k(train, x), b x K x n x q. Unbatched factors meet all points at once: no copy of the root per t-batch
    if f.root.ndim > 3:
        cross = covariance(kernel, f.inputs, x, f.lengthscales, MEAN_VARIANCE)
        white: Tensor = torch.linalg.solve_triangular(f.root, cross, upper=False)
        return white
    cross = covariance(kernel, f.inputs, x.reshape(-1, x.shape[-1]), f.lengthscales, MEAN_VARIANCE)
    flat: Tensor = torch.linalg.solve_triangular(f.root, cross, upper=False)  # K x n x (b q)
    return flat.reshape(*flat.shape[:-1], *x.shape[:-1]).movedim((0, 1), (-3, -2))
