"""The fast one-dimensional process: against explicit inverses, Monte Carlo, and the BoTorch model."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from lightning_gammabo.bayesopt._criterion import gaussian_log_ei, log_ei, log_pi
from lightning_gammabo.bayesopt._process import HyperGrid, Mixture, fit, predict

from lightning_gammabo.bayesopt import GammaPrecisionGP
from tests.bayesopt import reference

X = np.array([0.05, 0.3, 0.42, 0.9])
Y = np.array([-1.2, 0.4, 1.3, -0.5])
U = np.linspace(-0.2, 1.2, 9)


def one_node(lengthscale: float = 0.3, rho: float = 0.05) -> HyperGrid:
    return HyperGrid(lengthscales=(lengthscale,), noise_ratios=(rho,))


@pytest.mark.parametrize("lengthscale", [0.05, 0.4])
@pytest.mark.parametrize("rho", [1e-6, 0.2])
def test_one_node_is_the_formula(lengthscale: float, rho: float) -> None:
    mixture = predict(fit(X, Y, one_node(lengthscale, rho), 1.5, 0.8), U)
    df, loc, shape, _ = reference.process_by_formula(X[:, None], Y, U[:, None], lengthscale, rho, 1.0, 1.5, 0.8)
    assert mixture.df == df
    np.testing.assert_allclose(mixture.loc[0], loc, atol=1e-9)
    # a scale near 0 (at an observation) is the root of a difference: it has half the digits
    np.testing.assert_allclose(mixture.scale[0] ** 2, np.diag(shape), atol=1e-9)


def test_weights_are_marginal_likelihoods_times_priors() -> None:
    grid = HyperGrid(lengthscales=(0.1, 0.5), noise_ratios=(1e-3, 0.1, 1.0))
    fitted = fit(X, Y, grid, 1.5, 0.8)
    log_w = grid.log_prior()
    for i, lengthscale in enumerate(grid.lengthscales):
        for j, rho in enumerate(grid.noise_ratios):
            log_w[i, j] += reference.process_by_formula(X[:, None], Y, U[:, None], lengthscale, rho, 1.0, 1.5, 0.8)[3]
    want = np.exp(log_w - log_w.max())
    want[want < 1e-3] = 0.0
    np.testing.assert_allclose(fitted.weights, want / want.sum(), rtol=1e-9)


def test_student_t_is_the_average_over_the_precision() -> None:
    grid, a, b = one_node(), 1.5, 0.8
    mixture = predict(fit(X, Y, grid, a, b), np.array([0.6]))
    K = reference.matern52(X[:, None], X[:, None], 0.3) + 1.0 + 0.05 * np.eye(4)
    k = reference.matern52(X[:, None], np.array([[0.6]]), 0.3)[:, 0] + 1.0
    rng = np.random.default_rng(0)
    tau = rng.gamma(a + 2.0, 1.0 / (b + 0.5 * Y @ np.linalg.solve(K, Y)), size=400_000)
    mean, bracket = k @ np.linalg.solve(K, Y), 2.0 - k @ np.linalg.solve(K, k)
    draws = rng.normal(mean, np.sqrt(bracket / tau))
    # 400,000 draws: standard errors of 0.2 % of the standard deviation, and of 0.5 % of EI
    assert draws.mean() == pytest.approx(float(mixture.mean[0]), abs=0.01)
    assert draws.var() == pytest.approx(float(mixture.variance[0]), rel=0.02)
    ei = np.maximum(draws - 1.3, 0.0).mean()
    assert ei == pytest.approx(math.exp(log_ei(mixture, 1.3)[0]), rel=0.03)
    assert (draws > 1.3).mean() == pytest.approx(math.exp(log_pi(mixture, 1.3)[0]), rel=0.02)


def test_gaussian_process_is_the_limit_of_a_known_precision() -> None:
    known = predict(fit(X, Y, one_node(), math.inf, math.inf), U)
    nearly = predict(fit(X, Y, one_node(), 1e8, 1e8), U)
    assert math.isinf(known.df)
    np.testing.assert_allclose(known.loc, nearly.loc, rtol=1e-12)
    np.testing.assert_allclose(known.variance, nearly.variance, rtol=1e-6)
    np.testing.assert_allclose(log_ei(known, 1.0), log_ei(nearly, 1.0), rtol=1e-5)
    np.testing.assert_allclose(gaussian_log_ei(known.mean, known.variance, 1.0), log_ei(known, 1.0), rtol=1e-12)


def test_mixture_moments_and_ei_are_sums_over_nodes() -> None:
    mixture = Mixture(np.array([0.3, 0.7]), np.array([[0.0], [2.0]]), np.array([[1.0], [0.5]]), 4.0)
    assert mixture.mean[0] == pytest.approx(1.4)
    assert mixture.variance[0] == pytest.approx(0.3 * 2.0 + 0.7 * 0.25 * 2.0 + 0.3 * 1.4**2 + 0.7 * 0.6**2)
    want = 0.3 * reference.expected_improvement(4.0, 0.0, 1.0, 1.0) + 0.7 * reference.expected_improvement(
        4.0, 2.0, 0.5, 1.0
    )
    assert math.exp(log_ei(mixture, 1.0)[0]) == pytest.approx(want, rel=1e-8)


def test_maximising_keeps_the_best_node() -> None:
    average = fit(X, Y, HyperGrid(), 1.5, 1.5)
    best = fit(X, Y, HyperGrid(maximise=True), 1.5, 1.5)
    assert (best.weights > 0).sum() == 1
    assert best.weights.argmax() == average.weights.argmax()


@pytest.mark.parametrize("kernel", ["matern52", "rbf"])
@pytest.mark.parametrize("noise", [False, True])
def test_it_is_the_botorch_model_in_one_dimension(kernel: str, noise: bool) -> None:
    ours = predict(fit(X, Y, HyperGrid(kernel=kernel), 1.5, 1.5), U, observation_noise=noise)  # type: ignore[arg-type]
    x, y, u = (torch.tensor(values).unsqueeze(-1) for values in (X, Y, U))
    model = GammaPrecisionGP(x, y, kernel=kernel, outcome_transform=None)  # type: ignore[arg-type]
    posterior = model.posterior(u.unsqueeze(-2), observation_noise=noise)
    assert posterior.df == ours.df
    np.testing.assert_allclose(posterior.mean.squeeze().numpy(), ours.mean, atol=1e-9)
    np.testing.assert_allclose(posterior.variance.squeeze().numpy(), ours.variance, rtol=1e-6, atol=1e-9)


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
    fitted = fit(np.asarray(x), np.asarray(y), HyperGrid(), 1.5, 1.5)
    mixture = predict(fitted, U)
    assert (mixture.variance > 0.0).all()
    assert np.isfinite(mixture.variance).all()
    assert np.isfinite(log_ei(mixture, max(y))).all()


def test_variance_does_not_exist_with_two_degrees_of_freedom() -> None:
    mixture = dataclasses.replace(predict(fit(X, Y, one_node(), 1.5, 1.5), U), df=2.0)
    assert np.isinf(mixture.variance).all()
