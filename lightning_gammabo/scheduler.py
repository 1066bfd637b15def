"""The Hyperparameter Scheduler: one epoch's search (thesis ch. 3.1, fig. 7 and 8).

Ask for a rate, train a clone of the network at it for this epoch, score it, tell; hand all results to the
Determinant; take over the winner's weights. A *scheduler* is the thesis's trial scheduler, not an ``LRScheduler``.

It knows no Trainer: whatever can train one epoch several times from the same state (:class:`CandidateRunner`) will do.
"""

from __future__ import annotations

import math
import time
from typing import Any, Protocol

from lightning_gammabo.bayesopt import Search
from lightning_gammabo.determinant import Determinant
from lightning_gammabo.metric_names import MetricKeys
from lightning_gammabo.objective import Objective
from lightning_gammabo.records import EpochRecord, Outcome, Result, Trial, TrialState
from lightning_gammabo.report.progress import SearchProgress

__all__ = ["CandidateRunner", "HyperparameterScheduler"]


class CandidateRunner(Protocol):
    """Trains one epoch several times, always from the same state."""

    @property
    def replay(self) -> bool:
        """Whether committing trains the epoch once more."""

    def agree(self, value: Any) -> Any:
        """One value for all processes that train together.

        Args:
            value: this process's value.
        """

    def baseline(self) -> Outcome | None:
        """Validate the state at the start of the epoch; None where that would leave a trace."""

    def train(self, lr: float) -> Outcome:
        """Train the epoch from its start at one rate, and validate it.

        Args:
            lr: the learning rate.
        """

    def keep(self) -> None:
        """Hold the end state of the candidate trained last."""


class HyperparameterScheduler:
    """Searches one epoch.

    Args:
        objective: what candidates are ranked by.
        keys: reads loss and accuracy off what candidates log.
        determinant: which result wins.
        n_trials: candidates an epoch, the present rate among them.
        progress: shows how it goes on; None shows nothing.
    """

    def __init__(
        self,
        objective: Objective,
        keys: MetricKeys,
        determinant: Determinant,
        *,
        n_trials: int,
        progress: SearchProgress | None = None,
    ) -> None:
        self._objective = objective
        self._keys = keys
        self._determinant = determinant
        self._n_trials = n_trials
        self._progress = progress or SearchProgress()

    def search(self, runner: CandidateRunner, proposals: Search, *, epoch: int, current_lr: float) -> EpochRecord:
        """Try candidates, the present rate first, and choose one.

        Args:
            runner: trains the candidates.
            proposals: the next rate to try.
            epoch: the epoch, from 0.
            current_lr: the rate that the optimizer would use now.

        Returns:
            The record of the search; committing its choice is the caller's.
        """
        began = time.perf_counter()
        results: list[Result] = []
        leader: Result | None = None
        # the display comes first: while callbacks are set aside, Lightning's own bars lean on it
        self._progress.start(epoch, self._n_trials)
        try:
            val_passes = self._learn_reference(runner)
            proposals.enqueue(current_lr)
            while len(results) < self._n_trials and not (results and proposals.finished):
                trial: Trial = runner.agree(proposals.ask())
                self._progress.candidate(trial.number, trial.lr, leader)
                outcome = runner.train(trial.lr)
                # one result for all ranks: what steps return, and seconds, differ between them
                result: Result = runner.agree(self._judge(trial, outcome))
                proposals.tell(trial, result.score)
                val_passes += outcome.val_passes
                results.append(result)
                if self._determinant.leads(result, leader):
                    leader = result
                    runner.keep()
        finally:
            self._progress.finish()
        return self._record(runner, epoch, results, val_passes, time.perf_counter() - began)

    def _record(
        self, runner: CandidateRunner, epoch: int, results: list[Result], val_passes: float, seconds: float
    ) -> EpochRecord:
        chosen, reason = self._determinant.choose(results)
        again = runner.replay or chosen is None
        trained_again = 0.0 if not again else 1.0 if chosen is None else chosen.passes
        return EpochRecord(
            epoch=epoch,
            results=tuple(results),
            chosen_number=None if chosen is None else chosen.number,
            reason=reason,
            objective=self._objective.name,
            commit="replay" if again else "copy",
            train_passes=sum(result.passes for result in results) + trained_again,
            # the committed epoch is validated by the Trainer as well
            val_passes=val_passes + float(val_passes > 0),
            seconds=seconds,
        )

    def _learn_reference(self, runner: CandidateRunner) -> float:
        """Validate the untrained network once: kappa measures losses against it.

        Args:
            runner: trains the candidates.

        Returns:
            Passes over the validation data.
        """
        if self._n_trials == 1 or not self._objective.uses_reference or self._objective.reference_loss is not None:
            return 0.0
        outcome = runner.baseline()
        loss = runner.agree(self._keys.reference(outcome) if outcome is not None else None)
        usable = loss is not None and math.isfinite(loss) and loss > 0.0
        # 0.0 says that there is none, so that it is not asked for again
        self._objective.reference_loss = loss if usable else 0.0
        return outcome.val_passes if outcome is not None else 0.0

    def _judge(self, trial: Trial, outcome: Outcome) -> Result:
        common: dict[str, Any] = {
            "number": trial.number,
            "lr": trial.lr,
            "steps": outcome.steps,
            "seconds": outcome.seconds,
            "passes": outcome.passes,
            "origin": trial.origin,
        }
        if outcome.state is not TrialState.COMPLETE:
            return Result(state=outcome.state, message=outcome.message, **common)
        measured = self._keys.measure(outcome)
        goodness = self._objective.judge(measured)
        common |= {"accuracy": goodness.accuracy, "kappa": goodness.reported, "metrics": dict(measured.metrics)}
        finite = measured.loss is not None and math.isfinite(measured.loss)
        common["loss"] = measured.loss if finite else None
        if goodness.score is not None:
            return Result(state=TrialState.COMPLETE, score=goodness.score, **common)
        lacking = self._objective.lacks(measured)
        if lacking is not None:
            return self._unmeasured(lacking, common)
        return Result(state=TrialState.DIVERGED, message="its score is not finite", **common)

    def _unmeasured(self, lacking: str, common: dict[str, Any]) -> Result:
        if self._n_trials > 1:
            raise ValueError(
                f"GammaLRSearch(objective={self._objective.name!r}) has nothing to rank candidates by: no validation "
                f"{lacking} was logged or returned; logged are {sorted(common['metrics'])}. Log it in "
                "`validation_step`, name it by monitor_loss=... or monitor_accuracy=..., or rank by a logged metric: "
                "objective=... with objective_mode='min' or 'max'."
            )
        # a single candidate needs no rank
        return Result(state=TrialState.COMPLETE, score=0.0, message="nothing was logged", **common)
