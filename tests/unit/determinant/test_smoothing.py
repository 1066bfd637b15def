"""The centre of the rates that scored well, against a slow and obvious version of it."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_gammabo.determinant.smoothing import BLUR, REACH, WIDTH, smoothed_argmax
from lightning_gammabo.records import Result, TrialState

COMPLETE, DIVERGED, PRUNED, FAILED = TrialState.COMPLETE, TrialState.DIVERGED, TrialState.PRUNED, TrialState.FAILED


def result(number: int, lr: float, score: float | None, state: TrialState = COMPLETE, **given: Any) -> Result:
    return Result(number=number, lr=lr, score=score, state=state, **given)


def scored(*pairs: tuple[float, float]) -> list[Result]:
    return [result(number, lr, score) for number, (lr, score) in enumerate(pairs)]


def best(results: list[Result]) -> Result:
    return max((r for r in results if r.score is not None), key=lambda r: r.score or 0.0)


def slow(pairs: list[tuple[float, float]], winner: float) -> float:
    """Sums over a fine grid, term by term; ``pairs`` of log10 rates, rising, and scores."""

    def interpolated(x: float) -> float:
        if x <= pairs[0][0]:
            return pairs[0][1]
        for (left, a), (right, b) in itertools.pairwise(pairs):
            if x <= right:
                return a + (b - a) * (x - left) / (right - left)
        return pairs[-1][1]

    def blurred(x: float) -> float:
        around = [x + BLUR * (k / 50.0) for k in range(-200, 201)]
        weights = [math.exp(-0.5 * ((place - x) / BLUR) ** 2) for place in around]
        return sum(w * interpolated(p) for w, p in zip(weights, around, strict=True)) / sum(weights)

    mean = sum(score for _, score in pairs) / len(pairs)
    spread = math.sqrt(sum((score - mean) ** 2 for _, score in pairs) / len(pairs))
    low, high = max(pairs[0][0], winner - REACH), min(pairs[-1][0], winner + REACH)
    places = [low + (high - low) * k / 400 for k in range(401)]
    values = [blurred(place) for place in places]
    weights = [math.exp((value - max(values)) / (WIDTH * spread)) for value in values]
    return sum(w * p for w, p in zip(weights, places, strict=True)) / sum(weights)


@pytest.mark.parametrize(
    "scores",
    [
        [(-4.0, 0.0), (-3.0, 0.6), (-2.0, 1.0), (-1.0, 0.9), (0.0, -1.0)],
        [(-4.0, 0.0), (-2.1, 1.0), (-2.0, 1.01), (-1.9, 0.2), (-0.5, -0.4)],
        [(-3.0, 1.0), (-2.0, 0.5), (-1.0, 0.0)],
        [(-3.0, 0.0), (-2.9, 0.1), (-1.0, 2.0)],
    ],
)
def test_it_is_the_slow_one(scores: list[tuple[float, float]]) -> None:
    results = scored(*((10.0**x, score) for x, score in scores))
    settled = smoothed_argmax(results)
    assert settled is not None
    assert math.log10(settled) == pytest.approx(slow(scores, math.log10(best(results).lr)), abs=0.01)


def test_a_symmetric_hill_is_settled_at_its_top() -> None:
    results = scored((1e-4, 0.0), (1e-3, 0.8), (1e-2, 1.0), (1e-1, 0.8), (1.0, 0.0))
    assert smoothed_argmax(results) == pytest.approx(1e-2, rel=0.02)


def test_a_best_rate_at_the_edge_of_a_cliff_is_stepped_back_from() -> None:
    results = scored((1e-4, 0.0), (1e-3, 0.9), (3e-3, 0.98), (1e-2, 1.0), (2e-2, -2.0))
    settled = smoothed_argmax(results)
    assert settled is not None
    assert 2e-3 < settled < 7e-3


def test_the_scale_of_the_scores_does_not_matter() -> None:
    pairs = [(1e-4, 0.0), (1e-3, 0.7), (5e-3, 1.0), (3e-2, 0.5), (0.2, -1.0)]
    one, other = scored(*pairs), scored(*((lr, 5.0 + 70.0 * score) for lr, score in pairs))
    assert smoothed_argmax(one) == pytest.approx(smoothed_argmax(other), rel=1e-9)


def test_the_order_of_the_results_does_not_matter() -> None:
    results = scored((1e-2, 1.0), (1e-4, 0.0), (0.1, 0.3), (1e-3, 0.8))
    assert smoothed_argmax(results) == smoothed_argmax(results[::-1])


def test_two_peaks_far_apart_are_not_averaged() -> None:
    results = scored((1e-5, 1.0), (1e-4, 0.0), (1e-3, 0.0), (1e-2, 0.0), (0.1, 1.01))
    settled = smoothed_argmax(results)
    assert settled is not None
    assert 0.01 < settled <= 0.1


def test_what_becomes_of_those_that_did_not_come_to_their_end() -> None:
    pairs = [(1e-3, 0.7), (1e-2, 1.0), (3e-2, 0.5)]
    lowest = [*scored(*pairs), result(3, 0.3, 0.5), result(4, 0.1, 0.8)]
    cut = [
        *scored(*pairs),
        result(3, 0.3, None, DIVERGED),  # as bad as the worst
        result(4, 0.1, None, PRUNED, estimate=0.8),
        result(5, 1.0, None, FAILED),  # nothing is known of it
        result(6, 0.0, 3.0),  # has no logarithm
    ]
    assert smoothed_argmax(cut) == smoothed_argmax(lowest)


@pytest.mark.parametrize(
    "results",
    [
        [],
        scored((0.1, 1.0)),
        scored((0.1, 1.0), (0.2, 0.9)),
        scored((0.1, 1.0), (0.1, 0.9), (0.1, 0.8)),
        scored((0.1, 1.0), (0.2, 1.0), (0.3, 1.0)),
        [*scored((0.1, 1.0)), result(1, 0.5, None, DIVERGED), result(2, 0.7, None, DIVERGED)],
        scored((0.0, 1.0), (0.3, 0.8), (0.4, 0.7)),
    ],
)
def test_where_too_little_is_known_there_is_no_centre(results: list[Result]) -> None:
    assert smoothed_argmax(results) is None


def test_rates_that_lie_close_together_have_no_centre() -> None:
    assert smoothed_argmax(scored((0.1, 0.5), (0.1001, 1.0), (0.1002, 0.2))) is None


def test_rates_that_lie_very_far_apart() -> None:
    results = scored((1e-200, 0.0), (1e-3, 0.8), (1e-2, 1.0), (0.1, 0.8), (1e200, -1.0))
    assert smoothed_argmax(results) == pytest.approx(1e-2, rel=0.02)


@pytest.mark.parametrize("worst", [-0.9, -2.3, -10.0, -1e4, -1e26])
def test_however_bad_the_worst_is_the_centre_stays_with_the_best(worst: float) -> None:
    """Within half a decade of the best; a loss that is absurd has diverged, and is not among the scores at all."""
    pairs = [(1e-4, -2.2), (1e-3, -1.2), (1e-2, -0.50), (3e-2, -0.40), (1e-1, -0.42), (1.0, worst)]
    centre = smoothed_argmax(scored(*pairs))
    assert centre is not None
    assert 3e-2 / 10**0.5 <= centre <= 3e-2 * 10**0.5


def test_how_hopeless_the_worst_is_does_not_matter() -> None:
    pairs = [(1e-4, -2.2), (1e-3, -1.2), (1e-2, -0.50), (3e-2, -0.40), (1e-1, -0.42)]
    centres = {smoothed_argmax(scored(*pairs, (1.0, worst))) for worst in (-10.0, -1e4, -1e26)}
    assert len(centres) == 1


rates = st.floats(1e-6, 10.0)
scores = st.floats(-100.0, 100.0)


@given(
    st.lists(st.tuples(rates, scores), min_size=1, max_size=12, unique_by=lambda pair: round(math.log10(pair[0]), 3))
)
def test_it_lies_among_the_rates_tried_and_near_the_best(pairs: list[tuple[float, float]]) -> None:
    results = scored(*pairs)
    settled = smoothed_argmax(results)
    if settled is None:
        tried = [lr for lr, _ in pairs]
        found = [score for _, score in pairs]
        # squares of differences that small are nothing
        assert len(tried) < 3 or max(found) - min(found) < 1e-150 or max(tried) < 1.06 * min(tried)
        return
    assert min(lr for lr, _ in pairs) * 0.97 <= settled <= max(lr for lr, _ in pairs) * 1.03
    lowest = min(lr for lr, score in pairs if score == max(score for _, score in pairs))
    assert 1.0 / 10.1 <= settled / lowest <= 10.1
