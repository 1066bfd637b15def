"""Trials side by side: the model imagines what the pending ones score, by BoTorch's fantasies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from botorch.models.gp_regression import SingleTaskGP
from scipy import stats

from lightning_gammabo.bayesopt import (
    BayesOpt,
    GammaPrecisionGP,
    GaussianBayesOpt,
    LearningRateSpace,
    LogStudentTExpectedImprovement,
)
from lightning_gammabo.bayesopt.acquisition import FantasyAverage
from lightning_gammabo.bayesopt.belief import Belief, condition, in_double, log_values, marginals_at

SPACE = LearningRateSpace(1e-3, 1.0)
X, Y = np.array([0.1, 0.4, 0.9]), np.array([-0.8, 1.1, -0.3])


def parabola(lr: float) -> float:
    return -((math.log10(lr) + 1.5) ** 2)


def gamma(x: torch.Tensor, y: torch.Tensor) -> GammaPrecisionGP:
    return GammaPrecisionGP(x, y, outcome_transform=None)


def gaussian(x: torch.Tensor, y: torch.Tensor) -> SingleTaskGP:
    return SingleTaskGP(x, y, outcome_transform=None)


def believe(pending: Any = (), make: Any = gamma, **options: Any) -> Belief:
    options = {"drawn_at": math.inf, "deterministic": True, "fantasies": 32, "seed": 0} | options
    with in_double():
        return condition(make, X, Y, np.asarray(pending, dtype=float), **options)


def told(kind: Any = BayesOpt, **options: Any) -> Any:
    search = kind(SPACE, **options)
    for lr in (0.002, 0.02, 0.4):
        search.enqueue(lr)
        search.tell(search.ask(), parabola(lr))
    return search


def test_without_pending_trials_the_model_is_asked_itself() -> None:
    belief = believe()
    assert belief.ahead is belief.model
    assert belief.fantasies == 0
    assert belief.best == belief.y.max()


@pytest.mark.parametrize("make", [gamma, gaussian])
def test_pending_trials_become_fantasies_of_any_model(make: Any) -> None:
    belief = believe([0.6, 0.7], make)
    assert belief.fantasies == 32
    assert belief.ahead.batch_shape == (32,)
    assert belief.best.shape == (32,)
    assert (belief.best >= belief.y.max()).all()
    assert (belief.best > belief.y.max()).any()
    assert belief.model.batch_shape == ()


@pytest.mark.parametrize("make", [gamma, gaussian])
def test_a_single_fantasy_is_the_mean(make: Any) -> None:
    belief = believe([0.6, 0.7], make, fantasies=1)
    points = torch.tensor([[0.6], [0.7]]).double()
    with torch.no_grad():
        mean = belief.model.posterior(points).mean
        # the noise keeps the conditioned mean from being the believed score itself
        torch.testing.assert_close(belief.ahead.posterior(points).mean, mean.unsqueeze(0), atol=0.1, rtol=0.0)
    torch.testing.assert_close(belief.best, torch.maximum(belief.y.max(), mean.max()).unsqueeze(0))


def test_fantasies_are_joint_draws_of_new_observations() -> None:
    belief = believe([0.6, 0.7])
    drawn = belief.ahead.transformed_Y[..., -2:, 0].numpy()
    torch.manual_seed(0)
    posterior = belief.model.posterior(torch.tensor([[0.6], [0.7]]).double(), observation_noise=True)
    reference = posterior.rsample(torch.Size([40_000])).squeeze(-1).detach().numpy()
    # 32 quasi-random draws of two heavy-tailed places
    np.testing.assert_allclose(np.median(drawn, axis=0), np.median(reference, axis=0), atol=0.15)
    ranks = [stats.spearmanr(values[:, 0], values[:, 1]).statistic for values in (drawn, reference)]
    assert ranks[0] == pytest.approx(ranks[1], abs=0.2)


def test_the_gain_is_that_of_joint_expected_improvement() -> None:
    """EI averaged over fantasies is E[max(f(u), y_P, best)] less E[max(y_P, best)]."""
    belief = believe([0.5])
    place = np.array([0.7])
    with in_double():
        function = FantasyAverage(LogStudentTExpectedImprovement(belief.ahead, belief.best))
        got = math.exp(log_values(function, place, log=True)[0])
    torch.manual_seed(0)
    points = torch.tensor([[0.5], [0.7]]).double()
    draws = belief.model.posterior(points).rsample(torch.Size([200_000])).squeeze(-1)  # the noise hardly counts here
    before = draws[:, 0].clamp_min(belief.y.max().item())
    joint = (torch.maximum(draws[:, 1], before) - before).mean().item()
    assert got == pytest.approx(joint, rel=0.15)  # 32 draws against 200,000


def test_the_incumbent_of_noisy_scores_is_the_best_mean() -> None:
    belief = believe([0.5], deterministic=False)
    means = belief.ahead.posterior(torch.tensor([[0.1], [0.4], [0.9], [0.5]]).double()).mean.squeeze(-1)
    torch.testing.assert_close(belief.best, means.amax(dim=-1))


def test_a_gaussian_model_is_seen_as_student_t_of_infinite_df() -> None:
    belief = believe(make=gaussian)
    with in_double():
        marginals = marginals_at(belief.model, np.array([0.2, 0.6]), observation_noise=False)
        exact = belief.model.posterior(torch.tensor([[[0.2]], [[0.6]]]).double())
    assert math.isinf(marginals.df)
    torch.testing.assert_close(marginals.mean, exact.mean)
    torch.testing.assert_close(marginals.variance, exact.variance)


@pytest.mark.parametrize("kind", [BayesOpt, GaussianBayesOpt])
def test_a_batch_is_spread_and_reproducible_and_leaves_the_belief_alone(kind: Any) -> None:
    first, second = told(kind), told(kind)
    before = first.surrogate_at([0.01, 0.1])
    rates = [trial.lr for trial in first.ask(4)]
    assert rates == [trial.lr for trial in second.ask(4)]
    assert min(np.diff(sorted(SPACE.to_unit(lr) for lr in rates))) > 0.005
    after = first.surrogate_at([0.01, 0.1])
    np.testing.assert_allclose(after.mean, before.mean)  # what is pending is no observation
    np.testing.assert_allclose(after.variance, before.variance)
    resumed = told(kind)
    resumed.load_state_dict(first.state_dict())
    assert resumed.ask().lr == first.ask().lr


@pytest.mark.parametrize("acquisition", ["log_ei", "pi", "thesis"])
def test_the_first_of_a_batch_is_that_of_a_lone_ask(acquisition: Any) -> None:
    batch = told(acquisition=acquisition).ask(3)
    assert batch[0].lr == told(acquisition=acquisition).ask().lr
    assert len({trial.lr for trial in batch}) == 3


@pytest.mark.parametrize("deterministic", [True, False])
def test_batches_find_a_peak(deterministic: bool) -> None:
    search = BayesOpt(SPACE, deterministic=deterministic)
    for _ in range(4):
        for trial in search.ask(3):
            search.tell(trial, parabola(trial.lr))
    assert math.log10(search.suggest_best()) == pytest.approx(-1.5, abs=0.1)


def test_many_pending_trials_are_no_burden(monkeypatch: pytest.MonkeyPatch) -> None:
    """One model is conditioned for an ask, however many trials are pending; each of 24 places is another one."""
    search = told()
    made: list[int] = []
    conditioned = GammaPrecisionGP.condition_on_observations

    def counted(self: Any, X: Any, Y: Any, **options: Any) -> Any:
        made.append(X.shape[-2])
        return conditioned(self, X, Y, **options)

    monkeypatch.setattr(GammaPrecisionGP, "condition_on_observations", counted)
    rates = [search.ask().lr for _ in range(24)]
    assert made == list(range(1, 24))
    assert len(set(rates)) == 24


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, lambda: torch.device("meta")])
def test_whatever_the_caller_has_set_proposals_are_the_same(context: Any) -> None:
    want = [trial.lr for trial in told().ask(2)]
    kind = told(GaussianBayesOpt).ask().lr
    with context():
        assert [trial.lr for trial in told().ask(2)] == want
        assert told(GaussianBayesOpt).ask().lr == kind


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_default_type_of_numbers_does_not_matter(dtype: torch.dtype) -> None:
    want = [trial.lr for trial in told().ask(2)]
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        assert [trial.lr for trial in told().ask(2)] == want
    finally:
        torch.set_default_dtype(before)
