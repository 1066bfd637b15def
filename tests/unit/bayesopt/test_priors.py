"""Beliefs of where the optimum lies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import ExpectedImprovement, LogExpectedImprovement
from botorch.acquisition.prior_guided import PriorGuidedAcquisitionFunction
from botorch.models.gp_regression import SingleTaskGP
from scipy import stats

from lightning_gammabo.bayesopt.priors import PlacePrior, PriorModule, WarmStart, inside_log_prior

GRID = torch.linspace(0.0, 1.0, 101, dtype=torch.float64)


def test_the_inside_prior_prefers_the_middle_and_forbids_nothing() -> None:
    values = inside_log_prior(GRID)
    assert values.argmax() == 50
    assert values.max().item() == pytest.approx(0.0)
    assert torch.isfinite(values).all()
    assert values[0].item() == values[-1].item() == pytest.approx(math.log(0.05))


@pytest.mark.parametrize("flip", [False, True])
def test_the_inside_prior_yields_to_a_best_score_near_an_end(flip: bool) -> None:
    def prior(best: float, tried: list[float]) -> np.ndarray:
        mirrored = 1.0 - np.array([best, *tried]) if flip else np.array([best, *tried])
        values = inside_log_prior(GRID, float(mirrored[0]), torch.as_tensor(mirrored)).numpy()
        return values[::-1] if flip else values

    plain = inside_log_prior(GRID).numpy()
    lifted = prior(0.9, [0.2, 0.5])
    np.testing.assert_allclose(lifted[90:], plain[90])
    np.testing.assert_allclose(lifted[:90], plain[:90])
    np.testing.assert_allclose(prior(1.5, [0.2])[:101], plain)
    np.testing.assert_allclose(prior(0.9, [0.2, 0.95]), plain)  # what lies beyond was seen to be worse
    np.testing.assert_allclose(prior(0.6, [0.2]), plain)  # too far from the end to speak for it


def test_a_warm_start_believes_in_the_cauchy_of_the_move() -> None:
    warm = WarmStart(winner=0.1, reached=0.5, strength=2.0)
    rates = np.geomspace(1e-4, 10.0, 501)
    moves = stats.cauchy(-0.5, 0.7)
    expected = moves.logpdf(np.log(rates / 0.1)) - moves.logpdf(-0.5)
    got = warm.prior.log_density(torch.as_tensor(np.log10(rates)))
    np.testing.assert_allclose(got, expected, atol=1e-12)
    assert warm.starts() == (0.1, 0.05)


@pytest.mark.parametrize("df", [1.0, 3.0, math.inf])
def test_a_place_prior_is_student_t_in_decades(df: float) -> None:
    places = np.linspace(-6.0, 1.0, 50)
    law = stats.norm(-2.0, 0.4) if math.isinf(df) else stats.t(df, -2.0, 0.4)
    got = PlacePrior(-2.0, 0.4, df).log_density(torch.as_tensor(places))
    np.testing.assert_allclose(got, law.logpdf(places) - law.logpdf(-2.0), atol=1e-12)


@pytest.mark.parametrize("wrong", [(math.nan, 1.0, 1.0), (-2.0, 0.0, 1.0), (-2.0, 1.0, 0.0), (-2.0, math.inf, 1.0)])
def test_an_impossible_place_prior_is_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="give a finite centre"):
        PlacePrior(*wrong)


@pytest.mark.filterwarnings("ignore:ExpectedImprovement has known numerical issues")
@pytest.mark.parametrize("log", [True, False])
def test_the_module_multiplies_botorchs_acquisition(log: bool) -> None:
    X = torch.rand(5, 1, dtype=torch.float64)
    model = SingleTaskGP(X, X.sin())
    base = (LogExpectedImprovement if log else ExpectedImprovement)(model, best_f=0.5)
    module = PriorModule(inside_log_prior, log=log)
    guided = PriorGuidedAcquisitionFunction(base, module, log=log, prior_exponent=2.0)
    at = torch.rand(7, 1, 1, dtype=torch.float64)
    prior = 2.0 * inside_log_prior(at.squeeze(-1).squeeze(-1))
    torch.testing.assert_close(guided(at), base(at) + prior if log else base(at) * prior.exp())


@pytest.mark.parametrize(("best", "misleads"), [(0.5, False), (0.9, False), (0.49, True)])
def test_a_warm_start_knows_when_it_misleads(best: float, misleads: bool) -> None:
    assert WarmStart(winner=0.1, reached=0.5, strength=1.0).misleads(best) is misleads


def test_a_warm_start_is_made_of_the_finite_scores() -> None:
    pairs = [(0.1, 0.5), (0.2, None), (0.3, math.nan), (0.0, 9.0), (0.02, 0.7), (0.01, 0.1), (0.03, 0.6)]
    assert WarmStart.of(pairs, 1.5) == WarmStart(winner=0.02, reached=0.7, strength=1.5)
    assert WarmStart.of([(0.2, None), (0.0, 9.0)], 1.0) is None
