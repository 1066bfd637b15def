"""When a search has seen enough, and when its candidates are too short, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from lightning_gammabo.determinant.objective import Objective
from lightning_gammabo.policy import POLICIES, EpochPlan
from lightning_gammabo.records import EpochRecord, Result, TrialState
from lightning_gammabo.records.run import RunShape
from lightning_gammabo.scheduler.budget import RunPlan
from lightning_gammabo.scheduler.stopping import (
    SearchRules,
    gate_reason,
    has_seen_enough,
    progress_ratio,
    says_nothing,
)


def result(number: int, score: float | None = 0.0, loss: float | None = 0.5, **fields: Any) -> Result:
    state = TrialState.COMPLETE if score is not None else TrialState.DIVERGED
    return Result(number=number, lr=0.1, state=state, score=score, loss=loss, **fields)


def objective(name: str = "kappa", reference: float | None = 2.0, **options: Any) -> Objective:
    made = Objective(name, **options)
    made.reference_loss = reference
    return made


def history(*losses: float | None) -> list[EpochRecord]:
    return [
        EpochRecord(epoch=k, results=(result(0, loss=loss),), chosen_number=0, reason="best")
        for k, loss in enumerate(losses)
    ]


# ---- enough


THREE = [result(0, 0.0), result(1, 0.2), result(2, -0.1)]


@pytest.mark.parametrize(
    ("results", "gain", "enough"),
    [
        (THREE, 0.009, True),
        (THREE, 0.01, False),  # it has to be less
        (THREE, None, False),
        (THREE[:2], 0.001, False),
        ([result(k, None) for k in range(3)], 0.001, False),
    ],
)
def test_three_candidates_and_a_small_expected_gain_are_enough(
    results: list[Result], gain: float | None, enough: bool
) -> None:
    assert has_seen_enough(results, gain, 0.01, objective()) is enough


@pytest.mark.parametrize(("loss", "enough"), [(2.0 * math.exp(-0.11), True), (2.0 * math.exp(-0.09), False)])
def test_a_leader_that_has_learnt_nothing_yet_is_not_enough(loss: float, enough: bool) -> None:
    results = [result(0, 0.5, loss), result(1, 0.0, 0.1), result(2, 0.0, 0.1)]
    assert has_seen_enough(results, 0.001, 0.01, objective()) is enough
    assert has_seen_enough(results, 0.001, 0.01, objective(reference=None))


def test_the_price_is_in_units_of_the_score() -> None:
    losses = [result(0, -0.5, 0.5), result(1, -0.6, 0.6), result(2, -0.7, 0.7)]
    # of a loss: its improvement by a share
    assert has_seen_enough(losses, 0.0049, 0.01, objective("loss"))
    assert not has_seen_enough(losses, 0.0051, 0.01, objective("loss"))
    # of any other metric: a share of the scores' standard deviation
    spread = [result(0, 1.0), result(1, 3.0), result(2, 2.0)]
    unit = math.sqrt(2.0 / 3.0)
    assert has_seen_enough(spread, 0.0099 * unit, 0.01, objective("val_f1", mode="max"))
    assert not has_seen_enough(spread, 0.0101 * unit, 0.01, objective("val_f1", mode="max"))


# ---- too short


@pytest.mark.parametrize(
    ("untrained", "quarters", "ratio"),
    [
        (1.0, [1.0, math.exp(-0.5), 0.5, math.exp(-1.5)], 3.0),
        (1.0, [1.0, 1.0, 0.9, 0.8], math.inf),  # nothing in the second quarter
        (1.0, [1.0, 1.2, 0.9, 0.8], math.inf),
        (1.0, [1.0, 0.9, 1.0, 1.0], None),  # nothing was learnt
        (None, [1.0, 0.9, 0.8, 0.7], None),
        (1.0, [1.0, 0.9, 0.8], None),
        (1.0, [1.0, 0.9, 0.0, 0.7], None),
        (1.0, [1.0, 0.9, math.inf, 0.7], None),
        (1.0, [1.0, 0.9, math.nan, 0.7], None),
    ],
)
def test_whether_learning_has_begun_is_late_over_early_progress(
    untrained: float | None, quarters: list[float], ratio: float | None
) -> None:
    found = progress_ratio(untrained, quarters)
    assert found == (ratio if ratio is None else pytest.approx(ratio))


def test_candidates_with_one_score_cannot_be_told_apart() -> None:
    assert says_nothing([result(k, 0.5) for k in range(3)])
    assert not says_nothing([result(k, 0.5) for k in range(2)])
    assert not says_nothing([result(0, 0.5), result(1, 0.5), result(2, 0.6)])
    assert not says_nothing([result(0, 0.5), result(1, 0.5), result(2, None)])


# ---- later searches


@pytest.mark.parametrize(
    ("loss", "before", "said"),
    [
        (0.47, [0.6, 0.5], True),
        (0.475, [0.6, 0.5], True),  # five per cent, exactly
        (0.48, [0.6, 0.5], False),
        (0.1, [], False),
        (0.1, [None], False),
        (None, [0.5], False),
    ],
)
def test_a_rate_that_still_improves_needs_no_rivals(loss: float | None, before: list[float | None], said: bool) -> None:
    reason = gate_reason(result(0, loss=loss), history(*before), 0.05)
    assert (reason is not None) is said
    if reason is not None:
        assert reason == f"the present rate still improves: search loss {loss:.3g} after 0.5"


def test_a_rate_that_diverged_does_not_improve() -> None:
    assert gate_reason(result(0, None, loss=0.1), history(0.5), 0.05) is None


# ---- the rules of one search


def rules(*, first: bool, records: list[EpochRecord] | None = None, **policy: Any) -> SearchRules:
    values = {"stop_below": 0.01, "later_gate": 0.05, "cooling": 0.0} | policy
    plan = RunPlan(replace(POLICIES["epochwise"], **values), RunShape(epochs=10, batches=100), cap=None)
    return SearchRules(plan, objective(), first=first, history=records or [])


def test_the_first_search_stops_by_the_expected_gain_and_later_ones_by_the_gate() -> None:
    assert rules(first=True).stops(THREE, 0.001) == "another candidate is expected to gain less than 0.01"
    assert rules(first=True, stop_below="never").stops(THREE, 0.001) is None
    later = rules(first=False, records=history(0.8))
    assert later.stops(THREE[:1], None) == "the present rate still improves: search loss 0.5 after 0.8"
    assert later.stops(THREE[:2], 0.001) is None
    assert rules(first=False, records=history(0.8), later_gate="off").stops(THREE[:1], None) is None


WIDE = EpochPlan(wide=True, n_initial=2, n_trials=4, factor=None, share=0.1, until=10)
LATE = [2.0, 1.99, 1.5, 1.0]  # of an untrained loss of 2


def test_candidates_that_have_not_begun_to_learn_are_made_twice_as_long() -> None:
    search = rules(first=True)
    longer = search.longer(WIDE, THREE, LATE)
    assert longer is not None
    assert (longer.until, longer.share) == (20, 0.2)
    # they begin anew: the next look is after two
    assert search.longer(longer, THREE, LATE) is None
    again = search.longer(longer, THREE[:2], LATE)
    assert again is not None
    assert again.until == 40


@pytest.mark.parametrize(
    ("plan", "results", "quarters"),
    [
        (WIDE, THREE[:2], LATE),
        (WIDE, THREE, [1.6, 1.2, 1.0, 0.9]),
        (replace(WIDE, until=None, share=1.0), THREE, LATE),
    ],
)
def test_candidates_that_are_long_enough_stay(plan: EpochPlan, results: list[Result], quarters: list[float]) -> None:
    assert rules(first=True).longer(plan, results, quarters) is None


@pytest.mark.parametrize(
    ("first", "plan", "policy", "may"),
    [
        (True, WIDE, {}, True),
        (False, WIDE, {}, False),
        (True, replace(WIDE, until=None), {}, False),
        (True, replace(WIDE, n_trials=2), {}, False),
        (True, WIDE, {"first_share": "epoch"}, False),
    ],
)
def test_only_short_candidates_of_a_first_search_may_turn_out_too_short(
    first: bool, plan: EpochPlan, policy: dict[str, Any], may: bool
) -> None:
    assert rules(first=first, **policy).may_lengthen(plan) is may
