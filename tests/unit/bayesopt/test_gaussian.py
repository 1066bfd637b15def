"""The same ask and tell over BoTorch's SingleTaskGP and its own acquisitions."""

from __future__ import annotations

import math
import random
import warnings
from typing import Any

import botorch.acquisition.analytic as analytic
import numpy as np
import pytest
import torch
from botorch.models.gp_regression import SingleTaskGP

from lightning_gammabo.bayesopt import GaussianBayesOpt, LearningRateSpace, PlacePrior, make_search
from lightning_gammabo.bayesopt.belief import log_values

SPACE = LearningRateSpace(1e-3, 0.1)


def parabola(lr: float) -> float:
    return -((math.log10(lr) + 2.2) ** 2)


@pytest.mark.parametrize("kind", ["gaussian", "gaussian_log_ei", "gaussian_pi"])
def test_it_finds_a_peak_and_leaves_no_trace(kind: str) -> None:
    search = make_search(kind, SPACE, seed=0, n_initial=2, n_trials=8)
    python, numpy_, torch_ = random.getstate(), np.random.get_state(), torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what BoTorch warns of is not for users
        for _ in range(8):
            trial = search.ask()
            assert SPACE.low <= trial.lr <= SPACE.high
            search.tell(trial, parabola(trial.lr))
    assert random.getstate() == python
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy_, strict=True))
    assert torch.equal(torch.get_rng_state(), torch_)
    again = make_search(kind, SPACE, seed=0, n_initial=2, n_trials=8)
    again.load_state_dict(search.state_dict())
    assert again.ask() == search.ask()
    if kind != "gaussian_pi":  # which stays beside the best score
        assert math.log10(search.suggest_best()) == pytest.approx(-2.2, abs=0.1)


@pytest.mark.parametrize(
    ("kind", "acquisition", "margin"),
    [
        ("gaussian", "ExpectedImprovement", 0.01),
        ("gaussian_log_ei", "LogExpectedImprovement", 0.0),
        ("gaussian_pi", "ProbabilityOfImprovement", 0.01),
    ],
)
def test_the_acquisition_and_the_model_are_botorchs(
    kind: str, acquisition: str, margin: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[tuple[Any, float]] = []

    class Spy(getattr(analytic, acquisition)):  # type: ignore[misc]
        def __init__(self, model: Any, best_f: Any) -> None:
            super().__init__(model, best_f=best_f)
            used.append((type(model), float(best_f)))

    monkeypatch.setattr(analytic, acquisition, Spy)
    search = make_search(kind, SPACE, seed=0, n_initial=2, n_trials=8)
    for score in (0.7, 0.1):
        search.tell(search.ask(), score)
    search.ask()
    sd = np.std([0.7, 0.1], ddof=1)  # the surrogate's unit
    assert [model for model, _ in used] == [SingleTaskGP]
    assert used[0][1] == pytest.approx((0.7 + margin - 0.4) / sd)


def test_it_keeps_below_what_diverged() -> None:
    search = GaussianBayesOpt(SPACE, seed=1)
    for lr, score in ((0.002, 0.1), (0.01, 0.3), (0.05, None)):
        search.enqueue(lr)
        search.tell(search.ask(), score)
    first, second = search.ask(2)
    assert first.lr <= 0.03  # half the way from 0.01 to 0.05 on the log scale is 0.022
    assert first.lr != second.lr


def test_an_improvement_that_rounding_makes_negative_is_none() -> None:
    def acquisition(X: torch.Tensor) -> torch.Tensor:
        return torch.tensor([-1e-20, 0.0, 0.5], dtype=torch.float64)

    assert log_values(acquisition, np.zeros(3), log=False).tolist() == [-math.inf, -math.inf, math.log(0.5)]  # type: ignore[arg-type]


def test_it_survives_only_divergence() -> None:
    search = GaussianBayesOpt(SPACE, seed=1)
    for _ in range(5):
        search.tell(search.ask(), None)
    assert SPACE.low <= search.ask().lr <= SPACE.high


def test_its_view_is_gaussian() -> None:
    search = GaussianBayesOpt(SPACE, seed=1, acquisition="log_ei")
    for lr in (0.002, 0.01, 0.05):
        search.enqueue(lr)
        search.tell(search.ask(), parabola(lr))
    view = search.surrogate_at([0.002, 0.03])
    assert math.isinf(view.df)
    low, high = view.interval(0.9)
    np.testing.assert_allclose(high - low, 2 * 1.6448536 * np.sqrt(view.variance), rtol=1e-6)


def test_a_prior_of_the_place_is_used() -> None:
    proposals = []
    for prior in (None, PlacePrior(centre=-1.0, scale=0.05)):
        search = GaussianBayesOpt(SPACE, seed=1, prior=prior)
        for lr in (0.002, 0.005, 0.009):
            search.enqueue(lr)
            search.tell(search.ask(), parabola(lr))
        proposals.append(search.ask().lr)
    assert proposals[0] < 0.05 < 0.08 < proposals[1]


@pytest.mark.parametrize("options", [{"acquisition": "ucb"}, {"xi": -1.0}, {"n_initial": -1}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"GaussianBayesOpt\\({next(iter(options))}="):
        GaussianBayesOpt(SPACE, **options)
