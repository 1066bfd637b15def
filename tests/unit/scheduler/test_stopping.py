"""When a search has seen enough, and when its candidates are too short to tell."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lightning_gammabo.bayesopt import LearningRateSpace, PlacePrior, make_search
from lightning_gammabo.determinant.objective import Objective
from lightning_gammabo.policy import EpochPlan, SearchPolicy
from lightning_gammabo.records import EpochRecord, Result, TrialState
from lightning_gammabo.records.run import RunShape
from lightning_gammabo.scheduler.run_plan import RunPlan
from lightning_gammabo.scheduler.stopping import (
    SearchRules,
    gate_reason,
    has_seen_enough,
    progress_ratio,
    says_nothing,
)

BOUNDS = (1e-4, 1.0)


def all_afforded(plan: EpochPlan) -> bool:
    return True


COMPLETE, DIVERGED = TrialState.COMPLETE, TrialState.DIVERGED


def result(loss: float | None = 0.5, score: float | None = None, number: int = 0, **given: Any) -> Result:
    score = -loss if score is None and loss is not None else score
    state = COMPLETE if score is not None else DIVERGED
    lr = given.pop("lr", (0.03, 0.1, 0.3)[number % 3])
    return Result(number=number, lr=lr, state=state, score=score, loss=loss, **{"accuracy": 0.5, **given})


def results(*losses: float) -> list[Result]:
    return [result(loss, number=number) for number, loss in enumerate(losses)]


def objective(name: str = "kappa", reference: float | None = 2.3) -> Objective:
    found = Objective(name)
    found.reference_loss = reference
    return found


def record(loss: float | None) -> EpochRecord:
    chosen = result(loss, score=1.0)
    return EpochRecord(epoch=0, results=(chosen,), chosen_number=0, reason="")


@pytest.mark.parametrize(
    ("trained", "gain", "enough"),
    [
        (results(1.0, 0.5, 0.6), 0.049, True),
        (results(1.0, 0.5, 0.6), 0.051, False),
        (results(1.0, 0.5), 0.0, False),  # three at least
        (results(1.0, 0.5, 0.6), None, False),  # no surrogate
        (results(2.3, 2.2, 2.1), 0.0, False),  # nothing was learnt yet: log(2.3 / 2.1) is below 0.1
        ([result(None, number=number) for number in range(3)], 0.0, False),  # all diverged
    ],
)
def test_a_search_stops_where_another_candidate_is_not_worth_its_price(
    trained: list[Result], gain: float | None, enough: bool
) -> None:
    assert has_seen_enough(trained, gain, 0.05, objective(), BOUNDS) is enough


def test_scores_that_are_no_logarithm_are_measured_by_the_loss_or_by_their_spread() -> None:
    trained = results(10.0, 5.0, 6.0)
    assert has_seen_enough(trained, 0.24, 0.05, objective("loss", None), BOUNDS)  # 0.05 of a loss of 5
    assert not has_seen_enough(trained, 0.26, 0.05, objective("loss", None), BOUNDS)
    without_accuracy = [result(loss, number=number, accuracy=None) for number, loss in enumerate((10.0, 5.0, 6.0))]
    assert has_seen_enough(without_accuracy, 0.24, 0.05, objective(reference=None), BOUNDS)  # kappa is the loss then
    assert not has_seen_enough(without_accuracy, 0.26, 0.05, objective(reference=None), BOUNDS)
    scored = [
        result(1.0, score=score, number=number) for number, score in enumerate((0.0, 6.0, 3.0))
    ]  # a standard deviation of sqrt(6)
    assert has_seen_enough(scored, 0.12, 0.05, objective("accuracy", None), BOUNDS)
    assert not has_seen_enough(scored, 0.13, 0.05, objective("accuracy", None), BOUNDS)


@pytest.mark.parametrize(
    ("rates", "enough"),
    [
        ((0.03, 0.1, 0.3), True),
        ((0.03, 0.1, 0.05), False),  # nothing above the leader
        ((0.2, 0.1, 0.3), False),  # nothing below
        ((0.009, 0.1, 0.3), False),  # below by more than a decade
        ((0.1, 0.9, 0.8), True),  # at the upper end of the range
        ((0.001, 0.0005, 0.002), True),  # less than a decade above the lower end
    ],
)
def test_the_leader_needs_a_neighbour_on_either_side(rates: tuple[float, ...], enough: bool) -> None:
    trained = [
        result(loss, number=number, lr=lr) for number, (loss, lr) in enumerate(zip((1.0, 0.5, 0.6), rates, strict=True))
    ]
    assert has_seen_enough(trained, 0.0, 0.05, objective(), BOUNDS) is enough


@pytest.mark.parametrize(
    ("untrained", "quarters", "ratio"),
    [
        (2.0, (2.0, 1.0, 0.6, 0.5), 2.0),
        (2.0, (2.0, 2.0, 2.0, 1.0), math.inf),
        (2.0, (1.9, 1.9, 2.0, 2.1), None),  # nothing was learnt
        (None, (2.0, 1.0, 0.6, 0.5), None),
        (2.0, (1.0, 0.5), None),
        (-2.0, (2.0, 1.0, 0.6, 0.5), None),
        (2.0, (2.0, 1.0, 0.6, math.nan), None),
    ],
)
def test_the_ratio_of_late_to_early_progress(untrained: float | None, quarters: Any, ratio: float | None) -> None:
    assert progress_ratio(untrained, quarters) == (ratio if ratio is None else pytest.approx(ratio))


@pytest.mark.parametrize(
    ("loss", "before", "opens"),
    [
        (0.98, [1.0], False),
        (0.995, [1.0], True),
        (1.2, [1.0], True),
        (0.98, [1.0, 0.8], True),  # the best of the searches before
        (0.5, [], True),
        (None, [1.0], True),
        (-1.02, [-1.0], False),  # losses below zero
        (-1.0, [-1.0], True),
    ],
)
def test_the_gate_opens_where_the_present_rate_has_stopped_improving(
    loss: float | None, before: list[float], opens: bool
) -> None:
    reason = gate_reason(result(loss, score=None if loss is None else 1.0), list(map(record, before)), 0.01)
    assert (reason is None) is opens


def test_the_gate_says_what_it_saw() -> None:
    assert gate_reason(result(0.9), [record(1.0)], 0.01) == "the present rate still improves: search loss 0.9 after 1"


def test_a_score_of_zero_may_be_the_best() -> None:
    trained = [result(1.0, score=score, number=number) for number, score in enumerate((-0.1, 0.0, -0.2))]
    assert rules().learnt_leader(trained) is trained[1]


def test_equal_scores_say_nothing() -> None:
    assert says_nothing(results(0.5, 0.5, 0.5))
    assert not says_nothing(results(0.5, 0.5))
    assert not says_nothing(results(0.5, 0.5, 0.6))


def rules(first: bool = True, history: Any = (), **fields: Any) -> SearchRules:
    plan = RunPlan(SearchPolicy(**fields), RunShape(epochs=10, batches=1000))
    search = plan.epoch_plan(first=first)
    return SearchRules(plan, objective(), first=first, history=history, bounds=BOUNDS, search=search)


@pytest.mark.parametrize(
    ("loss", "lr", "believes"), [(0.5, 0.1, True), (0.5, 0.5, True), (0.5, 0.9, False), (2.2, 0.1, False)]
)
def test_a_belief_counts_where_the_leader_has_learnt_near_it(loss: float, lr: float, believes: bool) -> None:
    asked, belief = rules(), PlacePrior(-1.25, 0.5, 3.0)
    search = make_search("gamma", LearningRateSpace(*BOUNDS), seed=0, n_initial=2, n_trials=7, prior=belief)
    asked.weigh(search, None)
    assert search.prior is None  # type: ignore[attr-defined]
    asked.weigh(search, result(loss, lr=lr))
    assert search.prior is (belief if believes else None)  # type: ignore[attr-defined]
    other = make_search("grid", LearningRateSpace(*BOUNDS), seed=0, n_initial=2, n_trials=7)
    asked.weigh(other, result(loss, lr=lr))
    assert not hasattr(other, "prior")


@pytest.mark.parametrize(
    ("lr", "loss", "name", "accuracy", "first", "added"),
    [
        (0.01, 0.5, "kappa", 0.5, True, -0.1 * math.log1p((math.log10(0.01) + 1.25) ** 2 / 0.75)),
        (10**-1.25, 0.5, "kappa", 0.5, True, 0.0),
        (0.01, 0.5, "loss", None, True, -0.05 * math.log1p((math.log10(0.01) + 1.25) ** 2 / 0.75)),  # of a loss of 0.5
        (0.01, 2.2, "kappa", 0.5, True, 0.0),  # nothing was learnt
        (0.001, 0.5, "kappa", 0.5, True, 0.0),  # more than a decade from what was believed
        (0.01, 0.5, "accuracy", 0.5, True, 0.0),  # no logarithm of a loss
        (0.01, 0.5, "kappa", 0.5, False, 0.0),  # a later search
    ],
)
def test_the_choice_of_the_first_search_favours_the_rate_that_was_believed_in(
    lr: float, loss: float, name: str, accuracy: float | None, first: bool, added: float
) -> None:
    asked = rules(first=first)
    asked._objective = objective(name)
    trained = [result(loss, lr=lr, accuracy=accuracy)]
    assert asked.favours(trained)(trained[0]) == 0.0  # no belief is known yet
    belief = PlacePrior(-1.25, 0.5, 3.0)
    asked.weigh(make_search("gamma", LearningRateSpace(*BOUNDS), seed=0, n_initial=2, n_trials=7, prior=belief), None)
    assert asked.favours(trained)(trained[0]) == pytest.approx(added, abs=1e-9)
    assert asked.favours([])(trained[0]) == 0.0


def test_the_first_search_stops_by_its_gain_and_later_ones_by_the_gate() -> None:
    trained = results(1.0, 0.5, 0.6)
    assert rules().stops(trained, 0.01) == "another candidate is expected to gain less than 0.08"
    assert rules(stop_below="never").stops(trained, 0.0) is None
    later = rules(first=False, history=[record(1.0)])
    assert later.stops(results(0.5), 0.0) == "the present rate still improves: search loss 0.5 after 1"
    assert later.stops(trained, 0.0) is None  # with rivals the gate was open
    assert rules(first=False, history=[record(1.0)], later_gate="off").stops(results(0.5), 0.0) is None


def test_candidates_are_doubled_where_learning_has_not_begun_until_the_epoch_is_full() -> None:
    asked = rules()
    late, early = (2.3, 2.3, 2.0, 1.5), (2.0, 1.0, 0.8, 0.7)
    assert not asked.lengthen(results(1.0, 0.9), late, all_afforded)  # tested from the third on
    assert not asked.lengthen(results(1.0, 0.9, 0.8), early, all_afforded)
    assert not asked.lengthen(results(1.0, 0.9, 0.8), late, lambda longer: longer.until != 800)
    assert (asked.search.until, asked.lengthened) == (500, 0)
    assert asked.lengthen(results(1.0, 0.9, 0.8), late, all_afforded)
    assert (asked.search.until, asked.lengthened) == (800, 1)  # what leaves room for a cooling
    assert not asked.lengthen(results(1.0, 0.9), late, all_afforded)  # there is no more room


def test_whole_epochs_and_later_searches_are_never_lengthened() -> None:
    assert rules().may_lengthen
    assert not rules(first=False).may_lengthen
    assert not rules(first_share="epoch").may_lengthen
