"""Which candidate wins, against the slow and obvious rule, and why."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_gammabo.determinant.determinant import Determinant, leave_one_out
from lightning_gammabo.determinant.objective import kappa
from lightning_gammabo.records import Result, TrialState, paired_error


def result(number: int, score: float | None = 1.0, loss: float | None = 0.5, **fields: object) -> Result:
    state = TrialState.COMPLETE if score is not None else TrialState.DIVERGED
    values = {"number": number, "lr": 0.1, "state": state, "score": score, "loss": loss}
    return Result(**(values | fields))  # type: ignore[arg-type]


def reference(results: list[Result]) -> Result | None:
    """Sort all; highest score, lowest loss (none is worst), first tried."""
    complete = [r for r in results if r.state is TrialState.COMPLETE]
    ranked = sorted(complete, key=lambda r: (-r.score, float("inf") if r.loss is None else r.loss, r.number))  # type: ignore[operator]
    return ranked[0] if ranked else None


SCORES = st.sampled_from([None, -1.0, 0.0, 1.0, 2.0])
LOSSES = st.sampled_from([None, -0.5, 0.0, 0.5])


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(SCORES, LOSSES), max_size=8))
def test_the_winner_is_the_one_that_sorting_puts_first(pairs: list[tuple[float | None, float | None]]) -> None:
    results = [result(number, score, loss) for number, (score, loss) in enumerate(pairs)]
    chosen, reason = Determinant().choose(results)
    assert chosen is reference(results)
    assert reason


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(SCORES, LOSSES), min_size=1, max_size=8))
def test_who_led_last_is_who_is_chosen(pairs: list[tuple[float | None, float | None]]) -> None:
    """The scheduler holds one end state only: that of the candidate that took the lead last."""
    determinant, leader, results = Determinant(), None, []
    for number, (score, loss) in enumerate(pairs):
        results.append(result(number, score, loss))
        present = determinant.choose(results)[0]
        if present is results[-1]:
            leader = present
        assert present is leader


@pytest.mark.parametrize("rule", ["best", "largest_within_noise", "keep_unless_better"])
@pytest.mark.parametrize(("score", "wins"), [(1.0, True), (0.9, True), (0.82, True), (0.76, False), (-3.0, False)])
def test_the_centre_wins_unless_it_is_clearly_worse(rule: Any, score: float, wins: bool) -> None:
    others = [result(0, 0.0, lr=0.01, origin="current"), result(1, 0.5, lr=0.05), result(2, 1.0, lr=0.2)]
    results = [*others, result(3, score, lr=0.1, origin="smoothed")]
    deviation = statistics.pstdev([0.0, 0.5, 1.0, score])
    assert wins == (1.0 - score <= 0.5 * deviation)
    chosen, reason = Determinant(rule).choose(results)
    assert (chosen is results[3]) == wins
    assert ("centre" in reason) == wins
    if not wins:
        assert chosen is Determinant(rule).choose(others)[0]


def test_a_centre_wins_where_all_scores_are_equal() -> None:
    results = [result(0, origin="current"), result(1, lr=0.2), result(2, lr=0.15, origin="smoothed")]
    assert Determinant().choose(results)[0] is results[2]


def test_of_rates_that_are_equal_on_each_batch_the_largest_wins() -> None:
    results = [result(0, lr=0.1, parts=(1.0, 1.0, 1.0)), result(1, lr=0.2, parts=(1.0, 1.0, 1.0))]
    assert Determinant("largest_within_noise").choose(results)[0] is results[1]


def test_a_centre_that_did_not_come_to_its_end_does_not_win() -> None:
    results = [result(0, 0.0), result(1, 1.0), result(2, None, origin="smoothed")]
    assert Determinant().choose(results)[0] is results[1]


@pytest.mark.parametrize("state", [TrialState.DIVERGED, TrialState.FAILED, TrialState.PRUNED])
def test_a_lost_candidate_never_leads(state: TrialState) -> None:
    lost, worst = result(0, None, state=state, lr=9.0), result(1, -1e300)
    for rule in ("best", "largest_within_noise"):
        assert Determinant(rule).choose([lost])[0] is None  # type: ignore[arg-type]
        assert Determinant(rule).choose([lost, worst])[0] is worst  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "second", "leads"),
    [
        (result(0), result(1), False),
        (result(0), result(1, loss=0.4), True),
        (result(0, loss=None), result(1), True),
        (result(0, loss=None), result(1, loss=None), False),
    ],
)
def test_an_equal_one_does_not_take_the_lead(first: Result, second: Result, leads: bool) -> None:
    assert Determinant().choose([first, second])[0] is (second if leads else first)


@pytest.mark.parametrize(
    ("results", "number", "reason"),
    [
        ([], None, "there was no candidate"),
        ([result(0)], 0, "the only candidate"),
        ([result(0, None)], None, "all 1 candidates diverged or failed"),
        ([result(0, None), result(1, None, state=TrialState.FAILED)], None, "all 2 candidates diverged or failed"),
        ([result(0, 1.0), result(1, 2.0), result(2, None)], 1, "highest score of 2 candidates"),
        ([result(0, None), result(1, -5.0)], 1, "the only candidate"),
        ([result(0, 1.0, 0.5), result(1, 1.0, 0.4)], 1, "highest score, shared with 1, at the lowest loss"),
        ([result(0, 1.0, None), result(1, 1.0, 0.9)], 1, "highest score, shared with 1, at the lowest loss"),
        ([result(0), result(1), result(2)], 0, "highest score, shared with 2, tried first"),
        ([result(0, loss=None), result(1, loss=None)], 0, "highest score, shared with 1, tried first"),
        ([result(0), result(1), result(2, 1.0, 0.9)], 0, "highest score, shared with 2, tried first"),
    ],
)
def test_the_reason_says_why(results: list[Result], number: int | None, reason: str) -> None:
    chosen, said = Determinant().choose(results)
    assert (None if chosen is None else chosen.number) == number
    assert said == reason


def test_the_number_and_not_the_place_is_named() -> None:
    chosen, _ = Determinant().choose([result(7, 1.0), result(4, 3.0)])
    assert chosen is not None
    assert chosen.number == 4


def test_a_rule_that_is_unknown() -> None:
    with pytest.raises(
        ValueError, match="rule='smallest': choose one of 'best', 'largest_within_noise', 'keep_unless_better'"
    ):
        Determinant("smallest")  # type: ignore[arg-type]


# ---- the largest within one paired standard error


def measured(
    number: int, lr: float, batches: Sequence[float], *, loss: float | None = None, origin: str = "region"
) -> Result:
    """A result whose score is minus the mean of its batches, with the parts that pair it."""
    parts = leave_one_out([[(value, 1.0) for value in batches]], lambda means: -means[0])
    return result(number, -sum(batches) / len(batches), loss, lr=lr, parts=parts, origin=origin)


# TIED is 0.04 behind, and that difference has a standard error of 0.06; WORSE is 1.05 behind for sure
BEST = measured(0, 0.1, [1.0, 2.0, 3.0, 4.0])
TIED = measured(1, 0.2, [1.1, 1.9, 3.15, 4.0])
WORSE = measured(2, 0.4, [2.0, 3.1, 4.0, 5.1])


def test_the_largest_of_those_that_the_noise_cannot_tell_apart() -> None:
    error = paired_error(TIED, BEST)
    assert error is not None
    assert BEST.score - TIED.score < error  # type: ignore[operator]
    chosen, reason = Determinant("largest_within_noise").choose([BEST, TIED, WORSE])
    assert chosen is TIED
    assert reason == "largest of 2 rates within one paired standard error of the best score"
    assert Determinant("best").choose([BEST, TIED, WORSE])[0] is BEST


def test_how_many_errors_are_a_tie_is_an_argument() -> None:
    assert Determinant("largest_within_noise", n_sigma=0.1).choose([BEST, TIED, WORSE])[0] is BEST
    assert Determinant("largest_within_noise", n_sigma=1e9).choose([BEST, TIED, WORSE])[0] is WORSE


def test_a_smaller_rate_that_ties_changes_nothing() -> None:
    smaller = measured(1, 0.01, [1.1, 1.9, 3.15, 4.0])
    chosen, reason = Determinant("largest_within_noise").choose([smaller, BEST])
    assert chosen is BEST
    assert reason == "highest score of 2 candidates"


def test_what_is_surely_worse_does_not_tie_though_it_is_near() -> None:
    # one per cent behind in every batch: no noise at all
    sure = measured(1, 0.2, [1.01, 2.01, 3.01, 4.01])
    assert paired_error(sure, BEST) == pytest.approx(0.0, abs=1e-12)
    assert Determinant("largest_within_noise").choose([BEST, sure])[0] is BEST


@pytest.mark.parametrize("parts", [(), (1.0,), (1.0, 2.0, 3.0)])
def test_where_nothing_can_be_paired_the_best_wins(parts: tuple[float, ...]) -> None:
    larger = result(1, BEST.score - 1e-9, None, lr=0.9, parts=parts)  # type: ignore[operator]
    assert paired_error(larger, BEST) is None
    assert Determinant("largest_within_noise").choose([BEST, larger])[0] is BEST


@settings(deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.01, 0.1, 0.5]), st.lists(st.floats(0.0, 2.0), min_size=4, max_size=4)),
        min_size=1,
        max_size=6,
    )
)
def test_the_largest_is_the_largest(rows: list[tuple[float, list[float]]]) -> None:
    results = [measured(number, lr, batches) for number, (lr, batches) in enumerate(rows)]
    best = reference(results)
    assert best is not None
    tied = [best]
    for other in results:
        error = paired_error(other, best)
        assert error is not None
        if best.score - other.score <= error:  # type: ignore[operator]
            tied.append(other)
    chosen, _ = Determinant("largest_within_noise").choose(results)
    assert chosen is not None
    assert chosen.lr == max(other.lr for other in tied)
    assert chosen in tied
    if chosen.lr == best.lr:
        assert chosen is best


# ---- the present rate, unless a larger one is better beyond the noise


def annealed(*results: Result, n_sigma: float = 1.0) -> tuple[Result | None, str]:
    return Determinant("keep_unless_better", n_sigma=n_sigma).choose(results)


PRESENT = measured(0, 0.1, [1.1, 1.9, 3.15, 4.0], origin="current")
SMALLER = measured(1, 0.05, [0.5, 1.4, 2.6, 3.5])
LARGER = measured(1, 0.2, [0.6, 1.4, 2.6, 3.6])
TWICE = measured(2, 0.4, [0.4, 1.1, 2.4, 3.3])


def test_a_smaller_rate_that_is_better_changes_nothing() -> None:
    chosen, reason = annealed(PRESENT, SMALLER)
    assert chosen is PRESENT
    assert reason == "no larger one of 2 rates is better beyond the noise"
    assert Determinant("best").choose([PRESENT, SMALLER])[0] is SMALLER


def test_a_larger_rate_that_is_surely_better_is_taken_and_the_best_of_several() -> None:
    chosen, reason = annealed(PRESENT, LARGER, SMALLER)
    assert chosen is LARGER
    assert reason == "a larger rate, better by more than 1 paired standard errors"
    assert annealed(PRESENT, LARGER, TWICE)[0] is TWICE
    assert annealed(PRESENT, TWICE, LARGER)[0] is TWICE


def test_how_sure_is_an_argument_and_what_cannot_be_paired_is_not() -> None:
    assert annealed(PRESENT, LARGER, n_sigma=1e9)[0] is PRESENT
    unpaired = result(1, 0.0, None, lr=0.2)
    assert annealed(PRESENT, unpaired)[0] is PRESENT


def test_better_within_the_noise_is_not_better() -> None:
    larger = measured(1, 0.2, [1.0, 2.0, 3.0, 4.0])
    assert larger.score > PRESENT.score  # type: ignore[operator]
    assert annealed(PRESENT, larger)[0] is PRESENT


def test_where_the_present_one_is_lost_the_best_is_taken() -> None:
    lost = result(0, None, lr=0.1, origin="current")
    assert annealed(lost, SMALLER, LARGER)[0] is SMALLER
    assert annealed(PRESENT) == (PRESENT, "the only candidate")


def test_a_rate_that_is_not_larger_or_not_better_is_no_larger_one_that_is_better() -> None:
    again = measured(1, 0.1, [0.6, 1.4, 2.6, 3.6])
    assert again.score > PRESENT.score  # type: ignore[operator]
    assert annealed(PRESENT, again)[0] is PRESENT
    assert annealed(PRESENT, measured(1, 0.2, [1.1, 1.9, 3.15, 4.0]))[0] is PRESENT  # equal in every batch: no error


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from([0.05, 0.2, 0.4]), st.lists(st.floats(0.0, 2.0), min_size=4, max_size=4))))
def test_who_leads_never_comes_back(rows: list[tuple[float, list[float]]]) -> None:
    """So that the end state of one candidate has to be held, as of ``best``."""
    results, leaders = [PRESENT], [PRESENT]
    for number, (lr, batches) in enumerate(rows, start=1):
        results.append(measured(number, lr, batches))
        chosen, _ = annealed(*results)
        assert chosen in (leaders[-1], results[-1])
        assert chosen is not None
        leaders.append(chosen)


# ---- the error of a difference


def test_of_means_the_jackknife_is_the_usual_error() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 9)).tolist()
    differences = [a - b for a, b in zip(left, right, strict=True)]
    usual = statistics.stdev(differences) / math.sqrt(9)
    assert paired_error(measured(0, 0.1, left), measured(1, 0.2, right)) == pytest.approx(usual, rel=1e-12)
    assert paired_error(BEST, BEST) == 0.0
    # two batches are enough: differences of 1 and 3 have a standard error of 1
    assert paired_error(measured(0, 0.1, [2.0, 5.0]), measured(1, 0.2, [1.0, 2.0])) == pytest.approx(1.0)


def test_the_error_is_how_far_differences_scatter() -> None:
    """Kappa over batches: hard and easy ones are shared by both candidates, their own noise is not."""
    rng = np.random.default_rng(1)
    batches, draws = 24, 1500
    found, squared = [], []

    def judged(losses: np.ndarray, hits: np.ndarray) -> Result:
        columns = [[(float(v), 1.0) for v in losses], [(float(v), 1.0) for v in hits]]
        parts = leave_one_out(columns, lambda means: kappa(means[1], means[0]))
        return result(0, kappa(float(hits.mean()), float(losses.mean())), parts=parts)

    for _ in range(draws):
        shared = rng.normal(0.0, 0.5, batches)
        pair = [
            judged(1.0 + shared + rng.normal(0.0, 0.1, batches), 0.7 - 0.1 * shared + rng.normal(0.0, 0.02, batches))
            for _ in range(2)
        ]
        found.append(pair[0].score - pair[1].score)  # type: ignore[operator]
        squared.append(paired_error(*pair) ** 2)  # type: ignore[operator]
    # the variance of 1500 draws is known to four per cent
    assert statistics.fmean(squared) == pytest.approx(statistics.variance(found), rel=0.12)


WEIGHTED = st.lists(st.tuples(st.floats(0.1, 5.0), st.integers(1, 32)), min_size=2, max_size=9)


@settings(deadline=None, derandomize=True)
@given(WEIGHTED, st.booleans())
def test_a_score_without_a_batch_is_that_of_the_others(batches: list[tuple[float, int]], two: bool) -> None:
    losses = [(value, float(size)) for value, size in batches]
    hits = [(value / 5.0, float(size)) for value, size in batches]

    def score(means: Sequence[float]) -> float:
        return kappa(means[1] if two else 0.5, means[0])

    expected = []
    for left in range(len(losses)):
        columns = [[pair for index, pair in enumerate(column) if index != left] for column in (losses, hits)]
        expected.append(score([sum(v * w for v, w in c) / sum(w for _, w in c) for c in columns]))
    assert leave_one_out([losses, hits][: 1 + two], score) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    "batches", [[], [[(1.0, 2.0)]], [[(1.0, 1.0), (2.0, 1.0)], [(1.0, 1.0)]]], ids=["none", "one", "uneven"]
)
def test_without_two_batches_of_each_there_is_nothing_to_leave_out(batches: list[list[tuple[float, float]]]) -> None:
    assert leave_one_out(batches, lambda means: means[0]) == ()


@pytest.mark.parametrize("score", [None, math.nan, math.inf])
def test_a_score_that_is_none_pairs_nothing(score: float | None) -> None:
    batches = [[(1.0, 1.0), (2.0, 1.0), (4.0, 1.0)]]
    assert leave_one_out(batches, lambda means: score if means[0] > 2.9 else 1.0) == ()


def test_what_is_favoured_wins_among_scores_that_are_about_equal() -> None:
    seen: list[int] = []

    def favours(results: Sequence[Result]) -> Any:
        seen.append(len(results))
        return lambda one: -0.1 * one.number

    results = [result(0, 1.0), result(1, 1.05), result(2, None)]
    chosen, reason = Determinant(favours=favours).choose(results)
    assert (chosen, seen) == (results[0], [2])  # those that completed
    assert reason == "about as good as the highest score of 2 candidates, and nearer to the usual rate"
    better = [*results, result(3, 1.5)]
    assert Determinant(favours=favours).choose(better) == (better[3], "highest score of 3 candidates")
