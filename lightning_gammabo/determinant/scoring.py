"""What became of a trial: the outcome of a candidate made a result that the Determinant can rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lightning_gammabo.determinant.determinant import leave_one_out
from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import NotLogged, Objective, ValidationMetrics
from lightning_gammabo.records import Outcome, Result, Trial, TrialState, has_exploded

__all__ = ["NOT_FINITE", "TrialScorer"]

NOT_FINITE = "its score is not finite"
"""message of a result that has no score for that"""


class TrialScorer:
    """Scores the candidates of one search.

    Args:
        objective: what candidates are ranked by.
        keys: reads loss and accuracy off what candidates log.
        alone: whether there is one candidate only, which needs no rank.
        ranked_before: whether candidates were ranked earlier in this fit: then one that logs nothing to rank it by
            fails, instead of ending the run.
    """

    def __init__(self, objective: Objective, keys: MetricKeys, *, alone: bool, ranked_before: bool) -> None:
        self._objective = objective
        self._keys = keys
        self._alone = alone
        self._ranked_before = ranked_before
        self._taken = ""

    def result(self, trial: Trial, outcome: Outcome, leader: Result | None) -> Result:
        """Score one candidate.

        Args:
            trial: its rate.
            outcome: how it ended.
            leader: the best one so far, in whose terms a pruned one is estimated.

        Returns:
            Its result.

        Raises:
            NotLogged: if there is nothing to rank by, and never was in this fit.
        """
        common: dict[str, Any] = {
            "number": trial.number,
            "lr": trial.lr,
            "steps": outcome.steps,
            "seconds": outcome.seconds,
            "passes": outcome.passes,
            "cooling_passes": outcome.cooling_passes,
            "origin": trial.origin,
        }
        if outcome.state is not TrialState.COMPLETE:
            estimate = self._estimate(outcome, leader)
            return Result(state=outcome.state, message=outcome.message, estimate=estimate, **common)
        try:
            validation = self._measured(outcome)
            score = self._objective.score(validation)
        except NotLogged as missing:
            return self._unmeasured(missing, outcome, common)
        common |= {"accuracy": score.accuracy, "value": score.reported, "metrics": dict(validation.metrics)}
        finite = validation.loss is not None and math.isfinite(validation.loss)
        common["loss"] = validation.loss if finite else None
        if score.ranked is None:
            return Result(state=TrialState.DIVERGED, message=NOT_FINITE, **common)
        usual = leader.loss if leader is not None else None
        if validation.loss is not None and usual is not None and has_exploded(validation.loss, usual):
            said = f"validation loss of {validation.loss:.3g}, the best candidate's is {usual:.3g}"
            return Result(state=TrialState.DIVERGED, message=said, **common)
        self._ranked_before = True
        parts = self._parts(outcome, validation)
        return Result(state=TrialState.COMPLETE, score=score.ranked, parts=parts, **common)

    def _measured(self, outcome: Outcome) -> ValidationMetrics:
        validation = self._keys.measure(outcome)
        lacking = self._objective.lacks(validation)
        if lacking is not None:
            raise NotLogged(
                f"GammaLRSearch(objective={self._objective.name!r}) has nothing to rank candidates by: no validation "
                f"{lacking} was logged or returned; logged are {sorted(validation.metrics)}. Log it in "
                "`validation_step`, name it by monitor_loss=... or monitor_accuracy=..., or rank by a logged metric: "
                "objective=... with mode='min' or 'max'."
            )
        self._taken = self._taken or self._keys.taken
        if self._keys.taken != self._taken:
            raise NotLogged(f"ranked are {self._taken}; this candidate gave {self._keys.taken}")
        return validation

    def _parts(self, outcome: Outcome, validation: ValidationMetrics) -> tuple[float, ...]:
        # the score without each of the validation batches; what was not logged batch by batch stays as it is
        names, batches = self._keys.batches(outcome)
        metrics = dict(validation.metrics)

        def score(means: Sequence[float]) -> float | None:
            found = dict(zip(names, means, strict=True))
            loss, accuracy = found.pop("loss", validation.loss), found.pop("accuracy", validation.accuracy)
            return self._objective.score(
                ValidationMetrics(loss=loss, accuracy=accuracy, metrics=metrics | found)
            ).ranked

        return leave_one_out(batches, score)

    def _estimate(self, outcome: Outcome, leader: Result | None) -> float | None:
        # what the surrogate is told of a pruned candidate: as far behind in validation as it was in training
        behind = outcome.behind
        if behind is None or leader is None or leader.score is None:
            return None
        # of metrics that an objective reads beside loss and accuracy nothing is known
        by_metrics = self._objective.metric is not None or self._objective.custom is not None
        if by_metrics or leader.loss is None or leader.loss <= 0.0:
            return leader.score - (behind - 1.0) * abs(leader.score)
        accuracy = None if leader.accuracy is None else leader.accuracy / behind
        if self._objective.percent and accuracy is not None:
            accuracy *= 100.0
        return self._objective.score(ValidationMetrics(loss=leader.loss * behind, accuracy=accuracy, metrics={})).ranked

    def _unmeasured(self, missing: NotLogged, outcome: Outcome, common: dict[str, Any]) -> Result:
        common["metrics"] = dict(outcome.metrics)
        if self._alone and self._objective.metric is None:
            # a single candidate needs no rank
            return Result(state=TrialState.COMPLETE, score=0.0, message="nothing was logged", **common)
        if not self._ranked_before:
            raise missing
        return Result(state=TrialState.FAILED, message=str(missing), **common)
