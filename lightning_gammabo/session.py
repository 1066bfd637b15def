"""One fit's search: what was learned so far, and how an epoch is searched."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lightning_gammabo.anchor import progress_of
from lightning_gammabo.bayesopt import Search
from lightning_gammabo.determinant import Determinant
from lightning_gammabo.epoch_runner import EpochRunner, ScoringSet, make_iterator, scoring_loader, watch_loader
from lightning_gammabo.fit_rates import FitRates
from lightning_gammabo.learning_rate import LearningRates
from lightning_gammabo.metric_names import MetricKeys
from lightning_gammabo.objective import Objective
from lightning_gammabo.policy import EpochPlan
from lightning_gammabo.records import EpochRecord, Outcome, SearchHistory, TrialState
from lightning_gammabo.report.progress import make_progress
from lightning_gammabo.resume import ResumePoint
from lightning_gammabo.run_plan import Budget, RunPlan
from lightning_gammabo.scheduler import HyperparameterScheduler
from lightning_gammabo.settings import SearchSettings
from lightning_gammabo.trainer_state import (
    LoaderMark,
    check_lightning,
    goes_on_inside,
    log_to_loggers,
    needs_native_batches,
    shape_of_run,
    trains_weights,
    unreplayable,
    val_loaders,
)
from lightning_gammabo.voice import Voice

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["FitSession"]

EXPLODED = 2.0
"""an epoch whose loss is so many times that of its start, and worse than the untrained network's, has diverged"""


