"""The Hyperparameter Scheduler: one epoch's search (thesis ch. 3.1, fig. 7 and 8).

Ask for a rate, train a clone of the network at it for this epoch, score it, tell; hand all results to the
Determinant; take over the winner's weights. A *scheduler* is the thesis's trial scheduler, not an ``LRScheduler``.

It knows no Trainer: whatever can train one epoch several times from the same state will do
(:class:`~lightning_gammabo.candidate_runner.CandidateRunner`). Where that can train several candidates in one, rates
are asked for in batches: first those that need no score, then, believed to score as the surrogate expects, the rest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lightning_gammabo.bayesopt import Search
from lightning_gammabo.candidate_runner import CandidateRunner
from lightning_gammabo.determinant import Determinant, leave_one_out
from lightning_gammabo.metric_names import MetricKeys
from lightning_gammabo.objective import Measured, NotLogged, Objective
from lightning_gammabo.records import EpochRecord, Outcome, Result, Trial, TrialState
from lightning_gammabo.report.progress import SearchProgress

__all__ = ["HyperparameterScheduler"]

_NOT_FINITE = "its score is not finite"
_STARVED = 2
"""candidates in a row that run out of memory before no more are tried: memory that does not come back is not there"""


class HyperparameterScheduler:
    """Searches one epoch.

    Args:
        objective: what candidates are ranked by.
        keys: reads loss and accuracy off what candidates log.
        determinant: which result wins.
        n_trials: candidates an epoch, the present rate among them.
        n_known: how many of them do not depend on scores.
        progress: shows how it goes on; None shows nothing.
        affords: asked with the results so far before all candidates but the very first: whether so many more may be
            trained.
        ranked_before: whether candidates were ranked earlier in this fit: then one that logs nothing to rank it by
            fails, instead of ending the run.
        fraction: share of the epoch that each candidate trains, to show.
    """

    def __init__(
        self,
        objective: Objective,
        keys: MetricKeys,
        determinant: Determinant,
        *,
        n_trials: int,
        n_known: int = 1,
        progress: SearchProgress | None = None,
        affords: Callable[[Sequence[Result], int], bool] | None = None,
        ranked_before: bool = False,
        fraction: float = 1.0,
    ) -> None:
        self._objective = objective
        self._keys = keys
        self._determinant = determinant
        self._n_trials = n_trials
        self._n_known = n_known
        self._progress = progress or SearchProgress()
        self._affords = affords or (lambda results, more: True)
        self._ranked_before = ranked_before
        self._fraction = fraction
        self._taken = ""
        self._baselines = 0
        # asked for together, and now to be trained one after the other
        self._waiting: list[Trial] = []

    def search(
        self,
        runner: CandidateRunner,
        proposals: Search,
        *,
        epoch: int,
        current_lr: float,
        around: Sequence[float] = (),
    ) -> EpochRecord:
        """Try candidates, the present rate first, and choose one.

        Args:
            runner: trains the candidates.
            proposals: the next rate to try.
            epoch: the epoch, from 0.
            current_lr: the rate that the optimizer would use now.
            around: rates to try next, before the search proposes.

        Returns:
            The record of the search; committing its choice is the caller's.
        """
        began = time.perf_counter()
        self._waiting = []
        results: list[Result] = []
        leader: Result | None = None
        kept: Result | None = None
        starved = 0
        # the display comes first: while callbacks are set aside, Lightning's own bars lean on it
        self._progress.start(epoch, self._n_trials, self._fraction)
        try:
            val_passes = self._learn_reference(runner)
            proposals.enqueue(current_lr)
            for lr in around:
                proposals.enqueue(lr, origin="region")
            while len(results) < self._n_trials and (self._waiting or not (results and proposals.finished)):
                if starved == _STARVED:
                    break
                trials = self._ask(runner, proposals, results, known=1 + len(around))
                if not trials:
                    break
                self._progress.candidate(trials[0].number, trials[0].lr, leader)
                outcomes = self._train(runner, trials)
                for trial, outcome in zip(trials, outcomes, strict=False):
                    # one result for all ranks: what steps return, and seconds, differ between them
                    result: Result = runner.agree(self._judge(trial, outcome, leader))
                    proposals.tell(trial, result.score if result.score is not None else result.estimate)
                    val_passes += outcome.val_passes
                    results.append(result)
                    starved = starved + 1 if outcome.state is TrialState.FAILED else 0
                    leader, _ = self._determinant.choose(results)
                if len(outcomes) == 1 and leader is results[-1]:
                    kept = leader
                    runner.keep()
            if leader is None and self._validates_nothing(runner, results):
                results = [_not_its_fault(result) for result in results]
        finally:
            self._progress.finish()
        return self._record(runner, epoch, results, kept, val_passes, time.perf_counter() - began)

    def _ask(self, runner: CandidateRunner, proposals: Search, results: Sequence[Result], *, known: int) -> list[Trial]:
        # one, or as many as can be trained together; none where no more can be afforded
        wanted = 1
        if self._n_trials > 1 and not self._waiting and runner.trains_together():
            known = min(max(known, self._n_known), self._n_trials)
            wanted = (known if len(results) < known else self._n_trials) - len(results)
        # the very first one is trained whatever it costs: whether to search at all was asked before
        least = 0 if results else 1
        lost = math.ceil(runner.wasted / self._fraction - 1e-9)
        while wanted > least and not runner.agree(self._affords(results, wanted + lost)):
            wanted -= 1
        if self._waiting and wanted:
            return [self._waiting.pop(0)]
        trials: list[Trial] = []
        while len(trials) < wanted and not (trials and proposals.finished):
            trials.append(runner.agree(proposals.ask()))
        return trials

    def _train(self, runner: CandidateRunner, trials: list[Trial]) -> list[Outcome]:
        if len(trials) == 1:
            return [runner.train(trials[0].lr)]
        outcomes = runner.train_many([trial.lr for trial in trials], self._is_usable)
        if outcomes is None:
            self._waiting = trials
            return []
        return outcomes

    def _is_usable(self, outcome: Outcome) -> bool:
        # what candidates that are trained together lack: values that `training_step` logs
        if outcome.state is not TrialState.COMPLETE:
            return True
        try:
            measured = self._keys.measure(outcome)
            self._objective.judge(measured)
        except ValueError:  # not logged, to the keys or to an objective of one's own
            return False
        return self._objective.lacks(measured) is None

    def _record(
        self,
        runner: CandidateRunner,
        epoch: int,
        results: list[Result],
        kept: Result | None,
        val_passes: float,
        seconds: float,
    ) -> EpochRecord:
        chosen, reason = self._determinant.choose(results)
        copied = chosen is not None and chosen is kept and not runner.replay and runner.holds
        # a winner that trained a part of the epoch goes on from there
        rest = 1.0 - chosen.passes if copied and chosen is not None else 1.0
        return EpochRecord(
            epoch=epoch,
            results=tuple(results),
            chosen_number=None if chosen is None else chosen.number,
            reason=reason,
            objective=self._objective.name,
            commit="copy" if copied else "replay",
            train_passes=sum(result.passes for result in results) + max(rest, 0.0) + runner.wasted,
            # the committed epoch is validated by the Trainer as well
            val_passes=val_passes + float(val_passes > 0),
            seconds=seconds,
            scorings=sum(r.state is TrialState.COMPLETE for r in results) + self._baselines,
        )

    def _learn_reference(self, runner: CandidateRunner) -> float:
        """Validate the untrained network once: kappa measures losses against it.

        Args:
            runner: trains the candidates.

        Returns:
            Passes over the validation data.
        """
        self._baselines = 0
        if self._n_trials == 1 or not self._objective.uses_reference or self._objective.reference_loss is not None:
            return 0.0
        outcome = runner.baseline()
        self._baselines = int(outcome is not None)
        loss = runner.agree(self._keys.reference(outcome) if outcome is not None else None)
        usable = loss is not None and math.isfinite(loss) and loss > 0.0
        # 0.0 says that there is none, so that it is not asked for again
        self._objective.reference_loss = loss if usable else 0.0
        return outcome.val_passes if outcome is not None else 0.0

    def _judge(self, trial: Trial, outcome: Outcome, leader: Result | None) -> Result:
        common: dict[str, Any] = {
            "number": trial.number,
            "lr": trial.lr,
            "steps": outcome.steps,
            "seconds": outcome.seconds,
            "passes": outcome.passes,
            "origin": trial.origin,
        }
        if outcome.state is not TrialState.COMPLETE:
            estimate = self._estimate(outcome, leader)
            return Result(state=outcome.state, message=outcome.message, estimate=estimate, **common)
        try:
            measured = self._measured(outcome)
            goodness = self._objective.judge(measured)
        except NotLogged as missing:
            return self._unmeasured(missing, outcome, common)
        common |= {"accuracy": goodness.accuracy, "kappa": goodness.reported, "metrics": dict(measured.metrics)}
        finite = measured.loss is not None and math.isfinite(measured.loss)
        common["loss"] = measured.loss if finite else None
        if goodness.score is None:
            return Result(state=TrialState.DIVERGED, message=_NOT_FINITE, **common)
        self._ranked_before = True
        parts = self._parts(outcome, measured)
        return Result(state=TrialState.COMPLETE, score=goodness.score, parts=parts, **common)

    def _measured(self, outcome: Outcome) -> Measured:
        measured = self._keys.measure(outcome)
        lacking = self._objective.lacks(measured)
        if lacking is not None:
            raise NotLogged(
                f"GammaLRSearch(objective={self._objective.name!r}) has nothing to rank candidates by: no validation "
                f"{lacking} was logged or returned; logged are {sorted(measured.metrics)}. Log it in "
                "`validation_step`, name it by monitor_loss=... or monitor_accuracy=..., or rank by a logged metric: "
                "objective=... with objective_mode='min' or 'max'."
            )
        self._taken = self._taken or self._keys.taken
        if self._keys.taken != self._taken:
            raise NotLogged(f"ranked are {self._taken}; this candidate gave {self._keys.taken}")
        return measured

    def _parts(self, outcome: Outcome, measured: Measured) -> tuple[float, ...]:
        # the score without each of the validation batches; what was not logged batch by batch stays as it is
        names, batches = self._keys.batches(outcome)
        metrics = dict(measured.metrics)

        def score(means: Sequence[float]) -> float | None:
            found = dict(zip(names, means, strict=True))
            loss, accuracy = found.pop("loss", measured.loss), found.pop("accuracy", measured.accuracy)
            return self._objective.judge(Measured(loss=loss, accuracy=accuracy, metrics=metrics | found)).score

        return leave_one_out(batches, score)

    def _estimate(self, outcome: Outcome, leader: Result | None) -> float | None:
        # what the surrogate is told of a dropped candidate: as far behind in validation as it was in training
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
        return self._objective.judge(Measured(loss=leader.loss * behind, accuracy=accuracy, metrics={})).score

    def _unmeasured(self, missing: NotLogged, outcome: Outcome, common: dict[str, Any]) -> Result:
        common["metrics"] = dict(outcome.metrics)
        if self._n_trials == 1 and self._objective.metric is None:
            # a single candidate needs no rank
            return Result(state=TrialState.COMPLETE, score=0.0, message="nothing was logged", **common)
        if not self._ranked_before:
            raise missing
        return Result(state=TrialState.FAILED, message=str(missing), **common)

    def _validates_nothing(self, runner: CandidateRunner, results: list[Result]) -> bool:
        """Whether the validation gives no number before training either: then no rate is to blame.

        Args:
            runner: trains the candidates.
            results: those of an epoch in which no candidate has a score.

        Returns:
            Whether it does not.
        """
        if all(result.message != _NOT_FINITE for result in results):
            return False
        outcome = runner.baseline()
        if outcome is None:
            return False
        self._baselines += 1
        try:
            score = self._objective.judge(self._keys.measure(outcome)).score
        except NotLogged:
            return False
        return bool(runner.agree(score is None))


def _not_its_fault(result: Result) -> Result:
    if result.message != _NOT_FINITE:
        return result
    return replace(result, state=TrialState.FAILED, message=f"{_NOT_FINITE}, nor is it before training")
