"""What data say about each hyperparameter node, and the marginals that follow: the arithmetic of GammaPrecisionGP.

Notation as in :mod:`lightning_gammabo.bayesopt.model`. Everything here is in double precision and differentiable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_gammabo.bayesopt.cholesky import cholesky
from lightning_gammabo.bayesopt.hyperparameters import MEAN_VARIANCE, HyperNodes, Kernel, covariance
from lightning_gammabo.bayesopt.posterior import StudentTPosterior
from lightning_gammabo.bayesopt.precision import precision_posterior, student_t_log_marginal

__all__ = ["Factors", "make_factors", "marginals"]

_VARIANCE_FLOOR = 1e-12


@dataclass(frozen=True)
class Factors:
    """What posteriors need of the data. ``K`` counts the nodes that were kept, ``L`` their lengthscales.

    Args:
        inputs: transformed inputs, ``b x n x d``.
        lengthscales: ``(b x) L x d``.
        lengthscale_of: which of them each node has, ``K``.
        noise_ratios: ``(b x) K``.
        root: Cholesky factor of ``C``, ``b x K x n x n``.
        white: ``root^-1 y``, ``b' x K x n x m``.
        weights: ``b' x K x m``, summing to 1 over K.
        spread: ``r_n / a_n``, ``b' x K x m``.
        df: ``2 a_n``.
    """

    inputs: Tensor
    lengthscales: Tensor
    lengthscale_of: Tensor
    noise_ratios: Tensor
    root: Tensor
    white: Tensor
    weights: Tensor
    spread: Tensor
    df: float


def make_factors(
    kernel: Kernel, x: Tensor, y: Tensor, nodes: HyperNodes, prior: tuple[float, float], prune: float
) -> Factors:
    """Condition every node on the data, weigh them, and leave out those without weight.

    Args:
        kernel: name of the kernel.
        x: inputs, ``b x n x d``.
        y: outcomes, ``b' x n x m``; ``b'`` may have dimensions more than ``b``.
        nodes: the hyperparameters.
        prior: concentration and rate of the precision's prior; both ``inf`` for a known precision of 1.
        prune: a node weighs nothing in a batch and output where it has less than this share of the best one's weight.

    Returns:
        The factors of the nodes that weigh something somewhere.
    """
    n = x.shape[-2]
    noise = nodes.noise_ratios[..., None, None] * torch.eye(n, dtype=x.dtype, device=x.device)  # (b x) L x R x n x n
    gram = covariance(kernel, x, x, nodes.lengthscales)
    root = cholesky((gram.unsqueeze(-3) + noise).flatten(-4, -3))
    white = _whitened(root, y)
    quad = white.square().sum(dim=-2)
    weights = torch.softmax(
        student_t_log_marginal(quad, root, *prior) + nodes.log_prior.flatten(-2).unsqueeze(-1), dim=-2
    )
    light = (weights < prune * weights.amax(dim=-2, keepdim=True)).detach()
    weights = weights.masked_fill(light, 0.0)
    kept = (~light).movedim(-2, 0).flatten(1).any(dim=1).nonzero().squeeze(-1)
    of_grid = torch.div(kept, nodes.noise_ratios.shape[-1], rounding_mode="floor")
    used, lengthscale_of = of_grid.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    if math.isinf(prior[0]):
        df, spread = math.inf, torch.ones_like(quad)
    else:
        a_n, r_n = precision_posterior(*prior, n, quad)
        df, spread = 2.0 * a_n, r_n / a_n
    return Factors(
        inputs=x,
        lengthscales=nodes.lengthscales.index_select(-2, used),
        lengthscale_of=lengthscale_of,
        noise_ratios=nodes.noise_ratios.flatten(-2).index_select(-1, kept),
        root=root.index_select(-3, kept),
        white=white.index_select(-3, kept),
        weights=(weights / weights.sum(dim=-2, keepdim=True)).index_select(-2, kept),
        spread=spread.index_select(-2, kept),
        df=df,
    )


def _whitened(root: Tensor, y: Tensor) -> Tensor:
    # root^-1 y, b' x K x n x m
    if root.ndim > 3:
        each: Tensor = torch.linalg.solve_triangular(root, y.unsqueeze(-3), upper=False)
        return each
    # all batches of outcomes as columns: no copy of the root for each of them
    columns = y.movedim(-2, 0)
    flat: Tensor = torch.linalg.solve_triangular(root, columns.flatten(1).expand(len(root), -1, -1), upper=False)
    return flat.reshape(len(root), *columns.shape).movedim((0, 1), (-3, -2))


def marginals(
    kernel: Kernel, f: Factors, x: Tensor, *, observation_noise: bool, dtype: torch.dtype
) -> StudentTPosterior:
    """The posterior of some points; their joint shape matrices are made only when a sample asks for them.

    Args:
        kernel: name of the kernel.
        f: the factors.
        x: inputs, ``b x q x d``.
        observation_noise: whether rho joins the variances.
        dtype: data type of the posterior.

    Returns:
        Posterior of batch shape ``b`` broadcast with the factors'.
    """
    noise = f.noise_ratios if observation_noise else torch.zeros_like(f.noise_ratios)
    cross, loc = _cross_and_loc(kernel, f, x)
    bracket = 1.0 + MEAN_VARIANCE - cross.square().sum(dim=-2) + noise.unsqueeze(-1)  # b x K x q
    square = f.spread.unsqueeze(-2) * bracket.clamp_min(_VARIANCE_FLOOR).unsqueeze(-1)
    loc, square = torch.broadcast_tensors(loc, square)  # type: ignore[no-untyped-call]

    def shape_matrix(nodes: Tensor) -> Tensor:
        lengthscales = f.lengthscales.index_select(-2, f.lengthscale_of[nodes])
        some = cross.index_select(-3, nodes)
        eye = torch.eye(x.shape[-2], dtype=x.dtype, device=x.device)
        matrix = covariance(kernel, x, x, lengthscales) - some.transpose(-1, -2) @ some
        matrix = matrix + noise.index_select(-1, nodes)[..., None, None] * eye
        return f.spread.index_select(-2, nodes)[..., None, None] * matrix.unsqueeze(-3)

    return StudentTPosterior(
        f.df, loc.to(dtype), square.sqrt().to(dtype), f.weights.to(dtype), shape_matrix=shape_matrix
    )


def _cross_and_loc(kernel: Kernel, f: Factors, x: Tensor) -> tuple[Tensor, Tensor]:
    # root^-1 k(train, x), b x K x n x q, and the locations, b x K x q x m
    batch, outcomes = x.shape[:-2], len(f.white.shape) - 3
    own = len(batch) - min(outcomes, len(batch))  # leading dimensions of the points that are none of the outcomes'
    if f.root.ndim > 3 or any(size != 1 for size in batch[own:]):
        between = covariance(kernel, f.inputs, x, f.lengthscales).index_select(-3, f.lengthscale_of)
        cross = torch.linalg.solve_triangular(f.root, between, upper=False)
        return cross, cross.transpose(-1, -2) @ f.white
    # data without batches meet all points at once, and all batches of outcomes: no factor is copied
    points = x.reshape(-1, x.shape[-1])
    between = covariance(kernel, f.inputs, points, f.lengthscales).index_select(-3, f.lengthscale_of)
    flat = torch.linalg.solve_triangular(f.root, between, upper=False)  # K x n x (b q)
    cross = flat.reshape(*flat.shape[:-1], *x.shape[:-1]).movedim((0, 1), (-3, -2))
    loc = torch.einsum("kng,...knm->...kgm", flat, f.white)
    loc = loc.reshape(*loc.shape[:-2], *batch[:own], x.shape[-2], loc.shape[-1])
    return cross, loc.movedim(tuple(range(outcomes + 1, outcomes + 1 + own)), tuple(range(own)))
