"""One fit's search: what was learned so far, and how an epoch is searched."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from lightning_gammabo.anchor import progress_of
from lightning_gammabo.bayesopt import LearningRateSpace, Search, make_search
from lightning_gammabo.determinant import Determinant
from lightning_gammabo.epoch_runner import EpochRunner, make_iterator, watch_loader
from lightning_gammabo.epoch_runner.scoring import ScoringSet
from lightning_gammabo.learning_rate import LearningRates, default_range
from lightning_gammabo.metric_names import MetricKeys
from lightning_gammabo.objective import Objective
from lightning_gammabo.policy import EpochPlan
from lightning_gammabo.rate_guard import Mode, RateGuard
from lightning_gammabo.records import EpochRate, EpochRecord, Outcome, SearchHistory, TrialState
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
)

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["FitSession"]

LOWERED = 10.0
"""where all candidates diverged, rates from a tenth of the lowest of them on are not proposed any more"""
EXPLODED = 2.0
"""an epoch whose loss is so many times that of its start, and worse than the untrained network's, has diverged"""


class FitSession:
    """What a callback learns during one fit.

    Args:
        settings: what was asked for.

    Attributes:
        history: the records so far.
        rates: the rate of every epoch so far, searched or not.
        idle: why nothing is searched in this fit, or None.
        plan: which epochs are searched and how; None before training starts.
        anchor: name of the schedule that the rate follows.
    """

    def __init__(self, settings: SearchSettings) -> None:
        self.history = SearchHistory()
        self.rates: list[EpochRate] = []
        self.idle: str | None = None
        self.plan: RunPlan | None = None
        self.anchor = settings.policy.anchor
        self._settings = settings
        self._objective = Objective(
            settings.objective, kappa_lambda=settings.kappa_lambda, mode=settings.objective_mode
        )
        self._keys = MetricKeys(self._objective, settings.monitor_loss, settings.monitor_accuracy)
        self._lr_max = math.inf
        self._last_good: float | None = None
        self._guard_state: dict[str, Any] | None = None
        self._guard: RateGuard | None = None
        self._scoring: ScoringSet | None = None
        self._mark: LoaderMark | None = None
        self._unwatch: Callable[[], object] | None = None
        self._resume: ResumePoint | None = None
        self._said: set[str] = set()

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
        own = _scoring_loader(self._settings.score_dataloader, trainer, pl_module)
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
        if self._guard_state is not None:
            self._keep_rates(trainer)
        else:
            self._guard = RateGuard((), trainer.optimizers, mode="aside")
        if not self.history and settings.candidates is None:
            self._say_once(self.plan.in_words())

    def enter_epoch(self, trainer: Trainer) -> bool:
        """Whether the epoch that starts is to be taken over.

        Args:
            trainer: the Trainer, in ``on_train_epoch_start``.

        Returns:
            True to have :meth:`run_epoch` called in place of the epoch loop.
        """
        if self.idle is not None or self.plan is None or self._guard is None:
            return False
        if self.anchor == "plateau" and self.history and self._resume is None:
            loss = self._keys.reference(_outcome_of(trainer.callback_metrics))
            self._guard.plateau.see(loss)
            self._guard.follow(None)
        watched = self._settings.policy.guard and bool(self.history)
        return self._resume is not None or watched or self.plan.searches(trainer.current_epoch)

    def leave_epoch(self, trainer: Trainer) -> None:
        """Note the rate that the epoch was trained at.

        Args:
            trainer: the Trainer, in ``on_train_epoch_end``.
        """
        guard = self._guard
        if guard is None or not guard.batches:
            return
        rate = EpochRate(
            epoch=trainer.current_epoch,
            start=guard.first,
            end=guard.last,
            steps=guard.batches,
            height=guard.first / guard.first_anchor if guard.first_anchor > 0.0 else guard.first,
        )
        self.rates = [known for known in self.rates if known.epoch < rate.epoch] + [rate]
        guard.batches = 0

    def batch_start(self, *args: Any) -> None:
        """Note the batch's rate; the arguments are those of the hook."""
        if self._guard is not None:
            self._guard.on_train_batch_start(*args)

    def batch_end(self, *args: Any) -> None:
        """Let the rate follow the anchor; the arguments are those of the hook."""
        if self._guard is not None:
            self._guard.on_train_batch_end(*args)

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
        if searched and self._guard_state is None:
            self._keep_rates(trainer)
        reason = self._nothing_to_search(trainer) if searched else None
        if reason is not None:
            self._say_once(f"epoch {trainer.current_epoch} is not searched: {reason}")
        if searched and reason is None:
            self._search(trainer, pl_module, fetcher, run)
        elif self._settings.policy.guard and self.history and trains_weights(trainer):
            self._train_watched(trainer, pl_module, fetcher, run)
        else:
            run(fetcher)

    def end(self) -> None:
        """Leave the Trainer as it was found; safe to call twice."""
        if self._guard is not None:
            self._guard.release()
            self._guard = None
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
        guarded = self._guard is not None and self._guard_state is not None
        return {
            "history": [record.to_dict() for record in self.history],
            "rates": [{name: getattr(rate, name) for name in EpochRate.__slots__} for rate in self.rates],
            "reference_loss": self._objective.reference_loss,
            "percent": self._objective.percent,
            "lr_max": self._lr_max,
            "last_good": self._last_good,
            "anchor": self.anchor,
            "guard": self._guard.state_dict() if guarded and self._guard is not None else self._guard_state,
            "resume": ResumePoint.take(trainer) if trainer is not None else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Args:
            state: that dictionary.
        """
        self.history = SearchHistory(EpochRecord.from_dict(record) for record in state["history"])
        self.rates = [EpochRate(**rate) for rate in state["rates"]]
        self._objective.reference_loss = state["reference_loss"]
        self._objective.percent = state["percent"]
        self._lr_max = state["lr_max"]
        self._last_good = state["last_good"]
        self.anchor = state["anchor"]
        self._guard_state = state["guard"]
        self._resume = ResumePoint(state["resume"]) if state["resume"] is not None else None

    def _search(self, trainer: Trainer, pl_module: LightningModule, fetcher: Any, run: Callable[[Any], None]) -> None:
        assert self.plan is not None
        settings, epoch = self._settings, trainer.current_epoch
        plan = self._epoch_plan()
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
        )
        with runner:
            if plan.n_trials > 1 or runner.replay:
                self._say_stateful(runner.stateful)
            current = runner.rates.reference
            anchor = self._guard.anchor_value if self._guard is not None else 1.0
            proposals, around = self._proposals(epoch, plan, current)
            record = scheduler.search(runner, proposals, epoch=epoch, current_lr=current, around=around)
            record = self._completed(record, plan, proposals, anchor)
        self._mark = None
        self._say_once(f"candidates are ranked by {self._objective.name}; read were: {self._keys.taken}")
        self._add(trainer, record)
        log_to_loggers(trainer, _summary(record))
        if record.chosen is None:
            runner.train_natively(self._rate_after_divergence(record))
            return
        self._last_good = record.chosen.lr
        trained_at = runner.commit(record.chosen.lr)
        if trained_at != record.chosen.lr:
            self._note_rollback(trainer, record, trained_at)

    def _train_watched(
        self, trainer: Trainer, pl_module: LightningModule, fetcher: Any, run: Callable[[Any], None]
    ) -> None:
        runner = self._runner(trainer, pl_module, fetcher, run, replay=False, plan=None, once=True)
        with runner:
            current = runner.rates.reference
        self._mark = None
        trained_at = runner.train_natively(current)
        if trained_at != current:
            self._warn_of_rollback(trainer.current_epoch, current, trained_at)

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
            guard=self._guard,
            replay=replay,
            once=once,
            scoring=self._scoring,
            until=self.plan.until(plan) if plan is not None and plan.n_trials > 1 else None,
            drop_at=policy.drop_at if plan is not None and plan.wide and plan.n_trials > 1 else None,
            sane=self._is_sane if policy.guard else None,
        )

    def _epoch_plan(self) -> EpochPlan:
        assert self.plan is not None
        plan = self.plan.epoch_plan(first=not self.history)
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
            seed=self._seed_of(record.epoch),
            policy=self._settings.policy.name,
            anchor=anchor,
            fraction=plan.fraction,
            scorings=record.scorings + guarded,
        )

    def _is_sane(self, outcome: Outcome) -> bool:
        """Whether the end of an epoch is to be kept: its loss is finite and has not exploded."""
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
        if LearningRates(trainer.optimizers, self._guard).reference <= 0.0:
            return "no optimizer has a learning rate above 0"
        return "nothing is trained in it" if not trains_weights(trainer) else None

    def _replays(self, trainer: Trainer) -> bool:
        if self._settings.commit == "replay":
            return True
        reason = needs_native_batches(trainer)
        if reason is not None:
            self._say_once(f"commit='copy' becomes 'replay' in this run, because of {reason}")
        return reason is not None

    def _range(self) -> tuple[float, float]:
        """Lowest and highest rate at the height of the anchor."""
        assert self._guard is not None
        low, high = default_range(self._guard.optimizers)
        low = self._settings.lr_min if self._settings.lr_min is not None else low
        high = self._settings.lr_max if self._settings.lr_max is not None else max(high, 10.0 * low)
        low = low if low < high else high / 1e4
        high = min(high, self._lr_max)
        # where a divergence has lowered the range's end below its beginning, the range goes down with it
        return (low if low < high else high / LOWERED), high

    def _proposals(self, epoch: int, plan: EpochPlan, current: float) -> tuple[Search, list[float]]:
        assert self._guard is not None
        low, high = (rate * self._guard.anchor_value for rate in self._range())
        around: list[float] = []
        if plan.factor is not None:
            near, far = current / plan.factor, current * plan.factor
            low, high = (max(low, near), min(high, far)) if low < current < high else (near, far)
            around = [rate for rate in (high, low) if rate != current]
        settings = self._settings
        kind = settings.policy.search if settings.candidates is None else "list"
        search = make_search(
            kind,
            LearningRateSpace(low, high),
            seed=self._seed_of(epoch),
            n_initial=plan.n_initial,
            n_trials=plan.n_trials,
            candidates=settings.candidates,
            # in a region the best rate may as well lie at an end
            **({"inside": 0.0} if around and kind == "gamma" else {}),
        )
        return search, around if settings.candidates is None else []

    def _seed_of(self, epoch: int) -> int:
        # one stream of its own for each epoch, so that a resumed run proposes what the other would have
        return int(np.random.SeedSequence([self._settings.seed, epoch]).generate_state(1)[0])

    def _rate_after_divergence(self, record: EpochRecord) -> float:
        lowest = min(result.lr for result in record.results)
        self._lr_max = min(self._lr_max, lowest / record.anchor / LOWERED)
        highest = self._lr_max * record.anchor
        good = self._last_good
        rate = good if good is not None and good < lowest else highest
        rank_zero_warn(
            f"GammaLRSearch: in epoch {record.epoch} {record.reason}; it is trained at {rate:.2e} from the state at "
            f"its start, and rates above {highest:.2e} are not proposed any more"
        )
        return rate

    def _note_rollback(self, trainer: Trainer, record: EpochRecord, trained_at: float) -> None:
        assert record.chosen is not None
        self._lr_max = min(self._lr_max, record.chosen.lr / record.anchor / 2.0)
        self._last_good = trained_at
        self._warn_of_rollback(record.epoch, record.chosen.lr, trained_at)
        reason = f"{record.reason}; the epoch then diverged and was trained again at {trained_at:.2e}"
        self._add(trainer, replace(record, reason=reason, train_passes=record.train_passes + 1.0))

    def _warn_of_rollback(self, epoch: int, rate: float, trained_at: float) -> None:
        rank_zero_warn(
            f"GammaLRSearch: epoch {epoch} diverged at {rate:.2e}; it was put back to its start and trained at "
            f"{trained_at:.2e}. Loggers and batch hooks have seen both"
        )

    def _keep_rates(self, trainer: Trainer) -> None:
        """From now on the rates are the search's: schedulers are scaled or set aside, the anchor begins."""
        mode, self.anchor = self._mode(trainer)
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        self._guard = RateGuard(schedulers, trainer.optimizers, mode=mode, anchor=self.anchor, state=self._guard_state)
        self._guard_state = self._guard_state or self._guard.state_dict()
        self._guard.follow(progress_of(trainer, 0))
        if schedulers and mode != "scale":
            names = ", ".join(sorted({type(scheduler).__name__ for scheduler in schedulers}))
            rank_zero_warn(
                f"GammaLRSearch sets {names} aside from epoch {trainer.current_epoch} on: the search writes the "
                "learning rate. Choose lr_schedulers='scale' to have it multiply what the scheduler schedules."
            )

    def _mode(self, trainer: Trainer) -> tuple[Mode, Any]:
        anchor, schedulers = self._settings.policy.anchor, self._settings.lr_schedulers
        users = bool(trainer.lr_scheduler_configs) and anchor in ("auto", "scheduler") and schedulers is None
        if schedulers == "scale" or users:
            return "scale", "scheduler"
        if anchor == "constant":
            return "aside", anchor
        known = self.plan is not None and self.plan.shape.epochs is not None
        if not known and anchor != "plateau":
            why = "" if anchor == "auto" else f", so anchor={anchor!r} has no end to lead to"
            self._say_once(f"the length of the run is not known{why}: the rate is lowered where the loss stalls")
        return "anchor", ("plateau" if not known else "cosine" if anchor == "auto" else anchor)

    def _add(self, trainer: Trainer, record: EpochRecord) -> None:
        known = [old for old in self.history if old.epoch != record.epoch]
        self.history.replace([*known, record])
        if self._settings.history_file is not None and trainer.is_global_zero:
            self.history.save(self._settings.history_file)

    def _note_mark(self, mark: LoaderMark) -> None:
        self._mark = mark

    def _be_idle(self, why: str) -> None:
        self.idle = why
        self._say_once(f"no epoch is searched: {why}")

    def _say_stateful(self, paths: list[str]) -> None:
        if paths:
            shown = ", ".join(paths[:3])
            message = f"{shown}: a live iterator cannot be put back; it goes on from epoch trained to epoch trained"
            self._say_once(message, say=rank_zero_warn)

    def _say_once(self, message: str, say: Callable[[str], None] = rank_zero_info) -> None:
        if message not in self._said:
            self._said.add(message)
            say(f"GammaLRSearch: {message}")


def _outcome_of(metrics: Any) -> Outcome:
    return Outcome(state=TrialState.COMPLETE, metrics={k: float(v) for k, v in metrics.items() if v.numel() == 1})


def _scoring_loader(wanted: Any, trainer: Trainer, pl_module: LightningModule) -> Any:
    """The loader that candidates are scored on, where the user names one: itself, or a method's name."""
    if not isinstance(wanted, str):
        return wanted
    for owner in (getattr(trainer, "datamodule", None), pl_module):
        if callable(getattr(owner, wanted, None)):
            return getattr(owner, wanted)()
    raise ValueError(
        f"GammaLRSearch(score_dataloader={wanted!r}): neither the data module nor the module has a method of that name "
        "that gives a loader; write one, or pass the loader itself"
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
