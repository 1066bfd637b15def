"""The arithmetic of GammaPrecisionGP on one input: against explicit inverses, and Monte Carlo over the precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from lightning_gammabo.bayesopt.acquisition import LogStudentTExpectedImprovement, LogStudentTProbabilityOfImprovement
from lightning_gammabo.bayesopt.factors import make_factors, marginals
from lightning_gammabo.bayesopt.hyperparameters import HyperGrid, HyperNodes, averaged_nodes
from lightning_gammabo.bayesopt.model import GammaPrecisionGP
from lightning_gammabo.bayesopt.posterior import StudentTPosterior
from tests.unit.bayesopt import reference

X = np.array([0.05, 0.3, 0.42, 0.9])
Y = np.array([-1.2, 0.4, 1.3, -0.5])
U = np.linspace(-0.2, 1.2, 9)


def column(values: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values, dtype=float)).unsqueeze(-1)


def grid_nodes(grid: HyperGrid) -> HyperNodes:
    return averaged_nodes(grid, torch.ones(1, dtype=torch.float64))


def one_node(lengthscale: float = 0.3, rho: float = 0.05) -> HyperNodes:
    return grid_nodes(HyperGrid(lengthscales=(lengthscale,), noise_ratios=(rho,)))


def posterior_at(u: Any, nodes: HyperNodes, prior: tuple[float, float], x: Any = X, y: Any = Y) -> StudentTPosterior:
    factors = make_factors("matern52", column(x), column(y), nodes, prior, 1e-3)
    return marginals("matern52", factors, column(u), observation_noise=False, dtype=torch.float64)


@pytest.mark.parametrize("lengthscale", [0.05, 0.4])
@pytest.mark.parametrize("rho", [1e-6, 0.2])
def test_one_node_is_the_formula(lengthscale: float, rho: float) -> None:
    p = posterior_at(U, one_node(lengthscale, rho), (1.5, 0.8))
    df, loc, shape, _ = reference.process_by_formula(X[:, None], Y, U[:, None], lengthscale, rho, 1.0, 1.5, 0.8)
    assert p.df == df
    np.testing.assert_allclose(p.loc.squeeze(-1), loc, atol=1e-9)
    # a scale near 0 (at an observation) is the root of a difference: it has half the digits
    np.testing.assert_allclose(p.scale.squeeze(-1) ** 2, np.diag(shape), atol=1e-9)


def test_weights_are_marginal_likelihoods_times_priors() -> None:
    grid = HyperGrid(lengthscales=(0.1, 0.5), noise_ratios=(1e-3, 0.1, 1.0))
    factors = make_factors("matern52", column(X), column(Y), grid_nodes(grid), (1.5, 0.8), 1e-3)
    log_w = grid.log_prior()
    for i, lengthscale in enumerate(grid.lengthscales):
        for j, rho in enumerate(grid.noise_ratios):
            log_w[i, j] += reference.process_by_formula(X[:, None], Y, U[:, None], lengthscale, rho, 1.0, 1.5, 0.8)[3]
    want = np.exp(log_w - log_w.max()).ravel()
    want = want[want >= 1e-3]
    np.testing.assert_allclose(factors.weights.squeeze(-1), want / want.sum(), rtol=1e-9)
    assert len(factors.lengthscales) <= 2  # one kernel serves all noise ratios of a lengthscale


def test_student_t_is_the_average_over_the_precision() -> None:
    a, b = 1.5, 0.8
    p = posterior_at([0.6], one_node(), (a, b))
    K = reference.matern52(X[:, None], X[:, None], 0.3) + 1.0 + 0.05 * np.eye(4)
    k = reference.matern52(X[:, None], np.array([[0.6]]), 0.3)[:, 0] + 1.0
    rng = np.random.default_rng(0)
    tau = rng.gamma(a + 2.0, 1.0 / (b + 0.5 * Y @ np.linalg.solve(K, Y)), size=400_000)
    mean, bracket = k @ np.linalg.solve(K, Y), 2.0 - k @ np.linalg.solve(K, k)
    draws = rng.normal(mean, np.sqrt(bracket / tau))
    # 400,000 draws: standard errors of 0.2 % of the standard deviation, and of 0.5 % of EI
    assert draws.mean() == pytest.approx(p.mean.item(), abs=0.01)
    assert draws.var() == pytest.approx(p.variance.item(), rel=0.02)
    model = GammaPrecisionGP(
        column(X), column(Y), hyperparameters=one_node(), precision_prior=(a, b), outcome_transform=None
    )
    at = column([0.6]).unsqueeze(-2)
    ei = LogStudentTExpectedImprovement(model, 1.3)(at).exp().item()
    pi = LogStudentTProbabilityOfImprovement(model, 1.3)(at).exp().item()
    assert np.maximum(draws - 1.3, 0.0).mean() == pytest.approx(ei, rel=0.03)
    assert (draws > 1.3).mean() == pytest.approx(pi, rel=0.02)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([0.5], [0.0]),
        ([0.5, 0.5, 0.5], [1.0, 1.0, 1.0]),
        ([0.5, 0.5], [-1.0, 1.0]),
        ([0.2, 0.4, 0.6], [0.0, 0.0, 0.0]),
        ([-40.0, 0.3, 1e6], [0.0, 1.0, -1.0]),
    ],
)
def test_degenerate_data_still_give_a_law(x: list[float], y: list[float]) -> None:
    p = posterior_at(U, grid_nodes(HyperGrid()), (1.5, 1.5), x, y)
    assert (p.variance > 0.0).all()
    assert torch.isfinite(p.variance).all()
    model = GammaPrecisionGP(column(x), column(y), outcome_transform=None)
    assert torch.isfinite(LogStudentTExpectedImprovement(model, max(y))(column(U).unsqueeze(-2))).all()


@pytest.mark.parametrize("outcomes", [(), (3,), (2, 3)])
def test_outcomes_in_batches_share_the_factors_of_their_inputs(outcomes: tuple[int, ...]) -> None:
    y = torch.randn(*outcomes, 4, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    nodes, u = grid_nodes(HyperGrid()), torch.rand(7, 1, 1, dtype=torch.float64)
    factors = make_factors("matern52", column(X), y, nodes, (1.5, 1.5), 1e-3)
    assert factors.root.ndim == 3
    points = u.view(7, *([1] * len(outcomes)), 1, 1)
    whole = marginals("matern52", factors, points, observation_noise=True, dtype=torch.float64)
    assert whole.mean.shape == (7, *outcomes, 1, 1)
    for where in np.ndindex(*outcomes):
        alone = make_factors("matern52", column(X), y[where], nodes, (1.5, 1.5), 1e-3)
        part = marginals("matern52", alone, u, observation_noise=True, dtype=torch.float64)
        torch.testing.assert_close(whole.mean[(slice(None), *where)], part.mean)
        torch.testing.assert_close(whole.variance[(slice(None), *where)], part.variance)


def test_a_known_precision_weighs_nodes_by_the_gaussian_likelihood() -> None:
    grid = HyperGrid(lengthscales=(0.1, 0.5), noise_ratios=(1e-2, 1.0))
    factors = make_factors("matern52", column(X), column(Y), grid_nodes(grid), (math.inf, math.inf), 0.0)
    nearly = make_factors("matern52", column(X), column(Y), grid_nodes(grid), (1e8, 1e8), 0.0)
    assert math.isinf(factors.df)
    torch.testing.assert_close(factors.weights, nearly.weights, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(factors.spread, torch.ones_like(factors.spread))
