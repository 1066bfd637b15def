"""Hyperparameters of :class:`GammaPrecisionGP`: kernels, the grid to average over, and the search for the best ones.

A *node* is one pair of lengthscale(s) and noise ratio. The grid is a product of ``L`` lengthscales and ``R`` noise
ratios, so that one kernel matrix for each lengthscale serves all its noise ratios.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_gammabo.bayesopt.cholesky import cholesky
from lightning_gammabo.bayesopt.precision import student_t_log_marginal

__all__ = [
    "KERNELS",
    "MEAN_VARIANCE",
    "ROUGH",
    "HyperGrid",
    "HyperNodes",
    "Kernel",
    "averaged_nodes",
    "covariance",
    "find_nodes",
    "maximised_nodes",
]

Kernel = Literal["matern52", "rbf"]

MEAN_VARIANCE = 1.0
"""``v``, prior variance of the constant mean"""
_BOUNDS_L, _BOUNDS_R = (0.01, 20.0), (1e-6, 1.0)
_STARTS = (0.2, 0.6, 2.0)
"""starts of the maximisation, as multiples of the prior's median lengthscale"""


def _matern52(square: Tensor) -> Tensor:
    # the root has no gradient at 0, where the kernel is flat: 1e-30 keeps it finite and changes nothing
    r = (5.0 * square).clamp_min(1e-30).sqrt()
    return (1.0 + r + r * r / 3.0) * (-r).exp()


def _rbf(square: Tensor) -> Tensor:
    return (-0.5 * square).exp()


KERNELS: dict[str, Callable[[Tensor], Tensor]] = {"matern52": _matern52, "rbf": _rbf}
"""name -> kernel as a function of the squared scaled distance"""


@dataclass(frozen=True)
class HyperGrid:
    """The grid of hyperparameters for one input, and their prior.

    Regret is flat in all of these numbers (measured on learning-rate landscapes).

    Args:
        lengthscales: ``l``, on the unit interval, ``L``.
        noise_ratios: ``rho``, noise variance over signal variance, ``R``.
        lengthscale_prior: median of ``l`` and standard deviation of ``ln l``.
        noise_prior: median of ``rho`` and standard deviation of ``ln rho``.
    """

    lengthscales: tuple[float, ...] = tuple(np.geomspace(0.05, 2.0, 12).tolist())
    noise_ratios: tuple[float, ...] = (1e-6, 1e-4, 1e-3, 1e-2, 0.05, 0.2, 1.0)
    lengthscale_prior: tuple[float, float] = (0.2, 0.75)
    noise_prior: tuple[float, float] = (1e-2, 2.0)

    def log_prior(self) -> npt.NDArray[np.float64]:
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
"""for a later epoch, in which little is left to gain and ripples a few tenths of a decade wide count"""


@dataclass(frozen=True)
class HyperNodes:
    """Hyperparameter values and their log prior weights: ``L`` lengthscales with ``R`` noise ratios each.

    Args:
        lengthscales: ``(b x) L x d``, in units of the (transformed) inputs.
        noise_ratios: noise variance over signal variance, ``(b x) L x R``.
        log_prior: ``(b x) L x R``, up to a constant.

    Raises:
        ValueError: if the shapes do not fit or a value is not positive.
    """

    lengthscales: Tensor
    noise_ratios: Tensor
    log_prior: Tensor

    def __post_init__(self) -> None:
        if self.lengthscales.ndim < 2 or not (
            self.lengthscales.shape[:-1] == self.noise_ratios.shape[:-1]
            and self.noise_ratios.shape == self.log_prior.shape
        ):
            raise ValueError(
                "HyperNodes needs lengthscales (b x) L x d, noise_ratios and log_prior (b x) L x R, got "
                f"{tuple(self.lengthscales.shape)}, {tuple(self.noise_ratios.shape)}, {tuple(self.log_prior.shape)}"
            )
        if not (bool((self.lengthscales > 0.0).all()) and bool((self.noise_ratios > 0.0).all())):
            raise ValueError("HyperNodes: lengthscales and noise_ratios are positive")


def covariance(kernel: str, x1: Tensor, x2: Tensor, lengthscales: Tensor) -> Tensor:
    """``k(x1, x2) + v`` for every lengthscale.

    Args:
        kernel: a name in ``KERNELS``.
        x1: ``b x n x d``.
        x2: ``b x q x d``.
        lengthscales: ``(b x) L x d``.

    Returns:
        ``b x L x n x q``.
    """
    scale = lengthscales.unsqueeze(-2)  # (b x) L x 1 x d
    a, b = x1.unsqueeze(-3) / scale, x2.unsqueeze(-3) / scale
    square = torch.zeros((), dtype=x1.dtype, device=x1.device)
    for i in range(x1.shape[-1]):  # differences, not inner products: exact zeros and no cancellation
        square = square + (a[..., :, None, i] - b[..., None, :, i]).square()
    return KERNELS[kernel](square) + MEAN_VARIANCE


