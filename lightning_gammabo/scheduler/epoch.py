"""One epoch of a run: searched, committed and recorded; or trained under watch."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from typing import TYPE_CHECKING

from lightning_gammabo.bayesopt import BayesOpt, Search, search_name
from lightning_gammabo.determinant.determinant import Determinant
from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import Objective
from lightning_gammabo.learning_rate.miniature import miniature
from lightning_gammabo.policy import EpochPlan
from lightning_gammabo.records import EpochRecord, Result
from lightning_gammabo.records.table import search_line
from lightning_gammabo.records.words import count
from lightning_gammabo.report.progress import SearchProgress, make_progress
from lightning_gammabo.scheduler.arguments import Cap, SearchArguments
from lightning_gammabo.scheduler.budget import Budget
from lightning_gammabo.scheduler.recorder import Recorder
from lightning_gammabo.scheduler.recovery import Recovery
from lightning_gammabo.scheduler.run_plan import RunPlan
from lightning_gammabo.scheduler.run_rates import RunRates
from lightning_gammabo.scheduler.search import HyperparameterScheduler
from lightning_gammabo.scheduler.search_range import SearchRange
from lightning_gammabo.scheduler.stopping import SearchRules, says_nothing
from lightning_gammabo.trainer.candidate_plan import CandidatePlan
from lightning_gammabo.trainer.epoch_runner import BACK_OFF, EpochRunner
from lightning_gammabo.trainer.inspection import needs_native_batches, training_names
from lightning_gammabo.trainer.messages import Messages
from lightning_gammabo.trainer.snapshot.loaders import unreplayable, val_loaders
from lightning_gammabo.trainer.validation_subset import ScoringSet

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["EpochSearch"]


MakeRunner = Callable[..., EpochRunner]


class EpochSearch:
    """Searches one epoch, or watches over it.

    Args:
        trainer: the Trainer, inside the epoch.
        given: the callback's arguments.
        plan: the run's plan.
        rates: the rates of the fit.
        search_range: where rates are searched.
        recovery: what is done about divergences.
        scoring: what candidates are scored on.
        recorder: the records so far.
        objective: what candidates are ranked by.
        keys: reads loss and accuracy off what candidates log.
        messages: says what a user may want to question.
    """

    def __init__(
        self,
        trainer: Trainer,
        given: SearchArguments,
        plan: RunPlan,
        *,
        rates: RunRates,
        search_range: SearchRange,
        recovery: Recovery,
        scoring: ScoringSet,
        recorder: Recorder,
        objective: Objective,
        keys: MetricKeys,
        messages: Messages,
    ) -> None:
        self._trainer = trainer
        self._given = given
        self._plan = plan
        self._rates = rates
        self._range = search_range
        self._recovery = recovery
        self._scoring = scoring
        self._recorder = recorder
        self._objective = objective
        self._keys = keys
        self._messages = messages

    def too_dear(self) -> str | None:
        """Whether the epoch cannot be searched under the cap.

        Returns:
            Why not, in words, the same on all ranks; or None.
        """
        affords = self._budget.affords(self._recorder.history, [], self._epoch_plan(), self._trainer.current_epoch)
        if self._trainer.world_size > 1:
            affords = self._trainer.strategy.broadcast(affords)
        return None if affords else f"max_overhead={self._given.max_overhead!r} leaves nothing for it"

    def run(self, make_runner: MakeRunner) -> None:
        """Search the epoch, record it, and have the chosen candidate's epoch trained to its end.

        Args:
            make_runner: makes what trains candidates; called once, with the settings of this search.
        """
        plan, replay = self._epoch_plan(), self._replays()
        several = plan.n_trials > 1
        progress = self._progress(plan)
        runner = make_runner(
            scoring=self._scoring,
            on_batch=functools.partial(self._note_batch, progress),
            replay=replay,
            once=not several and not replay,
            plan=self._lasting(plan) if several else CandidatePlan(),
            prune_at=self._prune_at(plan) if several else None,
            watched=self._plan.policy.recover,
            sane=lambda outcome: self._recovery.is_sane(outcome, self._recorder.history),
        )
        with runner:
            if several or replay:
                self._say_stateful(runner.stateful)
            record = self._search(runner, plan, progress)
        self._messages.inform(f"candidates are ranked by {self._objective.name}; read were: {self._keys.taken}")
        if self._keys.by_training and several and self._objective.metric is None:
            self._messages.warn(
                "no validation loss was logged or returned, so candidates are ranked by a training loss, which favours "
                "rates that fit quickly. Log one in `validation_step`, or name it: monitor_loss='...'"
            )
        if says_nothing(record.results):
            self._messages.warn(
                f"epoch {record.epoch}: all {len(record.results)} candidates have the same score: nothing was found. "
                "Does the module write the learning rate itself, or train nothing?"
            )
        self._messages.inform(search_line(record))
        self._recorder.add(self._trainer, record)
        if record.chosen is None:
            runner.train_natively(self._recovery.without_winner(record))
            return
        self._recovery.last_good = record.chosen.lr
        trained_at = runner.commit(record.chosen.lr)
        if trained_at != record.chosen.lr:
            times = self._note_retrained(record.chosen.lr, trained_at)
            self._recorder.add(self._trainer, self._recovery.after_rollback(record, trained_at, times=times))

    def _search(self, runner: EpochRunner, plan: EpochPlan, progress: SearchProgress) -> EpochRecord:
        epoch, history = self._trainer.current_epoch, self._recorder.history
        current, first = runner.rates.reference, plan.wide and not history
        annealing = self._rates.annealing_value
        proposals, around = self._range.proposals(epoch, plan, current, optimizers=self._trainer.optimizers)
        bounds = (proposals.space.low, proposals.space.high)
        rules = SearchRules(self._plan, self._objective, first=first, history=history, bounds=bounds, search=plan)

        short: list[Result] = []

        def lengthens(results: Sequence[Result], quarters: Sequence[float]) -> Search | None:
            trained = [*short, *results]
            if not rules.lengthen(results, quarters, lambda longer: self._affords_two(runner, trained, longer)):
                return None
            short[:] = trained
            return self._lengthened(runner, rules, current)

        def widens(results: Sequence[Result], proposals: Search) -> Search | None:
            return self._widened(rules, results, proposals, current)

        scheduler = HyperparameterScheduler(
            self._objective,
            self._keys,
            self._determinant(rules),
            n_trials=plan.n_trials,
            # the first search alone; a list of rates is the user's own choice
            settles=self._plan.policy.smooth_first and first and self._plan.n_listed is None,
            progress=progress,
            affords=lambda results: self._affords(results, rules.search),
            ranked_before=any(old.chosen is not None for old in history),
            stops=rules.stops,
            weighs=rules.weigh,
            lengthens=lengthens if rules.may_lengthen else None,
            widens=widens,
        )
        origin = "usual" if plan.wide else "region"
        record = scheduler.search(runner, proposals, epoch=epoch, current_lr=current, around=around, origin=origin)
        return self._completed(replace(record, annealing=annealing), rules)

    def _note_batch(self, progress: SearchProgress, batches: int) -> None:
        if batches == 1:
            self._keys.check_names(training_names(self._trainer))
        progress.batch(batches)

    def _affords(self, results: Sequence[Result], plan: EpochPlan) -> bool:
        # whether one more candidate may be trained
        if self._plan.shape.val_ratio is None:  # a loader did not tell; by now it was read
            self._plan.shape = replace(self._plan.shape, val_ratio=self._scoring.ratio)
        epoch, cap = self._trainer.current_epoch, self._given.max_overhead
        affords = self._budget.affords(self._recorder.history, results, plan, epoch)
        if not affords:
            done = count(len(results), "candidate")
            self._messages.inform(f"epoch {epoch}: max_overhead={cap!r} ends the search after {done}")
        return affords

    def _affords_two(self, runner: EpochRunner, results: Sequence[Result], plan: EpochPlan) -> bool:
        # the leader once more, and a rival: one alone is no choice
        again = [*results, replace(results[-1], passes=plan.share + plan.cooling_share)]
        epoch = self._trainer.current_epoch
        affords = bool(runner.agree(self._budget.affords(self._recorder.history, again, plan, epoch)))
        if not affords:
            self._messages.inform(
                f"epoch {epoch}: max_overhead={self._given.max_overhead!r} affords no longer candidates"
            )
        return affords

    def _lengthened(self, runner: EpochRunner, rules: SearchRules, current: float) -> Search:
        # the search that begins anew, with longer candidates
        runner.restart(self._lasting(rules.search))
        again = replace(rules.search, n_initial=1)
        optimizers, epoch = self._trainer.optimizers, self._trainer.current_epoch
        return self._range.proposals(epoch, again, current, optimizers=optimizers, part=rules.lengthened)[0]

    def _widened(
        self, rules: SearchRules, results: Sequence[Result], proposals: Search, current: float
    ) -> Search | None:
        # the search over a wider range, where the best rate lies at the end of the default one
        leader, optimizers = rules.learnt_leader(results), self._trainer.optimizers
        if leader is None or not isinstance(proposals, BayesOpt):
            return None
        if not self._range.widen(leader.lr, optimizers, upwards=leader.steps >= self._plan.policy.min_steps):
            return None
        epoch = self._trainer.current_epoch
        wider, _ = self._range.proposals(epoch, rules.search, current, optimizers=optimizers, part=rules.lengthened)
        wider.load_state_dict(proposals.state_dict())
        rules.bounds = self._range.bounds(optimizers)
        low, high = rules.bounds
        self._messages.inform(
            f"the best rate so far, {leader.lr:.1e}, lies at an end of the range: it is now {low:.0e} to {high:.0e}"
        )
        return wider

    def _completed(self, record: EpochRecord, rules: SearchRules) -> EpochRecord:
        return replace(
            record,
            sampler=search_name(self._given.sampler),
            min_lr=rules.bounds[0],
            max_lr=rules.bounds[1],
            n_initial=rules.search.n_initial,
            seed=self._range.seed_of(record.epoch, rules.lengthened),
            policy=self._plan.policy.name,
            share=rules.search.share,
            score_samples=0 if self._keys.by_training else self._scoring.scored,
            rule=self._determinant(rules).rule,
            n_sigma=self._plan.policy.n_sigma,
            prior=None if rules.prior is None else astuple(rules.prior),
        )

    def _progress(self, plan: EpochPlan) -> SearchProgress:
        if not self._given.progress:
            return SearchProgress()
        batches = plan.until or self._trainer.num_training_batches
        return make_progress(self._trainer, batches=batches, objective=self._objective.name)

    def _lasting(self, plan: EpochPlan) -> CandidatePlan:
        lived = None
        if plan.until is not None and self._rates.forecast is not None and plan.wide:
            lived = miniature(self._rates.forecast, max(plan.until // self._trainer.accumulate_grad_batches, 1))
        return CandidatePlan(until=plan.until, cooling=plan.cooling, miniature=lived)

    def train_watched(self, make_runner: MakeRunner) -> None:
        """Train the epoch natively; put it back where its loss turns non-finite.

        Args:
            make_runner: makes what trains it.
        """
        runner = make_runner(replay=False, once=True, watched=True)
        with runner:
            current = runner.rates.reference
        trained_at = runner.train_natively(current)
        if trained_at != current:
            self._note_retrained(current, trained_at)
            self._recovery.say_rollback(self._trainer.current_epoch, current, trained_at)

    def _note_retrained(self, lr: float, trained_at: float) -> int:
        # how often the epoch was put back to its start and trained again
        times = round(math.log(lr / trained_at, BACK_OFF))
        self._recorder.retrained[self._trainer.current_epoch] = times
        return times

    def _determinant(self, rules: SearchRules) -> Determinant:
        policy = self._plan.policy
        # over the whole range the present rate is no better than any other
        best = rules.first or (rules.search.wide and policy.rule == "keep_unless_better")
        return Determinant("best" if best else policy.rule, n_sigma=policy.n_sigma, favours=rules.favours)

    def _prune_at(self, plan: EpochPlan) -> float | None:
        prune_at = self._plan.policy.prune_at
        return None if prune_at == "never" or not plan.wide else prune_at

    @property
    def _budget(self) -> Budget:
        return Budget(Cap.parse(self._given.max_overhead), self._plan)

    def _epoch_plan(self) -> EpochPlan:
        plan = self._plan.epoch_plan(first=not self._recorder.history, epoch=self._trainer.current_epoch)
        reason = unreplayable(val_loaders(self._trainer)) if plan.share < 1.0 else None
        if reason is not None:
            self._messages.inform(f"candidates train whole epochs: the validation data cannot be read twice ({reason})")
            plan = self._plan.lasting(plan, None)
        return plan

    def _replays(self) -> bool:
        if self._given.commit == "replay":
            return True
        reason = needs_native_batches(self._trainer)
        if reason is not None:
            self._messages.inform(f"commit='copy' becomes 'replay' in this run, because of {reason}")
        return reason is not None

    def _say_stateful(self, paths: list[str]) -> None:
        if paths:
            shown = ", ".join(paths[:3])
            self._messages.warn(
                f"{shown}: a live iterator cannot be put back; it goes on from epoch trained to epoch trained"
            )
