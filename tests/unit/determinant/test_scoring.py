"""What becomes of a candidate's outcome: a score and its parts, an estimate, or why there is none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import NotLogged, Objective
from lightning_gammabo.determinant.scoring import NOT_FINITE, TrialScorer
from lightning_gammabo.records import Outcome, Result, Trial, TrialState

TRIAL = Trial(number=3, lr=0.1, origin="gamma")
LEADER = Result(number=1, lr=0.2, state=TrialState.COMPLETE, score=-0.5, loss=0.5)


def scorer(objective: str = "loss", *, alone: bool = False, ranked_before: bool = False, **options: Any) -> TrialScorer:
    ranked = Objective(objective, **options)  # type: ignore[arg-type]
    return TrialScorer(ranked, MetricKeys(ranked, None, None), alone=alone, ranked_before=ranked_before)


def complete(**metrics: float) -> Outcome:
    return Outcome(state=TrialState.COMPLETE, metrics=metrics, steps=5, seconds=0.5, passes=1.0)


def test_a_result_holds_what_was_tried_and_what_was_measured() -> None:
    result = scorer().result(TRIAL, complete(val_loss=0.25, val_acc=0.75, other=3.0), None)
    assert (result.number, result.lr, result.origin) == (3, 0.1, "gamma")
    assert (result.steps, result.seconds, result.passes) == (5, 0.5, 1.0)
    assert (result.state, result.score) == (TrialState.COMPLETE, -0.25)
    assert (result.loss, result.accuracy) == (0.25, 0.75)
    assert result.metrics == {"val_loss": 0.25, "val_acc": 0.75, "other": 3.0}
    assert result.parts == ()


def test_the_parts_are_the_scores_without_each_batch() -> None:
    batches = {"val_loss": [(1.0, 2.0), (4.0, 2.0), (7.0, 4.0)]}
    outcome = Outcome(state=TrialState.COMPLETE, metrics={"val_loss": 4.75}, batches=batches)
    assert scorer().result(TRIAL, outcome, None).parts == pytest.approx((-6.0, -5.0, -2.5))


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_score_that_is_not_finite_is_a_divergence(loss: float) -> None:
    result = scorer().result(TRIAL, complete(val_loss=loss), None)
    assert (result.state, result.message) == (TrialState.DIVERGED, NOT_FINITE)
    assert (result.score, result.loss) == (None, None)


@pytest.mark.parametrize("state", [TrialState.DIVERGED, TrialState.FAILED])
def test_a_candidate_that_did_not_come_to_its_end_keeps_its_reason_and_has_no_estimate(state: TrialState) -> None:
    result = scorer().result(TRIAL, Outcome(state=state, message="why", passes=0.25), LEADER)
    assert (result.state, result.message, result.passes) == (state, "why", 0.25)
    assert (result.score, result.estimate) == (None, None)


@pytest.mark.parametrize(
    ("leader", "behind", "estimate"),
    [
        (LEADER, 3.0, -1.5),  # three times the leader's loss
        (LEADER, None, None),
        (None, 3.0, None),
        (Result(number=1, lr=0.2, state=TrialState.DIVERGED), 3.0, None),
    ],
)
def test_a_hopeless_candidate_is_estimated_by_how_far_it_was_behind(
    leader: Result | None, behind: float | None, estimate: float | None
) -> None:
    outcome = Outcome(state=TrialState.PRUNED, behind=behind)
    assert scorer().result(TRIAL, outcome, leader).estimate == estimate


def test_where_only_a_metric_is_ranked_its_score_falls_behind_by_the_same_share() -> None:
    leader = Result(number=1, lr=0.2, state=TrialState.COMPLETE, score=0.8)
    outcome = Outcome(state=TrialState.PRUNED, behind=1.5)
    assert scorer("val_f1", mode="max").result(TRIAL, outcome, leader).estimate == pytest.approx(0.4)


def test_nothing_to_rank_by_is_an_error_that_names_the_remedies() -> None:
    words = (
        r"GammaLRSearch\(objective='accuracy'\) has nothing to rank candidates by: no validation accuracy was "
        r"logged or returned; logged are \['val_loss'\]\. "
        r"Log it in `validation_step`, name it by monitor_loss=\.\.\. or "
    )
    with pytest.raises(NotLogged, match=words):
        scorer("accuracy").result(TRIAL, complete(val_loss=0.5), None)


def test_a_single_candidate_needs_no_rank() -> None:
    result = scorer("accuracy", alone=True).result(TRIAL, complete(val_loss=0.5), None)
    assert (result.state, result.score, result.message) == (TrialState.COMPLETE, 0.0, "nothing was logged")
    assert result.metrics == {"val_loss": 0.5}


@pytest.mark.parametrize("before", ["in this fit", "in this search"])
def test_where_others_were_ranked_one_that_logs_nothing_fails(before: str) -> None:
    scores = scorer("accuracy", ranked_before=before == "in this fit")
    if before == "in this search":
        scores.result(TRIAL, complete(val_acc=0.5), None)
    result = scores.result(TRIAL, complete(val_loss=0.5), None)
    assert result.state is TrialState.FAILED
    assert "has nothing to rank candidates by" in result.message


def test_candidates_are_ranked_by_the_same_metric_or_not_at_all() -> None:
    scores = scorer()
    scores.result(TRIAL, complete(val_loss=0.5), None)
    result = scores.result(TRIAL, complete(valid_loss=0.4), None)
    assert result.state is TrialState.FAILED
    assert result.message == (
        "ranked are loss 'val_loss', no accuracy; this candidate gave loss 'valid_loss', no accuracy"
    )
