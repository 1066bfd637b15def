"""One epoch of a run: searched, committed and recorded; or trained under watch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from lightning_gammabo.bayesopt import Search, search_name
from lightning_gammabo.determinant.determinant import Determinant
from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import Objective
from lightning_gammabo.policy import EpochPlan
from lightning_gammabo.records import EpochRecord, Outcome
from lightning_gammabo.report.progress import make_progress
from lightning_gammabo.scheduler.budget import Budget, RunPlan
from lightning_gammabo.scheduler.recorder import Ledger
from lightning_gammabo.scheduler.search import HyperparameterScheduler
from lightning_gammabo.scheduler.search_range import FitRates
from lightning_gammabo.scheduler.settings import SearchSettings
from lightning_gammabo.trainer.epoch_runner import BACK_OFF, EpochRunner
from lightning_gammabo.trainer.inspection import needs_native_batches
from lightning_gammabo.trainer.messages import Voice
from lightning_gammabo.trainer.snapshot.loaders import unreplayable, val_loaders

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["EpochSearch"]

EXPLODED = 2.0
"""an epoch whose loss is so many times that of its start, and worse than the untrained network's, has diverged"""

MakeRunner = Callable[..., EpochRunner]


class EpochSearch:
    """Searches one epoch, or watches over it.

    Args:
        trainer: the Trainer, inside the epoch.
        settings: what was asked for.
        plan: the run's plan.
        rates: the rates of the fit.
        ledger: the records so far.
        objective: what candidates are ranked by.
        keys: reads loss and accuracy off what candidates log.
        voice: says what a user may want to question.
    """

    def __init__(
        self,
        trainer: Trainer,
        settings: SearchSettings,
        plan: RunPlan,
        *,
        rates: FitRates,
        ledger: Ledger,
        objective: Objective,
        keys: MetricKeys,
        voice: Voice,
    ) -> None:
        self._trainer = trainer
        self._settings = settings
        self._plan = plan
        self._rates = rates
        self._ledger = ledger
        self._objective = objective
        self._keys = keys
        self._voice = voice

    def too_dear(self) -> str | None:
        """Whether the epoch cannot be searched under the cap.

        Returns:
            Why not, in words, the same on all ranks; or None.
        """
        affords = self._budget.affords(self._ledger.history, [], self._epoch_plan(), self._trainer.current_epoch)
        if self._trainer.world_size > 1:
            affords = self._trainer.strategy.broadcast(affords)
        return None if affords else f"max_overhead={self._settings.max_overhead} leaves nothing for it"

    def run(self, make_runner: MakeRunner) -> None:
        """Search the epoch, record it, and have the winner's epoch trained to its end.

        Args:
            make_runner: makes what trains candidates; called once, with the settings of this search.
        """
        epoch, policy = self._trainer.current_epoch, self._plan.policy
        plan, replay = self._epoch_plan(), self._replays()
        several = plan.n_trials > 1
        runner = make_runner(
            replay=replay,
            once=not several and not replay,
            until=self._plan.until(plan) if several else None,
            drop_at=policy.drop_at if several and plan.wide else None,
            watched=policy.guard,
            sane=self._is_sane,
        )
        with runner:
            if several or replay:
                self._say_stateful(runner.stateful)
            current, anchor = runner.rates.reference, self._rates.anchor_value
            proposals, around = self._rates.proposals(epoch, plan, current)
            scheduler = self._scheduler(plan)
            record = scheduler.search(runner, proposals, epoch=epoch, current_lr=current, around=around)
            record = self._completed(record, plan, proposals, anchor)
        self._voice.inform(f"candidates are ranked by {self._objective.name}; read were: {self._keys.taken}")
        self._ledger.add(self._trainer, record)
        if record.chosen is None:
            runner.train_natively(self._rates.without_winner(record))
            return
        self._rates.note_choice(record)
        trained_at = runner.commit(record.chosen.lr)
        if trained_at != record.chosen.lr:
            times = round(math.log(record.chosen.lr / trained_at, BACK_OFF))
            self._ledger.add(self._trainer, self._rates.after_rollback(record, trained_at, times=times))

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
            self._rates.say_rollback(self._trainer.current_epoch, current, trained_at)

    def _determinant(self, plan: EpochPlan) -> Determinant:
        policy = self._plan.policy
        # over the whole range there is no anchor yet
        return Determinant("best" if plan.wide and policy.rule == "anchored" else policy.rule, errors=policy.errors)

    @property
    def _budget(self) -> Budget:
        return Budget(self._settings.max_overhead, self._settings.overhead_unit, self._plan)

    def _scheduler(self, plan: EpochPlan) -> HyperparameterScheduler:
        settings, epoch, history = self._settings, self._trainer.current_epoch, self._ledger.history
        budget = self._budget
        return HyperparameterScheduler(
            self._objective,
            self._keys,
            self._determinant(plan),
            n_trials=plan.n_trials,
            fraction=plan.fraction,
            # the first search alone; a list of rates is the user's own choice
            settles=self._plan.policy.settle and not history and settings.candidates is None,
            progress=make_progress(self._trainer) if settings.progress else None,
            affords=lambda results: budget.affords(history, results, plan, epoch),
            ranked_before=any(old.chosen is not None for old in history),
        )

    def _epoch_plan(self) -> EpochPlan:
        plan = self._plan.epoch_plan(first=not self._ledger.history)
        reason = unreplayable(val_loaders(self._trainer)) if plan.fraction < 1.0 else None
        if reason is not None:
            self._voice.inform(f"candidates train whole epochs: the validation data cannot be read twice ({reason})")
            plan = replace(plan, fraction=1.0)
        candidates = self._settings.candidates
        if candidates is None:
            return plan
        return replace(plan, wide=True, n_trials=1 + len(candidates), factor=None)

    def _completed(self, record: EpochRecord, plan: EpochPlan, proposals: Search, anchor: float) -> EpochRecord:
        return replace(
            record,
            search=search_name(self._settings.policy.search) if self._settings.candidates is None else "list",
            lr_low=proposals.space.low,
            lr_high=proposals.space.high,
            n_initial=plan.n_initial,
            seed=self._rates.seed_of(record.epoch),
            policy=self._settings.policy.name,
            anchor=anchor,
            fraction=plan.fraction,
        )

    def _is_sane(self, outcome: Outcome) -> bool:
        # whether the end of an epoch is to be kept: its loss is finite and has not exploded
        loss = self._keys.reference(outcome)
        if loss is None:
            return True
        if not math.isfinite(loss):
            return False
        chosen = self._ledger.history[-1].chosen if self._ledger.history else None
        began = chosen.loss if chosen is not None else None
        untrained = self._objective.reference_loss
        return not (began and untrained and loss > EXPLODED * began and loss > untrained)

    def _replays(self) -> bool:
        if self._settings.commit == "replay":
            return True
        reason = needs_native_batches(self._trainer)
        if reason is not None:
            self._voice.inform(f"commit='copy' becomes 'replay' in this run, because of {reason}")
        return reason is not None

    def _say_stateful(self, paths: list[str]) -> None:
        if paths:
            shown = ", ".join(paths[:3])
            self._voice.warn(
                f"{shown}: a live iterator cannot be put back; it goes on from epoch trained to epoch trained"
            )
