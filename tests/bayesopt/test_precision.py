"""Conjugate updates: against Bayes' rule done by numbers, and against known laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from lightning_gammabo.bayesopt._nodes import log_marginal
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


def test_normal_gamma_posterior_by_monte_carlo() -> None:
    y = np.array([1.0, 2.5, 0.2, 1.8])
    mean, strength, a, b = precision.normal_gamma_update(0.5, 2.0, 1.5, 0.7, y)
    rng = np.random.default_rng(0)
    tau = rng.gamma(1.5, 1 / 0.7, size=400_000)
    mu = rng.normal(0.5, 1 / np.sqrt(2.0 * tau))
    log_w = 0.5 * y.size * np.log(tau) - 0.5 * tau * ((y[:, None] - mu) ** 2).sum(0)
    w = np.exp(log_w - log_w.max())
    w /= w.sum()
    # 400,000 weighted draws: an effective tenth of them leaves errors of about 0.005 sd
    assert w @ mu == pytest.approx(mean, abs=0.01)
    assert w @ tau == pytest.approx(a / b, rel=0.02)
    assert w @ (mu - mean) ** 2 == pytest.approx(b / (a * strength) * (2 * a) / (2 * a - 2), rel=0.03)


def test_normal_gamma_in_two_steps_is_one_step() -> None:
    once = precision.normal_gamma_update(0.1, 1.3, 2.0, 0.4, [1.0, -2.0, 0.3])
    twice = precision.normal_gamma_update(*precision.normal_gamma_update(0.1, 1.3, 2.0, 0.4, [1.0, -2.0]), [0.3])
    assert once == pytest.approx(twice, rel=1e-12)
    assert precision.normal_gamma_update(0.1, 1.3, 2.0, 0.4, []) == (0.1, 1.3, 2.0, 0.4)


def test_marginal_likelihood_is_a_multivariate_t() -> None:
    rng = np.random.default_rng(1)
    root, y, a, b = rng.normal(size=(5, 5)), rng.normal(size=5), 1.7, 0.6
    K = root @ root.T + np.eye(5)
    quad, logdet = np.asarray(y @ np.linalg.solve(K, y)), np.asarray(np.linalg.slogdet(K)[1])
    want = stats.multivariate_t(np.zeros(5), b / a * K, df=2 * a).logpdf(y)
    assert float(precision.student_t_log_marginal(quad, logdet, 5, a, b)) == pytest.approx(want, rel=1e-13)


def test_marginal_likelihood_with_a_known_precision_is_gaussian() -> None:
    K, y = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([0.3, -1.0])
    quad, logdet = np.asarray(y @ np.linalg.solve(K, y)), np.asarray(np.linalg.slogdet(K)[1])
    want = stats.multivariate_normal(np.zeros(2), K).logpdf(y)
    assert float(precision.student_t_log_marginal(quad, logdet, 2, math.inf, math.inf)) == pytest.approx(
        want, rel=1e-13
    )
    assert float(precision.student_t_log_marginal(quad, logdet, 2, 1e7, 1e7)) == pytest.approx(want, rel=1e-5)


def plain_thesis(
    m: float, s2: float, y: list[float], means: list[float], a: float, b: float, reading: str
) -> tuple[float, float]:
    """Equations 13 to 15 one candidate at a time, as they are printed."""
    centre = means if reading == "L3" else [m] * len(y)
    alpha = a + len(y) / 2
    beta = b + sum((yi - c) ** 2 for yi, c in zip(y, centre, strict=True)) / 2
    sigma2 = beta / alpha
    v = 1 / (1 / s2 + len(y) / sigma2)
    return v * (m / s2 + sum(y) / sigma2), sigma2 if reading == "L1" else v


def test_the_model_has_the_same_marginal() -> None:
    rng = np.random.default_rng(3)
    root = np.tril(rng.normal(size=(4, 5, 5))) + 4.0 * np.eye(5)
    quad, logdet = rng.uniform(1.0, 9.0, size=(4, 2)), 2.0 * np.log(np.abs(np.diagonal(root, axis1=1, axis2=2))).sum(1)
    found = log_marginal(torch.as_tensor(quad), torch.as_tensor(np.abs(root)), 2.5, 1.5)
    want = precision.student_t_log_marginal(quad, logdet[:, None], 5, 2.5, 1.5)
    np.testing.assert_allclose(found.numpy(), want, rtol=1e-12)


@pytest.mark.parametrize("reading", ["L1", "L2", "L3"])
def test_thesis_estimate_is_its_three_equations(reading: precision.ThesisReading) -> None:
    rng = np.random.default_rng(2)
    m, s2, y, at_y = rng.normal(size=6), rng.uniform(0.1, 2.0, size=6), rng.normal(size=4), rng.normal(size=4)
    mean, variance = precision.thesis_estimate(m, s2, y, mean_at_y=at_y, concentration=1.2, rate=0.7, reading=reading)
    for i in range(6):
        want = plain_thesis(m[i], s2[i], list(y), list(at_y), 1.2, 0.7, reading)
        assert (mean[i], variance[i]) == pytest.approx(want, rel=1e-12)


def test_thesis_variance_runs_towards_zero_but_never_reaches_it() -> None:
    m, s2 = np.zeros(1), np.ones(1)
    widths = [precision.thesis_estimate(m, s2, np.zeros(n), rate=1e-30)[1][0] for n in (2, 20, 200)]
    assert all(width >= 1e-12 for width in widths)


def test_unknown_reading_and_missing_means_are_refused() -> None:
    m = np.zeros(1)
    with pytest.raises(ValueError, match="'L1', 'L2' and 'L3'"):
        precision.thesis_estimate(m, m + 1, m, reading="L4")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mean_at_y"):
        precision.thesis_estimate(m, m + 1, m, reading="L3")