def averaged_nodes(grid: HyperGrid, ratios: Tensor) -> HyperNodes:
    """A grid over a common lengthscale and the noise ratio.

    Args:
        grid: the grid for one input; its lengthscales grow with the root of the number of inputs.
        ratios: ratios of the lengthscales to their geometric mean, ``(b x) d``.

    Returns:
        Nodes of ``L`` lengthscales and ``R`` noise ratios.
    """
    common = ratios.new_tensor(grid.lengthscales) * math.sqrt(ratios.shape[-1])
    noise = ratios.new_tensor(grid.noise_ratios)
    log_prior = ratios.new_tensor(grid.log_prior().tolist())
    shape = (*ratios.shape[:-1], *log_prior.shape)
    return HyperNodes(common.unsqueeze(-1) * ratios.unsqueeze(-2), noise.expand(shape), log_prior.expand(shape))


def maximised_nodes(
    kernel: str, x: Tensor, y: Tensor, concentration: float, rate: float, grid: HyperGrid | None = None
) -> HyperNodes:
    """The best single node, with one lengthscale for each input (L-BFGS-B on the log posterior, three starts).

    Outputs share their hyperparameters; batches do not.

    Args:
        kernel: a name in ``KERNELS``.
        x: inputs, ``b x n x d``.
        y: outcomes, ``b x n x m``.
        concentration: ``a`` of the precision's prior.
        rate: ``b`` of the precision's prior.
        grid: hyperparameters' prior; None for the defaults.

    Returns:
        Nodes with L = R = 1 and batch shape b.
    """
    grid = grid or HyperGrid()
    d, batch = x.shape[-1], y.shape[:-2]
    median = math.log(grid.lengthscale_prior[0] * math.sqrt(d))
    noise_median = math.log(grid.noise_prior[0])

    def objective(log_theta: Tensor) -> Tensor:  # b x (d + 1) -> b
        theta = log_theta.exp().unsqueeze(-2)
        gram = covariance(kernel, x, x, theta[..., :d])
        root = cholesky(gram + theta[..., d, None, None] * torch.eye(x.shape[-2], dtype=x.dtype, device=x.device))
        quad = torch.linalg.solve_triangular(root, y.unsqueeze(-3), upper=False).square().sum(dim=-2)
        log_prior = -0.5 * ((log_theta[..., :d] - median) / grid.lengthscale_prior[1]).square().sum(dim=-1)
        log_prior = log_prior - 0.5 * ((log_theta[..., d] - noise_median) / grid.noise_prior[1]).square()
        return student_t_log_marginal(quad, root, concentration, rate).sum(dim=(-1, -2)) + log_prior

    bounds = ([tuple(map(math.log, _BOUNDS_L))] * d + [tuple(map(math.log, _BOUNDS_R))]) * batch.numel()
    best_value, best = None, None
    for start in _STARTS:
        first = torch.full((*batch, d + 1), median + math.log(start), dtype=x.dtype, device=x.device)
        first[..., d] = noise_median
        theta = _maximise(objective, first, bounds)
        with torch.no_grad():
            value = objective(theta)
        if best_value is None or best is None:
            best_value, best = value, theta
        better = value > best_value
        best, best_value = torch.where(better.unsqueeze(-1), theta, best), torch.where(better, value, best_value)
    assert best is not None  # there is at least one start
    found = best.exp().unsqueeze(-2)
    return HyperNodes(found[..., :d], found[..., d:], torch.zeros_like(found[..., d:]))


def _maximise(objective: Callable[[Tensor], Tensor], first: Tensor, bounds: list[tuple[float, ...]]) -> Tensor:
    from scipy.optimize import minimize

    # batches are separate problems in one: their sum has its maximum where each of them has
    def negative(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        theta = torch.as_tensor(flat).to(first).reshape(first.shape).requires_grad_()
        with torch.enable_grad():
            value = -objective(theta).sum()
            (grad,) = torch.autograd.grad(value, theta)
        return float(value.detach()), grad.double().cpu().numpy().ravel()

    found = minimize(
        negative, first.cpu().numpy().ravel(), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 100}
    )
    return torch.as_tensor(found.x).to(first).reshape(first.shape)


def find_nodes(how: str, kernel: Kernel, x: Tensor, y: Tensor, precision_prior: tuple[float, float]) -> HyperNodes:
    """The nodes that a word asks for.

    Args:
        how: ``"average"`` or ``"maximise"``.
        kernel: a name in ``KERNELS``.
        x: inputs, ``b x n x d``.
        y: outcomes, ``b x n x m``.
        precision_prior: concentration and rate of the precision's prior.

    Returns:
        The nodes. To average over one input they do not depend on the data.

    Raises:
        ValueError: if ``how`` is another word.
    """
    if how not in ("average", "maximise"):
        raise ValueError(f"GammaPrecisionGP(hyperparameters={how!r}): give 'average', 'maximise' or HyperNodes")
    if how == "average" and x.shape[-1] == 1:
        return averaged_nodes(HyperGrid(), torch.ones(1, dtype=x.dtype, device=x.device))
    best = maximised_nodes(kernel, x, y, *precision_prior)
    if how == "maximise":
        return best
    log_l = best.lengthscales.squeeze(-2).log()
    return averaged_nodes(HyperGrid(), (log_l - log_l.mean(dim=-1, keepdim=True)).exp())
