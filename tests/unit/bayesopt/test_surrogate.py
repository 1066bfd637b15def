"""Scores in and out of the surrogate's units; the view of its belief."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from lightning_gammabo.bayesopt import BayesOpt, LearningRateSpace
from lightning_gammabo.bayesopt.surrogate import Units, newest_and_best
from tests.unit.bayesopt import reference

SPACE = LearningRateSpace(1e-3, 0.5)


def told(scores: list[tuple[float, float]], **options: object) -> BayesOpt:
    search = BayesOpt(SPACE, **options)  # type: ignore[arg-type]
    for lr, score in scores:
        search.enqueue(lr)
        search.tell(search.ask(), score)
    return search


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(scores=st.lists(FINITE, min_size=1, max_size=40), share=st.sampled_from([0.5, 10.0, math.inf]))
def test_any_finite_scores_become_moderate_numbers(scores: list[float], share: float) -> None:
    raw = np.asarray(scores)
    units = Units.of(raw, share)
    y = units.standard(raw)
    assert np.isfinite([units.centre, units.unit]).all()
    assert units.unit > 0.0
    assert np.abs(y).max() <= math.sqrt(len(scores))  # no standardised score is farther out
    assert y[raw.argmax()] == y.max()
    assert (np.diff(y[np.argsort(raw)]) >= 0.0).all()


@given(
    scores=st.lists(st.integers(-1000, 1000), min_size=2, max_size=12, unique=True),
    factor=st.floats(0.01, 100.0),
    offset=st.floats(-50.0, 50.0),
    share=st.sampled_from([0.5, math.inf]),
)
def test_units_of_the_score_do_not_matter(scores: list[int], factor: float, offset: float, share: float) -> None:
    raw, other = np.asarray(scores, dtype=float), offset + factor * np.asarray(scores, dtype=float)
    want = Units.of(raw, share).standard(raw)
    np.testing.assert_allclose(Units.of(other, share).standard(other), want, atol=1e-8)


@given(
    scores=st.lists(st.integers(-1000, 1000), min_size=2, max_size=12, unique=True),
    share=st.sampled_from([0.5, math.inf]),
)
def test_raw_is_the_inverse_of_standard(scores: list[int], share: float) -> None:
    raw = np.asarray(scores, dtype=float)
    units = Units.of(raw, share)
    places = raw[raw >= units.best - 99.0 * units.gap]
    places = np.concatenate([places, [units.best + 3.0, units.best - 0.1 * min(units.gap, 10.0)]])
    np.testing.assert_allclose(units.raw(units.standard(places)), places, rtol=1e-9, atol=1e-6)


def test_slope_is_the_derivative() -> None:
    units = Units.of(np.array([0.9, 0.5, 0.8, -4.0]), 0.5)
    scores, step = np.array([-6.0, 0.0, 0.6, 0.89, 0.95, 2.0]), 1e-6
    slope = (units.standard(scores + step) - units.standard(scores - step)) / (2 * step)
    np.testing.assert_allclose(np.exp(units.log_slope(scores)), slope, rtol=1e-5)


def test_equal_scores_have_a_unit() -> None:
    units = Units.of(np.array([0.3, 0.3, 0.3]), 0.5)
    assert (units.centre, units.unit) == (0.3, 1.0)
    nearly = np.array([1e300, np.nextafter(1e300, 0.0)])
    assert np.abs(Units.of(nearly, 0.5).standard(nearly)).max() < 1e-12


@pytest.mark.parametrize("share", [0.5, 10.0])
def test_one_disaster_does_not_set_the_scale(share: float) -> None:
    raw = np.array([-1.0, -2.0, -3.0, -4.0, -2e36])
    y = Units.of(raw, share).standard(raw)
    assert y[0] - y[1] > 0.01  # without drawing together it would be 1e-36
    assert y[4] == y.min()


def test_view_is_the_mixture_in_units_of_the_score() -> None:
    view = told([(0.01, 5.0), (0.1, 9.0), (0.3, 2.0)], deterministic=False).surrogate_at([0.01, 0.05, 0.2])
    units, weights = view.units, view.posterior.weights.expand(3, -1, 1)
    y = 8.5
    for g in range(3):
        w = weights[g, :, 0].numpy()
        loc, scale = (v[g, :, 0, 0].numpy() for v in (view.posterior.component_loc, view.posterior.component_scale))
        parts = [stats.t(view.df, m, s) for m, s in zip(loc, scale, strict=True)]
        mean, variance = reference.mixture_moments(w, loc, scale, view.df)
        assert view.mean[g] == pytest.approx(float(units.raw(mean)), rel=1e-12)
        sd = math.sqrt(variance) / math.exp(float(units.log_slope(view.mean[g])))
        assert view.variance[g] == pytest.approx(sd**2, rel=1e-8)
        assert view.scale[g] ** 2 * stats.t(view.df).var() == pytest.approx(view.variance[g], rel=1e-12)
        at = float(units.standard(y))
        assert view.cdf(y)[g] == pytest.approx(sum(a * p.cdf(at) for a, p in zip(w, parts, strict=True)))


@pytest.mark.parametrize("deterministic", [True, False])
def test_density_is_the_derivative_of_the_distribution(deterministic: bool) -> None:
    search = told([(0.01, 5.0), (0.1, 9.0), (0.3, 2.0), (0.03, 8.0)], deterministic=deterministic)
    view = search.surrogate_at([0.005, 0.05, 0.2])
    for score in (-3.0, 4.0, 8.9, 9.5):
        slope = (view.cdf(score + 1e-5) - view.cdf(score - 1e-5)) / 2e-5
        np.testing.assert_allclose(np.exp(view.log_density(score)), slope, rtol=1e-5, atol=1e-10)


def test_ei_in_units_of_the_score_is_that_of_the_scores() -> None:
    told_scores = [(0.01, 5.0), (0.1, 9.0), (0.3, 2.0), (0.03, 8.0)]
    view = told(told_scores, acquisition="ei", inside=0.0).surrogate_at([0.005, 0.05, 0.2])
    scores = np.linspace(9.0, 400.0, 2001)
    above = np.stack([1.0 - view.cdf(s) for s in scores])  # E[max(s - 9, 0)] is the integral of 1 - cdf from 9 on
    np.testing.assert_allclose(integrate.trapezoid(above, scores, axis=0), view.acquisition, rtol=2e-2)


@pytest.mark.parametrize("surrogate", ["student_t", "gaussian"])
@pytest.mark.parametrize("probability", [0.5, 0.9, 0.99])
def test_intervals_hold_their_mass(surrogate: str, probability: float) -> None:
    search = told([(0.01, 5.0), (0.1, 9.0), (0.3, 2.0), (0.03, 8.0)], surrogate=surrogate)
    view = search.surrogate_at([0.005, 0.05])
    low, high = view.interval(probability)
    np.testing.assert_allclose(view.cdf(high) - view.cdf(low), probability, atol=1e-9)
    np.testing.assert_allclose(view.cdf(low), 0.5 - probability / 2, atol=1e-9)
    with pytest.raises(ValueError, match="between 0 and 1"):
        view.interval(1.0)


def test_an_interval_ends_where_all_scores_are_disasters() -> None:
    view = told([(0.01, 5.0), (0.1, 9.0)]).surrogate_at([0.002])
    low, _ = view.interval(0.99)
    assert low[0] == pytest.approx(9.0 - 100.0 * 2.0)  # 100 gaps, a gap being half of the median distance of 4
    assert view.cdf(low)[0] > 0.005  # what lies below is counted there


def test_noise_widens_the_belief() -> None:
    search = told([(0.01, 5.0), (0.1, 9.0), (0.02, 6.0)])
    quiet, noisy = search.surrogate_at([0.01]), search.surrogate_at([0.01], observation_noise=True)
    assert noisy.variance[0] > quiet.variance[0]


def test_of_too_many_scores_the_worst_of_the_older_ones_are_forgotten() -> None:
    pairs = np.array([[0.1, 5.0], [0.2, 1.0], [0.3, 4.0], [0.4, 0.0], [0.5, -9.0]])
    np.testing.assert_array_equal(newest_and_best(pairs, 4), pairs[[0, 2, 3, 4]])
    np.testing.assert_array_equal(newest_and_best(pairs, 5), pairs)


def test_nothing_can_be_seen_before_a_score() -> None:
    search = BayesOpt(SPACE)
    with pytest.raises(RuntimeError, match="tell one first"):
        search.surrogate_at([0.1])
    with pytest.raises(RuntimeError, match="tell one first"):
        search.suggest_best()
    search.tell(search.ask(), None)
    with pytest.raises(RuntimeError, match="tell one first"):
        search.surrogate_at([0.1])
