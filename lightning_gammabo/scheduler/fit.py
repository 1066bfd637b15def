"""One fit's search: what was learned so far, and how an epoch is searched."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import Objective
from lightning_gammabo.learning_rate.annealing import progress_of
from lightning_gammabo.learning_rate.controller import LearningRates
from lightning_gammabo.policy import make_policy
from lightning_gammabo.records import SearchHistory
from lightning_gammabo.records.run import RunShape
from lightning_gammabo.report.progress import shielded
from lightning_gammabo.report.publish import Publisher
from lightning_gammabo.scheduler.announcement import announce, plan_in_words
from lightning_gammabo.scheduler.arguments import Cap, SearchArguments, check_paths
from lightning_gammabo.scheduler.epoch import EpochSearch
from lightning_gammabo.scheduler.epoch_end import EpochEnds, run_info
from lightning_gammabo.scheduler.epoch_start import EpochStart
from lightning_gammabo.scheduler.recorder import Recorder
from lightning_gammabo.scheduler.recovery import Recovery
from lightning_gammabo.scheduler.run_plan import FORWARD, RunPlan
from lightning_gammabo.scheduler.run_rates import RunRates
from lightning_gammabo.scheduler.search_range import SearchRange
from lightning_gammabo.trainer.before_fit import loaders_attached
from lightning_gammabo.trainer.compat import remarks
from lightning_gammabo.trainer.epoch_loop import make_iterator, watch_loader
from lightning_gammabo.trainer.epoch_runner import EpochRunner
from lightning_gammabo.trainer.inspection import (
    batches_done,
    check_lightning,
    goes_on_inside,
    needs_native_batches,
    shape_of_run,
    trains_weights,
)
from lightning_gammabo.trainer.messages import Messages, inform, warn
from lightning_gammabo.trainer.snapshot.checkpoint import ResumePoint
from lightning_gammabo.trainer.snapshot.loaders import LoaderMark
from lightning_gammabo.trainer.validation_subset import ScoringSet, scoring_loader

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["FitSession"]


class FitSession:
    """What a callback learns during one fit.

    Args:
        given: the callback's arguments.

    Attributes:
        recorder: the records so far.
        rates: the rates of the fit.
        idle: why nothing is searched in this fit, or None.
        publisher: pictures and report.
        ends: what epochs end with.
        start: what is done at the start of an epoch.
        plan: which epochs are searched and how; None before training starts.
    """

    def __init__(self, given: SearchArguments) -> None:
        self.idle: str | None = None
        self.publisher = Publisher(log_figures=given.log_figures, report=given.report, inform=inform, warn=warn)
        self.plan: RunPlan | None = None
        self._messages = Messages()
        self._given = given
        self._policy = make_policy(given.policy)
        self._objective = Objective(given.objective, mode=given.mode)
        logs, objective = given.log_metrics != "off", self._objective.name
        self.recorder = Recorder(given.history_file, self._messages, logs=logs, objective=objective)
        self._keys = MetricKeys(self._objective, given.monitor_loss, given.monitor_accuracy)
        self.rates = RunRates(self._policy.annealing, given.lr_schedulers, self._messages)
        self.ends = EpochEnds(self._objective, self._keys, self.rates, self.recorder)
        self._range = SearchRange(
            min_lr=given.min_lr,
            max_lr=given.max_lr,
            sampler=given.sampler,
            seed=given.seed,
            prior=self._policy.stop_below != "never",
            down=self._policy.later_direction == "down",
        )
        self._recovery = Recovery(self._range, self._objective, self._keys, self._messages)
        self.start = EpochStart(self._policy, self.rates, self._recovery, self._keys, self._messages)
        self._scoring = ScoringSet(None)
        self._mark: LoaderMark | None = None
        self._unwatch: Callable[[], object] | None = None
        self._resume: ResumePoint | None = None
        self._began: int | None = None  # epoch at which this fit, or the one that it resumes, began

    def go_on_from(self, earlier: FitSession, epoch: int) -> None:
        """Keep what earlier fits of the same Trainer found.

        Args:
            earlier: the session of the fit before.
            epoch: the epoch at which this fit begins; 0 where it begins anew.
        """
        self.recorder.go_on_from(earlier.recorder.whole, epoch)
        self.rates.by_epoch = [rate for rate in earlier.rates.by_epoch if rate.epoch < epoch]
        confusion = earlier.publisher.confusion
        self.publisher.confusion = {number: found for number, found in confusion.items() if number < epoch}

    def prepare(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the Trainer before it trains.

        Args:
            trainer: the Trainer, in ``on_fit_start``.
            pl_module: the user's module.

        Raises:
            ValueError: if the settings do not fit the module's LR schedulers or loaders.
        """
        if trainer.is_global_zero:
            check_paths(self._given)
            self.publisher.check(trainer.loggers)
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._be_idle("fast_dev_run is on")
        elif not LearningRates(trainer.optimizers).current():
            self._be_idle("the module configures no optimizer that has a learning rate")
        if self.idle is not None:
            return
        check_lightning(trainer)
        names = sorted({type(config.scheduler).__name__ for config in trainer.lr_scheduler_configs})
        if names and self._given.lr_schedulers == "error":
            raise ValueError(
                f"GammaLRSearch(lr_schedulers='error'): the module configures {', '.join(names)}. Remove the LR "
                "scheduler, or choose lr_schedulers='override' (set it aside) or 'scale' (multiply what it schedules)"
            )
        if not names and self._policy.annealing == "scheduler":
            raise ValueError(
                "SearchPolicy(annealing='scheduler'): the module configures no LR scheduler. Configure one, or choose "
                "annealing='cosine', 'linear', 'constant', 'plateau' or 'auto'"
            )
        scales = self._given.lr_schedulers == "scale" or self._policy.annealing == "scheduler"
        for remark in remarks(trainer, scales=scales, keeps_history=self._given.history_file is not None):
            self._messages.inform(remark)
        own = scoring_loader(self._given.val_dataloaders, trainer, pl_module)
        self._scoring = ScoringSet(self._scored, own, seed=self._given.seed, tells=self._keys.tells)
        self._unwatch = watch_loader(trainer, self._note_mark)

    def begin(self, trainer: Trainer) -> None:
        """Plan the run; go on exactly where a checkpoint was written.

        Args:
            trainer: the Trainer, in ``on_train_start``.
        """
        if self.idle is not None:
            return
        if self._began is None:
            # an epoch that a checkpoint was written within is trained to its end, and cannot be searched any more
            self._began = trainer.current_epoch + goes_on_inside(trainer)
        self.plan = self._plan_of(trainer)
        if self._resume is not None:
            self._resume.restore(trainer)
        self.rates.watch(trainer, epochs=self.plan.shape.epochs)
        book = self.recorder
        book.go_on_from(book.before, trainer.current_epoch)
        book.history.run = run_info(self._given, self._policy, self.plan, trainer, before=book.before.cost)
        announce(self.plan, self._given, self._messages, epoch=trainer.current_epoch, searched=len(book.history))

    def estimate(self, trainer: Trainer, pl_module: LightningModule, **data: Any) -> str:
        """The plan and its price before a fit.

        Args:
            trainer: a Trainer that does not fit.
            pl_module: the user's module.
            **data: loaders and data module, as ``trainer.fit`` takes them.

        Returns:
            The words that the fit would begin with.
        """
        with loaders_attached(trainer, pl_module, **data):
            own = scoring_loader(self._given.val_dataloaders, trainer, pl_module)
            self._scoring = ScoringSet(self._scored, own, seed=self._given.seed)
            return plan_in_words(self._plan_of(trainer), self._given)

    def enter_epoch(self, trainer: Trainer) -> bool:
        """Whether the epoch that starts is to be taken over.

        Args:
            trainer: the Trainer, in ``on_train_epoch_start``.

        Returns:
            True to have :meth:`run_epoch` called in place of the epoch loop.
        """
        controller = self.rates.controller
        if self.idle is not None or self.plan is None or controller is None:
            return False
        epochs = self.plan.shape.epochs_left
        self.start.look_back(trainer, self.recorder.history, epochs=epochs, resumed=self._resume is not None)
        # an epoch that ended early, or whose length nobody knew, has left the rate behind
        controller.follow(progress_of(trainer, batches_done(trainer)))
        watched = self._policy.recover and bool(self.recorder.history)
        return self._resume is not None or watched or self.plan.searches(trainer.current_epoch)

    def run_epoch(self, trainer: Trainer, pl_module: LightningModule, fetcher: Any, run: Callable[[Any], None]) -> None:
        """Search the epoch, commit and record it; or train it under watch.

        Args:
            trainer: the Trainer, inside the epoch.
            pl_module: the user's module.
            fetcher: the data fetcher.
            run: the Trainer's own way to train the epoch.
        """
        with shielded(trainer):
            self._run_epoch(trainer, pl_module, fetcher, run)

    def _run_epoch(
        self, trainer: Trainer, pl_module: LightningModule, fetcher: Any, run: Callable[[Any], None]
    ) -> None:
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
        search = EpochSearch(
            trainer,
            self._given,
            self.plan,
            rates=self.rates,
            search_range=self._range,
            recovery=self._recovery,
            scoring=self._scoring,
            recorder=self.recorder,
            objective=self._objective,
            keys=self._keys,
            messages=self._messages,
        )
        reason = (self._nothing_to_search(trainer) or search.too_dear()) if searched else None
        if reason is not None:
            self.ends.not_searched(trainer.current_epoch, reason)
            self._messages.inform(f"epoch {trainer.current_epoch} is not searched: {reason}")
        make_runner = functools.partial(
            EpochRunner, trainer, pl_module, fetcher, run, mark=self._mark, controller=self.rates.controller
        )
        self._mark = None
        if searched and reason is None:
            search.run(make_runner)
            self._learn_shape(trainer)
            self.publisher.searched(trainer, self.recorder.history)
        elif self._policy.recover and self.recorder.history and trains_weights(trainer):
            search.train_watched(make_runner)
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
            "history": self.recorder.history.to_dicts(),
            "before": self.recorder.before.to_dicts(),
            "ends": self.ends.state_dict(),
            "rates": self.rates.state_dict(),
            "confusion": dict(self.publisher.confusion),
            "reference_loss": self._objective.reference_loss,
            "percent": self._objective.percent,
            "began": self._began,
            "start": self.start.state_dict(trainer),
            "recovery": self._recovery.state_dict(ahead=trainer is not None and self.start.is_ahead(trainer)),
            "resume": ResumePoint.take(trainer) if trainer is not None else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Args:
            state: that dictionary.
        """
        self.recorder.history = SearchHistory.from_dicts(state["history"])
        self.recorder.before = SearchHistory.from_dicts(state["before"])
        self.ends.load_state_dict(state["ends"])
        self.rates.load_state_dict(state["rates"])
        self.publisher.confusion = dict(state.get("confusion", {}))
        self._objective.reference_loss = state["reference_loss"]
        self._objective.percent = state["percent"]
        self._began = state["began"]
        self.start.load_state_dict(state["start"])
        self._recovery.load_state_dict(state["recovery"])
        self._resume = ResumePoint(state["resume"]) if state["resume"] is not None else None

    @property
    def _scored(self) -> int | None:
        samples = self._policy.score_samples
        return None if samples == "all" else samples

    def _plan_of(self, trainer: Trainer) -> RunPlan:
        cap = Cap.parse(self._given.max_overhead)
        share = cap.share if cap.unit == "passes" else None
        return RunPlan(self._policy, self._shape_of(trainer), cap=share, sampler=self._given.sampler)

    def _shape_of(self, trainer: Trainer) -> RunShape:
        replays = self._given.commit == "replay" or needs_native_batches(trainer) is not None
        own = self._scoring.own_samples
        begin, lived = self._began or 0, self.rates.forecast is not None
        shape = shape_of_run(trainer, replays=replays, scored=self._scored, own=own, begin=begin, lived=lived)
        if shape.val_ratio is not None and not (self._scoring.unsized and trainer.enable_validation):
            return shape
        # what was counted in this fit, or in the one that it resumes
        run = self.recorder.history.run
        return replace(shape, val_ratio=self._scoring.ratio or (run.validation / FORWARD if run else 0.0) or None)

    def _learn_shape(self, trainer: Trainer) -> None:
        # before the first search some of it may be a guess: Lightning asks for the loaders when it validates
        if self.plan is not None:
            now = self._shape_of(trainer)
            self.plan.shape = replace(self.plan.shape, val_ratio=now.val_ratio, replays=now.replays, lived=now.lived)
            self.recorder.history.note_validation(self.plan.validation)

    def _finish_restarted(self, trainer: Trainer, fetcher: Any, run: Callable[[Any], None]) -> None:
        step = trainer.global_step
        run(fetcher)
        if self._resume is not None and trainer.global_step == step:
            # nothing was left to train: what the repeated validation drew was drawn before the checkpoint
            self._resume.restore(trainer)

    def _nothing_to_search(self, trainer: Trainer) -> str | None:
        if LearningRates(trainer.optimizers, self.rates.controller).reference <= 0.0:
            return "no optimizer has a learning rate above 0"
        return "nothing is trained in it" if not trains_weights(trainer) else None

    def _note_mark(self, mark: LoaderMark) -> None:
        self._mark = mark

    def _be_idle(self, why: str) -> None:
        self.idle = why
        self._messages.inform(f"no epoch is searched: {why}")