class FitSession:
    """What a callback learns during one fit.

    Args:
        settings: what was asked for.

    Attributes:
        history: the records so far.
        rates: the rates of the fit.
        idle: why nothing is searched in this fit, or None.
        plan: which epochs are searched and how; None before training starts.
    """

    def __init__(self, settings: SearchSettings) -> None:
        self.history = SearchHistory()
        self.idle: str | None = None
        self.plan: RunPlan | None = None
        self._voice = Voice()
        self.rates = FitRates(settings, self._voice)
        self._settings = settings
        self._objective = Objective(
            settings.objective, kappa_lambda=settings.kappa_lambda, mode=settings.objective_mode
        )
        self._keys = MetricKeys(self._objective, settings.monitor_loss, settings.monitor_accuracy)
        self._scoring: ScoringSet | None = None
        self._mark: LoaderMark | None = None
        self._unwatch: Callable[[], object] | None = None
        self._resume: ResumePoint | None = None

    def prepare(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the Trainer before it trains.

        Args:
            trainer: the Trainer, in ``on_fit_start``.
            pl_module: the user's module.

        Raises:
            ValueError: if the settings do not fit the module's LR schedulers or loaders.
        """
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._be_idle("fast_dev_run is on")
        elif not LearningRates(trainer.optimizers).current():
            self._be_idle("the module configures no optimizer that has a learning rate")
        if self.idle is not None:
            return
        check_lightning(trainer)
        names = sorted({type(config.scheduler).__name__ for config in trainer.lr_scheduler_configs})
        if names and self._settings.lr_schedulers == "error":
            raise ValueError(
                f"GammaLRSearch(lr_schedulers='error'): the module configures {', '.join(names)}. Remove the LR "
                "scheduler, or choose lr_schedulers='override' (set it aside) or 'scale' (multiply what it schedules)"
            )
        if not names and self._settings.policy.anchor == "scheduler":
            raise ValueError(
                "GammaLRSearch(anchor='scheduler'): the module configures no LR scheduler. Configure one, or choose "
                "anchor='cosine', 'linear', 'constant', 'plateau' or 'auto'"
            )
        own = scoring_loader(self._settings.score_dataloader, trainer, pl_module)
        self._scoring = ScoringSet(self._settings.policy.score_samples, own, seed=self._settings.seed)
        self._unwatch = watch_loader(trainer, self._note_mark)

    def begin(self, trainer: Trainer) -> None:
        """Plan the run; go on exactly where a checkpoint was written.

        Args:
            trainer: the Trainer, in ``on_train_start``.
        """
        if self.idle is not None:
            return
        settings = self._settings
        self.plan = RunPlan(
            settings.policy,
            shape_of_run(
                trainer,
                replays=settings.commit == "replay" or needs_native_batches(trainer) is not None,
                scored=settings.policy.score_samples,
            ),
            start=settings.start_epoch,
            stop=settings.stop_epoch,
            every=settings.every_n_epochs,
            cap=settings.max_overhead if settings.overhead_unit == "passes" else None,
        )
        if self._resume is not None:
            self._resume.restore(trainer)
        self.rates.watch(trainer, epochs=self.plan.shape.epochs)
        if not self.history and settings.candidates is None:
            self._voice.inform(self.plan.in_words())

    def enter_epoch(self, trainer: Trainer) -> bool:
        """Whether the epoch that starts is to be taken over.

        Args:
            trainer: the Trainer, in ``on_train_epoch_start``.

        Returns:
            True to have :meth:`run_epoch` called in place of the epoch loop.
        """
        guard = self.rates.guard
        if self.idle is not None or self.plan is None or guard is None:
            return False
        if self.rates.anchor == "plateau" and self.history and self._resume is None:
            logged = {k: float(v) for k, v in trainer.callback_metrics.items() if v.numel() == 1}
            guard.plateau.see(self._keys.reference(Outcome(state=TrialState.COMPLETE, metrics=logged)))
        # an epoch that ended early, or whose length nobody knew, has left the rate behind
        guard.follow(progress_of(trainer, 0))
        watched = self._settings.policy.guard and bool(self.history)
        return self._resume is not None or watched or self.plan.searches(trainer.current_epoch)

    def run_epoch(self, trainer: Trainer, pl_module: LightningModule, fetcher: Any, run: Callable[[Any], None]) -> None:
        """Search the epoch, commit and record it; or train it under watch.

        Args:
            trainer: the Trainer, inside the epoch.
            pl_module: the user's module.
            fetcher: the data fetcher.
            run: the Trainer's own way to train the epoch.
        """
        assert self.plan is not None
        if goes_on_inside(trainer):
            self._finish_restarted(trainer, fetcher, run)
            return
        if self._resume is not None:
            # the run that never stopped makes its iterator now; Lightning made this one's before the epoch's hooks
            self._mark = make_iterator(trainer, fetcher) or self._mark
            self._resume = None
        searched = self.plan.searches(trainer.current_epoch)
        if searched and not self.rates.taken_over:
            self.rates.take_over(trainer, epochs=self.plan.shape.epochs)
        reason = self._nothing_to_search(trainer) if searched else None
        if reason is not None:
            self._voice.inform(f"epoch {trainer.current_epoch} is not searched: {reason}")
        if searched and reason is None:
            self._search(trainer, pl_module, fetcher, run)
        elif self._settings.policy.guard and self.history and trains_weights(trainer):
            self._train_watched(trainer, pl_module, fetcher, run)
        else:
            run(fetcher)

    def end(self) -> None:
        """Leave the Trainer as it was found; safe to call twice."""
        self.rates.release()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        self._mark = None

    def state_dict(self, trainer: Trainer | None) -> dict[str, Any]:
        """Everything that a resumed run needs, as plain values and tensors.

        Args:
            trainer: the Trainer inside ``fit``, or None outside.

        Returns:
            What :meth:`load_state_dict` takes.
        """
        return {
            "history": [record.to_dict() for record in self.history],
            "rates": self.rates.state_dict(),
            "reference_loss": self._objective.reference_loss,
            "percent": self._objective.percent,
            "resume": ResumePoint.take(trainer) if trainer is not None else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Args:
            state: that dictionary.
        """
        self.history = SearchHistory(EpochRecord.from_dict(record) for record in state["history"])
        self.rates.load_state_dict(state["rates"])
        self._objective.reference_loss = state["reference_loss"]
        self._objective.percent = state["percent"]
        self._resume = ResumePoint(state["resume"]) if state["resume"] is not None else None

    def _search(self, trainer: Trainer, pl_module: LightningModule, fetcher: Any, run: Callable[[Any], None]) -> None:
        assert self.plan is not None
        settings, epoch = self._settings, trainer.current_epoch
        plan = self._epoch_plan(trainer)
        replay = self._replays(trainer)
        runner = self._runner(
            trainer, pl_module, fetcher, run, replay=replay, plan=plan, once=plan.n_trials == 1 and not replay
        )
        budget = Budget(
            settings.max_overhead, "seconds" if settings.overhead_unit == "seconds" else "passes", self.plan
        )
        scheduler = HyperparameterScheduler(
            self._objective,
            self._keys,
            Determinant(self.plan.policy.rule),
            n_trials=plan.n_trials,
            progress=make_progress(trainer) if settings.progress else None,
            affords=lambda results: budget.affords(self.history, results, plan, epoch),
            ranked_before=any(old.chosen is not None for old in self.history),
        )
        with runner:
            if plan.n_trials > 1 or runner.replay:
                self._say_stateful(runner.stateful)
            current = runner.rates.reference
            anchor = self.rates.anchor_value
            proposals, around = self.rates.proposals(epoch, plan, current)
            record = scheduler.search(runner, proposals, epoch=epoch, current_lr=current, around=around)
            record = self._completed(record, plan, proposals, anchor)
        self._mark = None
        self._voice.inform(f"candidates are ranked by {self._objective.name}; read were: {self._keys.taken}")
        self._add(trainer, record)
        log_to_loggers(trainer, _summary(record))
        if record.chosen is None:
            runner.train_natively(self.rates.without_winner(record))
            return
        self.rates.note_choice(record.chosen.lr)
        trained_at = runner.commit(record.chosen.lr)
        if trained_at != record.chosen.lr:
            self._add(trainer, self.rates.after_rollback(record, trained_at))

    def _train_watched(
        self, trainer: Trainer, pl_module: LightningModule, fetcher: Any, run: Callable[[Any], None]
    ) -> None:
        runner = self._runner(trainer, pl_module, fetcher, run, replay=False, plan=None, once=True)
        with runner:
            current = runner.rates.reference
        self._mark = None
        trained_at = runner.train_natively(current)
        if trained_at != current:
            self.rates.say_rollback(trainer.current_epoch, current, trained_at)

    def _runner(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        fetcher: Any,
        run: Callable[[Any], None],
        *,
        replay: bool,
        plan: EpochPlan | None,
        once: bool,
    ) -> EpochRunner:
        assert self.plan is not None
        policy = self.plan.policy
        return EpochRunner(
            trainer,
            pl_module,
            fetcher,
            run,
            mark=self._mark,
            guard=self.rates.guard,
            replay=replay,
            once=once,
            scoring=self._scoring,
            until=self.plan.until(plan) if plan is not None and plan.n_trials > 1 else None,
            drop_at=policy.drop_at if plan is not None and plan.wide and plan.n_trials > 1 else None,
            sane=self._is_sane if policy.guard else None,
        )

    def _epoch_plan(self, trainer: Trainer) -> EpochPlan:
        assert self.plan is not None
        plan = self.plan.epoch_plan(first=not self.history)
        reason = unreplayable(val_loaders(trainer)) if plan.fraction < 1.0 else None
        if reason is not None:
            self._voice.inform(f"candidates train whole epochs: the validation data cannot be read twice ({reason})")
            plan = replace(plan, fraction=1.0)
        candidates = self._settings.candidates
        if candidates is None:
            return plan
        return replace(plan, wide=True, n_trials=1 + len(candidates), factor=None)

    def _completed(self, record: EpochRecord, plan: EpochPlan, proposals: Search, anchor: float) -> EpochRecord:
        assert self.plan is not None
        guarded = self.plan.policy.guard and plan.fraction < 1.0
        return replace(
            record,
            search=self._settings.policy.search if self._settings.candidates is None else "list",
            lr_low=proposals.space.low,
            lr_high=proposals.space.high,
            n_initial=plan.n_initial,
            seed=self.rates.seed_of(record.epoch),
            policy=self._settings.policy.name,
            anchor=anchor,
            fraction=plan.fraction,
            scorings=record.scorings + guarded,
        )

    def _is_sane(self, outcome: Outcome) -> bool:
        # whether the end of an epoch is to be kept: its loss is finite and has not exploded
        loss = self._keys.reference(outcome)
        if loss is None:
            return True
        if not math.isfinite(loss):
            return False
        chosen = self.history[-1].chosen if self.history else None
        began = chosen.loss if chosen is not None else None
        untrained = self._objective.reference_loss
        return not (began and untrained and loss > EXPLODED * began and loss > untrained)

    def _finish_restarted(self, trainer: Trainer, fetcher: Any, run: Callable[[Any], None]) -> None:
        step = trainer.global_step
        run(fetcher)
        if self._resume is not None and trainer.global_step == step:
            # nothing was left to train: what the repeated validation drew was drawn before the checkpoint
            self._resume.restore(trainer)

    def _nothing_to_search(self, trainer: Trainer) -> str | None:
        if LearningRates(trainer.optimizers, self.rates.guard).reference <= 0.0:
            return "no optimizer has a learning rate above 0"
        return "nothing is trained in it" if not trains_weights(trainer) else None

    def _replays(self, trainer: Trainer) -> bool:
        if self._settings.commit == "replay":
            return True
        reason = needs_native_batches(trainer)
        if reason is not None:
            self._voice.inform(f"commit='copy' becomes 'replay' in this run, because of {reason}")
        return reason is not None

    def _add(self, trainer: Trainer, record: EpochRecord) -> None:
        known = [old for old in self.history if old.epoch != record.epoch]
        self.history.replace([*known, record])
        if self._settings.history_file is None or not trainer.is_global_zero:
            return
        try:
            self.history.save(self._settings.history_file)
        except OSError as error:  # disk full, a folder that is gone: no reason to lose the training
            named = f"history_file={str(self._settings.history_file)!r}"
            self._say_once(f"{named} could not be written ({error}); training goes on", say=rank_zero_warn)

    def _note_mark(self, mark: LoaderMark) -> None:
        self._mark = mark

    def _be_idle(self, why: str) -> None:
        self.idle = why
        self._voice.inform(f"no epoch is searched: {why}")

    def _say_stateful(self, paths: list[str]) -> None:
        if paths:
            shown = ", ".join(paths[:3])
            self._voice.warn(
                f"{shown}: a live iterator cannot be put back; it goes on from epoch trained to epoch trained"
            )


def _summary(record: EpochRecord) -> dict[str, float]:
    summary = {
        "gamma/candidates": float(len(record.results)),
        "gamma/search_seconds": record.seconds,
        "gamma/train_passes": record.train_passes,
        "gamma/val_passes": record.val_passes,
    }
    chosen = record.chosen
    if chosen is not None:
        values = {"lr": chosen.lr, "score": chosen.score, "loss": chosen.loss, "accuracy": chosen.accuracy}
        values["kappa" if record.objective.startswith("kappa") else "objective"] = chosen.kappa
        summary |= {f"gamma/{name}": float(value) for name, value in values.items() if value is not None}
    return summary
