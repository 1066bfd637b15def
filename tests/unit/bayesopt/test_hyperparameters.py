from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lightning_gammabo.bayesopt.hyperparameters import (
    MEAN_VARIANCE,
    HyperGrid,
    HyperNodes,
    averaged_nodes,
    covariance,
    find_nodes,
)
from lightning_gammabo.bayesopt.precision import student_t_log_marginal


def test_a_covariance_is_the_kernel_of_each_pair_and_lengthscale() -> None:
    torch.manual_seed(0)
    x1, x2 = torch.rand(3, 2, dtype=torch.float64), torch.rand(4, 2, dtype=torch.float64)
    scales = torch.tensor([[0.2, 0.3], [1.0, 2.0]], dtype=torch.float64)
    for name in ("matern52", "rbf"):
        found = covariance(name, x1, x2, scales)
        assert found.shape == (2, 3, 4)
        for k, i, j in np.ndindex(2, 3, 4):
            square = float((((x1[i] - x2[j]) / scales[k]) ** 2).sum())
            r = math.sqrt(5.0 * square)
            slow = math.exp(-0.5 * square) if name == "rbf" else (1.0 + r + r * r / 3.0) * math.exp(-r)
            assert float(found[k, i, j]) == pytest.approx(slow + MEAN_VARIANCE, rel=1e-12)


def test_the_prior_of_a_grid_is_greatest_at_its_medians() -> None:
    grid = HyperGrid(lengthscales=(0.1, 0.2, 0.4), noise_ratios=(1e-3, 1e-2, 1e-1))
    prior = grid.log_prior()
    assert prior.shape == (3, 3)
    assert prior[1, 1] == prior.max() == 0.0
    assert prior[0, 1] == pytest.approx(-0.5 * (math.log(2.0) / 0.75) ** 2)


def test_lengthscales_of_more_inputs_grow_with_the_root_of_their_number() -> None:
    grid = HyperGrid()
    nodes = averaged_nodes(grid, torch.tensor([0.5, 2.0], dtype=torch.float64))
    wanted = np.sqrt(2.0) * np.asarray(grid.lengthscales)[:, None] * [0.5, 2.0]
    assert nodes.lengthscales.numpy() == pytest.approx(wanted)
    assert nodes.noise_ratios.shape == nodes.log_prior.shape == (12, 7)


def test_nodes_that_do_not_fit_are_refused() -> None:
    ones = torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"needs lengthscales \(b x\) L x d, .* got \(3, 1\), \(2, 3\), \(2, 3\)"):
        HyperNodes(torch.ones(3, 1), ones, ones)
    with pytest.raises(ValueError, match="are positive"):
        HyperNodes(torch.ones(2, 1), 0.0 * ones, ones)


def test_the_best_node_is_no_worse_than_any_of_the_grid() -> None:
    torch.manual_seed(1)
    x = torch.rand(8, 1, dtype=torch.float64)
    y = torch.sin(6.0 * x)
    best = find_nodes("maximise", "matern52", x, y, (2.0, 1.0))
    grid = HyperGrid()

    def posterior(lengthscale: float, noise: float) -> float:
        gram = covariance("matern52", x, x, torch.tensor([[lengthscale]], dtype=torch.float64))[0]
        root = torch.linalg.cholesky(gram + noise * torch.eye(8, dtype=torch.float64))
        quad = torch.linalg.solve_triangular(root, y, upper=False).square().sum(dim=-2)
        prior = -0.5 * (math.log(lengthscale / grid.lengthscale_prior[0]) / grid.lengthscale_prior[1]) ** 2
        prior -= 0.5 * (math.log(noise / grid.noise_prior[0]) / grid.noise_prior[1]) ** 2
        return float(student_t_log_marginal(quad, root, 2.0, 1.0).sum()) + prior

    found = posterior(float(best.lengthscales), float(best.noise_ratios))
    assert found >= max(posterior(a, b) for a in grid.lengthscales for b in grid.noise_ratios) - 1e-6


def test_another_word_for_the_hyperparameters_is_refused() -> None:
    x = torch.zeros(2, 1)
    with pytest.raises(ValueError, match=r"hyperparameters='best'\): give 'average', 'maximise' or HyperNodes"):
        find_nodes("best", "rbf", x, x, (1.0, 1.0))
