"""Which candidate wins, against the slow and obvious rule, and why."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_gammabo.determinant import Determinant
from lightning_gammabo.records import Result, TrialState


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
        if determinant.leads(results[-1], leader):
            leader = results[-1]
        assert determinant.choose(results)[0] is leader


@pytest.mark.parametrize("state", [TrialState.DIVERGED, TrialState.FAILED])
def test_a_lost_candidate_never_leads(state: TrialState) -> None:
    lost = result(0, None, state=state)
    assert not Determinant().leads(lost, None)
    assert not Determinant().leads(lost, result(1, -1e300))


def test_an_equal_one_does_not_take_the_lead() -> None:
    assert not Determinant().leads(result(1), result(0))
    assert Determinant().leads(result(1, loss=0.4), result(0))
    assert Determinant().leads(result(1), result(0, loss=None))
    assert not Determinant().leads(result(1, loss=None), result(0, loss=None))


@pytest.mark.parametrize(
    ("results", "number", "reason"),
    [
        ([], None, "there was no candidate"),
        ([result(0)], 0, "the only candidate"),
        ([result(0, None)], None, "all 1 candidates diverged or failed"),
        ([result(0, None), result(1, None, state=TrialState.FAILED)], None, "all 2 candidates diverged or failed"),
        ([result(0, 1.0), result(1, 2.0), result(2, None)], 1, "highest score of 2 candidates"),
        ([result(0, None), result(1, -5.0)], 1, "highest score of 1 candidates"),
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
