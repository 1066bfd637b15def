"""One fit's search: what was learned so far, and how an epoch is searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from lightning_gammabo.bayesopt import LearningRateSpace, Search, make_search
from lightning_gammabo.determinant import Determinant
from lightning_gammabo.epoch_runner import EpochRunner, make_iterator, watch_loader
from lightning_gammabo.learning_rate import LearningRates, SchedulerGuard
from lightning_gammabo.metric_names import MetricKeys
from lightning_gammabo.objective import Objective
from lightning_gammabo.records import EpochRecord, SearchHistory
from lightning_gammabo.report.progress import make_progress
from lightning_gammabo.resume import ResumePoint
from lightning_gammabo.scheduler import HyperparameterScheduler
from lightning_gammabo.settings import SearchSettings
from lightning_gammabo.showcase import Showcase
from lightning_gammabo.trainer_state import (
    LoaderMark,
    check_lightning,
    goes_on_inside,
    log_to_loggers,
    needs_native_batches,
    trains_weights,
)

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["FitSession"]

LOWERED = 10.0
"""where all candidates diverged, rates from a tenth of the lowest of them on are not proposed any more"""


class FitSession:
    """What a callback learns during one fit.

    Args:
        settings: what was asked for.

    Attributes:
        history: the records so far.
        idle: why nothing is searched in this fit, or None.
        showcase: pictures and report.
    """

    def __init__(self, settings: SearchSettings) -> None:
        self.history = SearchHistory()
        self.idle: str | None = None
        self.showcase = Showcase(log_figures=settings.log_figures, report_file=settings.report_file)
        self._settings = settings
        self._objective = Objective(
            settings.objective, kappa_lambda=settings.kappa_lambda, mode=settings.objective_mode
        )
        self._keys = MetricKeys(self._objective, settings.monitor_loss, settings.monitor_accuracy)
        self._lr_max = settings.lr_max
        self._last_good: float | None = None
        self._multiplier = 1.0
        self._guarded = False
        self._guard: SchedulerGuard | None = None
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
            ValueError: if there are LR schedulers and they are refused.
        """
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._be_idle("fast_dev_run is on")
        elif not LearningRates(trainer.optimizers).current():
            self._be_idle("the module configures no optimizer that has a learning rate")
        if self.idle is not None:
            return
        check_lightning(trainer)
        if trainer.lr_scheduler_configs and self._settings.lr_schedulers == "error":
            names = sorted({type(config.scheduler).__name__ for config in trainer.lr_scheduler_configs})
            raise ValueError(
                f"GammaLRSearch(lr_schedulers='error'): the module configures {', '.join(names)}. Remove the LR "
                "scheduler, or choose lr_schedulers='override' (set it aside) or 'scale' (multiply what it schedules)"
            )
        self._unwatch = watch_loader(trainer, self._note_mark)

    def begin(self, trainer: Trainer) -> None:
        """Go on exactly where a checkpoint was written.

        Args:
            trainer: the Trainer, in ``on_train_start``.
        """
        if self._resume is not None:
            self._resume.restore(trainer)
        if self._guarded:
            self._guard_schedulers(trainer)

    def plan(self, trainer: Trainer) -> bool:
        """Whether the epoch that starts is to be taken over.

        Args:
            trainer: the Trainer, in ``on_train_epoch_start``.

        Returns:
            True to have :meth:`run_epoch` called in place of the epoch loop.
        """
        return self.idle is None and (self._resume is not None or self._settings.searches(trainer.current_epoch))

    def run_epoch(self, trainer: Trainer, pl_module: LightningModule, fetcher: Any, run: Callable[[Any], None]) -> None:
        """Search the epoch, commit and record it.

        Args:
            trainer: the Trainer, inside the epoch.
            pl_module: the user's module.
            fetcher: the data fetcher.
            run: the Trainer's own way to train the epoch.
        """
        if goes_on_inside(trainer):
            self._finish_restarted(trainer, fetcher, run)
            return
        if self._resume is not None:
            # the run that never stopped makes its iterator now; Lightning made this one's before the epoch's hooks
            self._mark = make_iterator(trainer, fetcher) or self._mark
            self._resume = None
        if not self._settings.searches(trainer.current_epoch):
            run(fetcher)
            return
        if self._guard is None:
            self._guard_schedulers(trainer)
        reason = self._nothing_to_search(trainer)
        if reason is not None:
            self._say_once(f"epoch {trainer.current_epoch} is not searched: {reason}")
            run(fetcher)
            return
        self._search(trainer, pl_module, fetcher, run)

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
        return {
            "history": [record.to_dict() for record in self.history],
            "confusion": dict(self.showcase.confusion),
            "reference_loss": self._objective.reference_loss,
            "percent": self._objective.percent,
            "lr_max": self._lr_max,
            "last_good": self._last_good,
            "multiplier": self._guard.multiplier if self._guard is not None else self._multiplier,
            "guarded": self._guard is not None,
            "resume": ResumePoint.take(trainer) if trainer is not None else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Args:
            state: that dictionary.
        """
        self.history = SearchHistory(EpochRecord.from_dict(record) for record in state["history"])
        self.showcase.confusion = dict(state.get("confusion", {}))
        self._objective.reference_loss = state["reference_loss"]
        self._objective.percent = state["percent"]
        self._lr_max = state["lr_max"]
        self._last_good = state["last_good"]
        self._multiplier = state["multiplier"]
        self._guarded = state["guarded"]
        self._resume = ResumePoint(state["resume"]) if state["resume"] is not None else None

    def _search(self, trainer: Trainer, pl_module: LightningModule, fetcher: Any, run: Callable[[Any], None]) -> None:
        settings, epoch = self._settings, trainer.current_epoch
        replay = self._replays(trainer)
        runner = EpochRunner(
            trainer,
            pl_module,
            fetcher,
            run,
            mark=self._mark,
            guard=self._guard,
            replay=replay,
            once=settings.n_trials == 1 and not replay,
        )
        progress = make_progress(trainer) if settings.progress else None
        scheduler = HyperparameterScheduler(
            self._objective, self._keys, Determinant(), n_trials=settings.n_trials, progress=progress
        )
        with runner:
            if settings.n_trials > 1 or runner.replay:
                self._say_stateful(runner.stateful)
            current = runner.rates.reference
            record = scheduler.search(runner, self._proposals(epoch), epoch=epoch, current_lr=current)
        self._mark = None
        self._say_once(f"candidates are ranked by {self._objective.name}; read were: {self._keys.taken}")
        self.history.append(record)
        self._write_history(trainer)
        log_to_loggers(trainer, _summary(record))
        self.showcase.searched(trainer, self.history)
        if record.chosen is not None:
            self._last_good = record.chosen.lr
            runner.commit(record.chosen.lr)
        else:
            runner.train_natively(self._rate_after_divergence(record))

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

    def _proposals(self, epoch: int) -> Search:
        settings = self._settings
        # where a divergence has lowered the range's end below its beginning, the range goes down with it
        lr_min = settings.lr_min if settings.lr_min < self._lr_max else self._lr_max / LOWERED
        space = LearningRateSpace(lr_min, self._lr_max)
        kind = settings.search if settings.candidates is None else "list"
        return make_search(
            kind,
            space,
            # one stream of its own for each epoch, so that a resumed run proposes what the other would have
            seed=int(np.random.SeedSequence([settings.seed, epoch]).generate_state(1)[0]),
            n_initial=settings.n_initial,
            n_trials=settings.n_trials,
            candidates=settings.candidates,
        )

    def _rate_after_divergence(self, record: EpochRecord) -> float:
        lowest = min(result.lr for result in record.results)
        self._lr_max = min(self._lr_max, lowest / LOWERED)
        good = self._last_good
        rate = good if good is not None and good < lowest else self._lr_max
        rank_zero_warn(
            f"GammaLRSearch: in epoch {record.epoch} {record.reason}; it is trained at {rate:.2e} from the state at "
            f"its start, and rates above {self._lr_max:.2e} are not proposed any more"
        )
        return rate

    def _guard_schedulers(self, trainer: Trainer) -> None:
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        scale = self._settings.lr_schedulers == "scale"
        self._guard = SchedulerGuard(schedulers, trainer.optimizers, scale=scale, multiplier=self._multiplier)
        if schedulers and not scale:
            names = ", ".join(sorted({type(scheduler).__name__ for scheduler in schedulers}))
            rank_zero_warn(
                f"GammaLRSearch sets {names} aside from epoch {trainer.current_epoch} on: the search writes the "
                "learning rate. Choose lr_schedulers='scale' to have it multiply what the scheduler schedules."
            )

    def _write_history(self, trainer: Trainer) -> None:
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
