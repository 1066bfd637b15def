"""The Hyperparameter Scheduler: one epoch's search (thesis ch. 3.1, fig. 7 and 8).

Ask for a rate, train a clone of the network at it for this epoch, score it, tell; hand all results to the
Determinant; take over the winner's weights. A *scheduler* is the thesis's trial scheduler, not an ``LRScheduler``.

It knows no Trainer: whatever can train one epoch several times from the same state will do
(:class:`CandidateRunner`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from lightning_gammabo.bayesopt import Search
from lightning_gammabo.determinant.determinant import Determinant
from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import NotLogged, Objective
from lightning_gammabo.determinant.scoring import NOT_FINITE, TrialScorer
from lightning_gammabo.determinant.smoothing import FEWEST, smoothed_argmax
from lightning_gammabo.records import EpochRecord, Outcome, Result, Trial, TrialState
from lightning_gammabo.report.progress import SearchProgress

__all__ = ["CandidateRunner", "HyperparameterScheduler"]

_STARVED = 2
"""candidates in a row that run out of memory before no more are tried: memory that does not come back is not there"""


class CandidateRunner(Protocol):
    """Trains one epoch several times, always from the same state."""

    @property
    def replay(self) -> bool:
        """Whether committing trains the epoch once more."""

    @property
    def holds(self) -> bool:
        """Whether the candidate kept last can be committed without training it again."""

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
        """Hold the end state of the candidate trained last by :meth:`train`."""


@dataclass(slots=True)
class _Seen:
    """What a search knows so far."""

    results: list[Result] = field(default_factory=list)
    leader: Result | None = None
    kept: Result | None = None  # whose end state is held
    quarters: Sequence[float] = ()  # the leader's training losses
    enough: str | None = None
    val_passes: float = 0.0
    starved: int = 0  # candidates in a row that ran out of memory


class HyperparameterScheduler:
    """Searches one epoch.

    Args:
        objective: what candidates are ranked by.
        keys: reads loss and accuracy off what candidates log.
        determinant: which result wins.
        n_trials: candidates at most, the present rate among them.
        progress: shows how it goes on; None shows nothing.
        affords: asked with the results so far before all candidates but the very first: whether one more may be
            trained.
        ranked_before: whether candidates were ranked earlier in this fit: then one that logs nothing to rank it by
            fails, instead of ending the run.
        stops: asked after each candidate, with the results and the expected improvement of another one: why no more are
            trained, or None.
        weighs: called before each proposal, with the search and the leader: sets the search's belief about the best
            rate's place.
        lengthens: asked with the results and the leader's mean training losses by quarter: makes candidates longer
            where they are too short to tell, and gives the search that begins anew; else None.
        widens: asked with the results and the search: the search over a wider range, where the best rate lies at the
            end of this one; else None.
        settles: whether the last candidate is the centre of the rates that scored well
            (:func:`~lightning_gammabo.determinant.smoothing.smoothed_argmax`); the determinant then prefers it.
    """

    def __init__(
        self,
        objective: Objective,
        keys: MetricKeys,
        determinant: Determinant,
        *,
        n_trials: int,
        progress: SearchProgress | None = None,
        affords: Callable[[Sequence[Result]], bool] | None = None,
        ranked_before: bool = False,
        settles: bool = False,
        stops: Callable[[Sequence[Result], float | None], str | None] | None = None,
        lengthens: Callable[[Sequence[Result], Sequence[float]], Search | None] | None = None,
        weighs: Callable[[Search, Result | None], object] | None = None,
        widens: Callable[[Sequence[Result], Search], Search | None] | None = None,
    ) -> None:
        self._objective = objective
        self._keys = keys
        self._determinant = determinant
        self._n_trials = n_trials
        self._progress = progress or SearchProgress()
        self._affords = affords or (lambda results: True)
        self._scorer = TrialScorer(objective, keys, alone=n_trials == 1, ranked_before=ranked_before)
        self._stops = stops or (lambda results, gain: None)
        self._lengthens = lengthens
        self._weighs = weighs or (lambda proposals, leader: None)
        self._widens = widens or (lambda results, proposals: None)
        self._settles = settles and n_trials > FEWEST
        self._baselines = 0
        self._short: list[Result] = []  # candidates that were too short, and do not count

    def search(
        self,
        runner: CandidateRunner,
        proposals: Search,
        *,
        epoch: int,
        current_lr: float,
        around: Sequence[float] = (),
        origin: str = "region",
    ) -> EpochRecord:
        """Try candidates, the present rate first, and choose one.

        Args:
            runner: trains the candidates.
            proposals: the next rate to try.
            epoch: the epoch, from 0.
            current_lr: the rate that the optimizer would use now.
            around: rates to try next, before the search proposes.
            origin: where those come from: ``region``, or ``usual`` for the optimizer's usual rate.

        Returns:
            The record of the search; committing its choice is the caller's.
        """
        began = time.perf_counter()
        seen = _Seen()
        self._short = []
        # the display comes first: while callbacks are held back, Lightning's own bars lean on it
        self._progress.start(epoch, self._n_trials)
        try:
            seen.val_passes = self._learn_reference(runner)
            proposals.enqueue(current_lr)
            for lr in around:
                proposals.enqueue(lr, origin=origin)
            while self._goes_on(runner, seen, proposals):
                self._weighs(proposals, seen.leader)
                trial = self._ask(runner, proposals, seen.results)
                self._try(runner, proposals, trial, seen)
                longer = self._longer(seen)
                if longer is not None:
                    proposals = longer
                elif self._n_trials > len(seen.results):
                    proposals = self._widens(seen.results, proposals) or proposals
                    seen.enough = runner.agree(self._stops(seen.results, _expected_gain(proposals)))
            if seen.leader is None and self._validates_nothing(runner, seen.results):
                seen.results = [_not_its_fault(result) for result in seen.results]
        finally:
            self._progress.finish()
        return self._record(runner, epoch, seen, time.perf_counter() - began)

    def _goes_on(self, runner: CandidateRunner, seen: _Seen, proposals: Search) -> bool:
        results = seen.results
        over = len(results) >= self._n_trials or (results and proposals.finished) or seen.starved == _STARVED
        if over or seen.enough is not None:
            return False
        # the very first one is trained whatever it costs: whether to search at all was asked before
        trained = [*self._short, *results]
        return not trained or bool(runner.agree(self._affords(trained)))

    def _try(self, runner: CandidateRunner, proposals: Search, trial: Trial, seen: _Seen) -> None:
        self._progress.candidate(trial.number, trial.lr, seen.leader)
        outcome = runner.train(trial.lr)
        # one result for all ranks: what steps return, and seconds, differ between them
        result: Result = runner.agree(self._scorer.result(trial, outcome, seen.leader))
        proposals.tell(trial, result.score if result.score is not None else result.estimate)
        seen.val_passes += outcome.val_passes
        seen.results.append(result)
        seen.starved = seen.starved + 1 if outcome.state is TrialState.FAILED else 0
        seen.leader, _ = self._determinant.choose(seen.results)
        if seen.leader is result:
            seen.kept, seen.quarters = result, runner.agree(outcome.quarters)
            runner.keep()

    def _longer(self, seen: _Seen) -> Search | None:
        # where candidates are too short to tell: the search that begins anew with the leader's rate
        leader = seen.leader
        longer = self._lengthens(seen.results, seen.quarters) if self._lengthens is not None and leader else None
        if longer is not None and leader is not None:
            longer.enqueue(leader.lr, origin=leader.origin)
            self._short += seen.results
            seen.results, seen.leader, seen.kept = [], None, None
        return longer

    def _ask(self, runner: CandidateRunner, proposals: Search, results: Sequence[Result]) -> Trial:
        last = self._settles and len(results) == self._n_trials - 1
        centre = smoothed_argmax(results) if last else None
        if centre is not None:
            proposals.enqueue(centre, origin="smoothed")
        trial: Trial = runner.agree(proposals.ask())
        return trial

    def _record(self, runner: CandidateRunner, epoch: int, seen: _Seen, seconds: float) -> EpochRecord:
        chosen, reason = self._determinant.choose(seen.results)
        copied = chosen is not None and chosen is seen.kept and not runner.replay and runner.holds
        # a chosen one that trained a part of the epoch goes on from there
        rest = 1.0 - chosen.passes + chosen.cooling_passes if copied and chosen is not None else 1.0
        if self._short:
            reason = f"{reason}; {len(self._short)} shorter candidates told too little, learning had not begun"
        trained = [*self._short, *seen.results]
        return EpochRecord(
            epoch=epoch,
            results=tuple(seen.results),
            chosen_number=None if chosen is None else chosen.number,
            reason=reason if seen.enough is None else f"{reason}; {seen.enough}",
            objective=self._objective.name,
            commit="copy" if copied else "replay",
            train_passes=sum(result.passes for result in trained) + max(rest, 0.0),
            # the committed epoch is validated by the Trainer as well
            val_passes=seen.val_passes + float(seen.val_passes > 0),
            seconds=seconds,
            scorings=sum(r.state is TrialState.COMPLETE for r in trained) + self._baselines,
        )

    def _learn_reference(self, runner: CandidateRunner) -> float:
        """Validate the untrained network once: kappa measures losses against it, and it shows which names are logged.

        Args:
            runner: trains the candidates.

        Returns:
            Passes over the validation data.
        """
        self._baselines = 0
        needed = self._objective.uses_reference or self._lengthens is not None
        needed = needed and self._n_trials > 1 and self._objective.reference_loss is None
        if not needed and not self._keys.unverified:
            return 0.0
        outcome = runner.baseline()
        self._baselines = int(outcome is not None)
        if outcome is not None:
            self._keys.see(outcome.metrics, whole=True)
        if not needed:
            return outcome.val_passes if outcome is not None else 0.0
        loss = runner.agree(self._keys.reference(outcome) if outcome is not None else None)
        usable = loss is not None and math.isfinite(loss) and loss > 0.0
        # 0.0 says that there is none, so that it is not asked for again
        self._objective.reference_loss = loss if usable else 0.0
        return outcome.val_passes if outcome is not None else 0.0

    def _validates_nothing(self, runner: CandidateRunner, results: list[Result]) -> bool:
        """Whether the validation gives no number before training either: then no rate is to blame.

        Args:
            runner: trains the candidates.
            results: those of an epoch in which no candidate has a score.

        Returns:
            Whether it does not.
        """
        if all(result.message != NOT_FINITE for result in results):
            return False
        outcome = runner.baseline()
        if outcome is None:
            return False
        self._baselines += 1
        try:
            score = self._objective.score(self._keys.measure(outcome)).ranked
        except NotLogged:
            return False
        return bool(runner.agree(score is None))


def _not_its_fault(result: Result) -> Result:
    if result.message != NOT_FINITE:
        return result
    return replace(result, state=TrialState.FAILED, message=f"{NOT_FINITE}, nor is it before training")


def _expected_gain(proposals: Search) -> float | None:
    # of searches that have a surrogate
    gain = getattr(proposals, "expected_gain", None)
    found: float | None = gain() if gain is not None else None
    return found
