"""Trials side by side by greedy qEI: draws against the joint Student-t, gains against Monte Carlo over it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from lightning_gammabo.bayesopt._batch import draw, fantasies
from lightning_gammabo.bayesopt._criterion import log_ei
from lightning_gammabo.bayesopt._process import Fit, HyperGrid, Mixture, fit, predict
from scipy import stats

from lightning_gammabo.bayesopt import BayesOpt, GammaPrecisionGP, HyperNodes, LearningRateSpace

SPACE = LearningRateSpace(1e-3, 1.0)
X, Y = np.array([0.1, 0.4, 0.9]), np.array([-0.8, 1.1, -0.3])
ONE = HyperGrid(lengthscales=(0.3,), noise_ratios=(1e-3,))


def refit(x: Any, y: Any) -> Fit:
    return fit(x, y, ONE, 1.5, 1.5)


def parabola(lr: float) -> float:
    return -((math.log10(lr) + 1.5) ** 2)


def told(**options: Any) -> BayesOpt:
    search = BayesOpt(SPACE, **options)
    for lr in (0.002, 0.02, 0.4):
        search.enqueue(lr)
        search.tell(search.ask(), parabola(lr))
    return search


def test_a_draw_is_a_quantile_of_the_component_that_was_picked() -> None:
    mixture = Mixture(np.array([0.3, 0.7]), np.array([[0.0], [5.0]]), np.array([[1.0], [2.0]]), 4.0)
    assert draw(mixture, 0.2, 0.9) == pytest.approx(stats.t(4.0).ppf(0.9))
    assert draw(mixture, 0.4, 0.9) == pytest.approx(5.0 + 2.0 * stats.t(4.0).ppf(0.9))
    gaussian = Mixture(np.array([1.0]), np.array([[1.0]]), np.array([[2.0]]), math.inf)
    assert draw(gaussian, 0.5, 0.9) == pytest.approx(stats.norm(1.0, 2.0).ppf(0.9))


def test_draws_place_by_place_are_those_of_the_joint_student_t() -> None:
    """The model's own joint posterior is the reference: mean and correlation of two pending scores."""
    pending = np.array([0.6, 0.7])
    found = fantasies(np.random.default_rng(0), refit(X, Y), refit, Y, pending, 4000)
    scores = np.stack([s for _, s in found])
    nodes = HyperNodes(torch.tensor([[0.3]]).double(), torch.tensor([1e-3]).double(), torch.zeros(1).double())
    model = GammaPrecisionGP(
        torch.tensor(X).unsqueeze(-1), torch.tensor(Y).unsqueeze(-1), hyperparameters=nodes, precision_prior=(1.5, 1.5),
        outcome_transform=None,
    )  # fmt: skip
    posterior = model.posterior(torch.tensor(pending).unsqueeze(-1), observation_noise=True)
    torch.manual_seed(0)
    reference = posterior.rsample(torch.Size([40_000])).squeeze(-1).detach().numpy()
    np.testing.assert_allclose(np.median(scores, axis=0), np.median(reference, axis=0), atol=0.05)
    ranks = [stats.spearmanr(values[:, 0], values[:, 1]).statistic for values in (scores, reference)]
    assert ranks[0] == pytest.approx(ranks[1], abs=0.03)
    for level in (0.1, 0.9):
        gaps = [np.quantile(values[:, 1] - values[:, 0], level) for values in (scores, reference)]
        assert gaps[0] == pytest.approx(gaps[1], abs=0.05)


def test_the_gain_is_that_of_joint_expected_improvement() -> None:
    """EI after the fantasies is E[max(f(u), y_P, best)] less E[max(y_P, best)]."""
    pending, place = np.array([0.5]), 0.7
    found = fantasies(np.random.default_rng(0), refit(X, Y), refit, Y, pending, 300)
    gains, joint = [], []
    rng = np.random.default_rng(1)
    for after, scores in found:
        best = max(float(Y.max()), float(scores.max()))
        mixture = predict(after, np.array([place]))
        gains.append(math.exp(log_ei(mixture, best)[0]))
        draws = mixture.loc[0, 0] + mixture.scale[0, 0] * rng.standard_t(mixture.df, size=20_000)
        joint.append(np.maximum(draws - best, 0.0).mean())
    assert np.mean(gains) == pytest.approx(np.mean(joint), rel=0.05)


def test_a_batch_is_spread_and_reproducible_and_leaves_the_belief_alone() -> None:
    first, second = told(batch="qei"), told(batch="qei")
    before = first.surrogate_at([0.01, 0.1])
    rates = [trial.lr for trial in first.ask(4)]
    assert rates == [trial.lr for trial in second.ask(4)]
    assert min(np.diff(sorted(SPACE.to_unit(lr) for lr in rates))) > 0.005
    after = first.surrogate_at([0.01, 0.1])
    np.testing.assert_allclose(after.mean, before.mean)  # what is pending is no observation
    np.testing.assert_allclose(after.variance, before.variance)
    resumed = told(batch="qei")
    resumed.load_state_dict(first.state_dict())
    assert resumed.ask().lr == first.ask().lr


@pytest.mark.parametrize("batch", ["qei", "believer"])
def test_the_first_of_a_batch_is_that_of_a_lone_ask(batch: Any) -> None:
    assert told(batch=batch).ask(3)[0].lr == told().ask().lr


def test_expected_improvement_is_shared_by_qei_and_other_acquisitions_by_belief() -> None:
    def rates(**options: Any) -> list[float]:
        return [trial.lr for trial in told(**options).ask(3)]

    assert rates() == rates(batch="qei") != rates(batch="believer")
    assert rates(acquisition="pi") == rates(acquisition="pi", batch="believer")


def test_a_pending_trial_is_believed_to_score_its_mean() -> None:
    search, knows = told(batch="believer"), told()
    trial = search.ask()
    knows.enqueue(trial.lr)
    knows.tell(knows.ask(), float(search.surrogate_at([trial.lr]).mean[0]))
    np.testing.assert_allclose(
        SPACE.to_unit(search.ask().lr), SPACE.to_unit(knows.ask().lr), atol=0.03
    )  # told scores set the units anew, believed ones do not


@pytest.mark.parametrize("deterministic", [True, False])
def test_batches_find_a_peak(deterministic: bool) -> None:
    search = BayesOpt(SPACE, batch="qei", deterministic=deterministic)
    for _ in range(4):
        for trial in search.ask(3):
            search.tell(trial, parabola(trial.lr))
    assert math.log10(search.suggest_best()) == pytest.approx(-1.5, abs=0.1)
