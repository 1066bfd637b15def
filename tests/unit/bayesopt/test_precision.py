"""Conjugate updates: against Bayes' rule done by numbers, and against known laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from lightning_gammabo.bayesopt import precision


def test_gamma_posterior_is_bayes_rule() -> None:
    y, mu, a, b = np.array([0.3, -1.2, 2.0]), 0.5, 1.5, 0.8
    a_n, b_n = precision.precision_posterior(a, b, 3, float(((y - mu) ** 2).sum()))

    def unnormalised(tau: float) -> float:
        return float(stats.gamma(a, scale=1 / b).pdf(tau) * np.prod(stats.norm(mu, tau**-0.5).pdf(y)))

    total, _ = integrate.quad(unnormalised, 0.0, math.inf)
    for tau in (0.2, 1.0, 3.0):
        assert stats.gamma(a_n, scale=1 / b_n).pdf(tau) == pytest.approx(unnormalised(tau) / total, rel=1e-7)


def test_gaussian_posterior_is_bayes_rule() -> None:
    y, prior_mean, prior_variance, variance = np.array([0.3, 1.1]), -0.4, 0.7, 1.9
    mean, posterior_variance = precision.mean_posterior(prior_mean, prior_variance, float(y.sum()), 2, variance)

    def unnormalised(mu: float) -> float:
        likelihood = np.prod(stats.norm(mu, variance**0.5).pdf(y))
        return float(stats.norm(prior_mean, prior_variance**0.5).pdf(mu) * likelihood)

    total, _ = integrate.quad(unnormalised, -20.0, 20.0)
    for mu in (-1.0, 0.0, 0.9):
        got = stats.norm(mean, posterior_variance**0.5).pdf(mu)
        assert got == pytest.approx(unnormalised(mu) / total, rel=1e-9)


@pytest.mark.parametrize(("a", "b"), [(1.7, 0.6), (1e7, 1e7), (math.inf, math.inf)])
def test_marginal_likelihood_is_that_of_a_multivariate_t_or_a_gaussian(a: float, b: float) -> None:
    rng = np.random.default_rng(1)
    half, y = rng.normal(size=(5, 5)), rng.normal(size=5)
    K = half @ half.T + np.eye(5)
    root = np.linalg.cholesky(K)
    quad = torch.full((1, 1), float(y @ np.linalg.solve(K, y)), dtype=torch.float64)
    known = stats.multivariate_normal(np.zeros(5), K).logpdf(y)
    want = known if math.isinf(a) else stats.multivariate_t(np.zeros(5), b / a * K, df=2 * a).logpdf(y)
    got = precision.student_t_log_marginal(quad, torch.as_tensor(root)[None], a, b).item()
    assert got == pytest.approx(want, rel=1e-12 if a < 1e7 or math.isinf(a) else 1e-6)
    if a > 1e6:
        assert got == pytest.approx(known, rel=1e-5)
