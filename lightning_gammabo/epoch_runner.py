"""Trains and validates candidate epochs natively: by the Trainer's own loops, on the user's own module.

One of the two files that know Lightning's insides (the other is :mod:`lightning_gammabo.trainer_state`).

The search happens *inside* ``epoch_loop.run``, for which :func:`arm` puts a stand-in: by then every hook at the start
of the epoch has run, once, as in a plain fit. For each candidate the state is put back to that moment, the rate is
set, and the true ``epoch_loop.run`` trains the epoch with the user's callbacks and loggers set aside. Just before the
epoch's tail (``on_advance_end`` of the last batch: validation, plateau schedulers, counters) the end state is noted
and the candidate is validated for its score. Then one of them is committed:

* ``copy``: its end state is put back and the true tail runs, with the user's callbacks and loggers;
* ``replay``: the start state is put back and the epoch is trained natively once more, every batch hook included.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from lightning_gammabo.batch_tape import BatchTape, TapeShelf
from lightning_gammabo.candidate_hooks import (
    Diverged,
    LoggerTape,
    Probe,
    stand_ins,
    takes_part,
)
from lightning_gammabo.learning_rate import LearningRates, SchedulerGuard
from lightning_gammabo.ranks import mean_over_ranks
from lightning_gammabo.records import Outcome, TrialState
from lightning_gammabo.stand_in import replaced
from lightning_gammabo.trainer_state import (
    LoaderMark,
    TrainerState,
    module_of,
    overrides,
    train_loaders,
    unreplayable,
    val_loaders,
)

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = [
    "EpochRunner",
    "arm",
    "disarm",
    "make_iterator",
    "watch_loader",
]

Run = Callable[[Any], None]

_OUT_OF_MEMORY = (MemoryError, torch.cuda.OutOfMemoryError)


class _CandidateEnded(Exception):
    """A candidate's last batch is trained and validated; leaves the Trainer's loop."""


class EpochRunner:
    """Trains the epoch that is about to start, as often as asked, always from the same state.

    Use it as a context: where the block raises, the state is put back to what it was.

    Args:
        trainer: the Trainer, at the start of ``epoch_loop.run``.
        pl_module: the user's module.
        fetcher: the data fetcher that ``run`` was called with.
        run: the true ``epoch_loop.run``.
        mark: the moment at which the fetcher's iterator was made, or None.
        guard: the guard of the LR schedulers, or None.
        replay: whether the winner's epoch is trained once more instead of copied.
        once: whether no more than one epoch will be trained: then batches need not be had again.

    Attributes:
        rates: the learning rates at the start of the epoch.
        stateful: paths of iterators in the user's objects that cannot be put back.
    """

    def __init__(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        fetcher: Any,
        run: Run,
        *,
        mark: LoaderMark | None,
        guard: SchedulerGuard | None,
        replay: bool,
        once: bool = False,
    ) -> None:
        self.rates = LearningRates(trainer.optimizers, guard)
        self.stateful: list[str] = []
        self.replay = replay
        self._trainer = trainer
        self._module = pl_module
        self._loop: Any = trainer.fit_loop.epoch_loop
        self._fetcher = fetcher
        self._run = run
        # where Lightning will not make an iterator itself, the one made before is used, and for the next candidate
        # another has to be made like it
        made_before = not _makes_iterator(trainer)
        self._mark = mark if made_before else None
        reason = unreplayable(train_loaders(trainer))
        if made_before and (mark is None or fetcher.fetched != mark.fetched):
            reason = reason or "the first epoch's iterator was made, or partly used, by something else"
        keeps = reason is not None and not once
        self._tape = BatchTape(fetcher, reason or "", started=made_before) if keeps else None
        self._shelf = TapeShelf() if unreplayable(val_loaders(trainer)) is not None else None
        self._taking_part = [callback for callback in trainer.callbacks if takes_part(callback)]  # type: ignore[attr-defined]
        self._taking_part += [guard] if guard is not None else []
        self._observed = [callback for callback in self._taking_part if callback is not guard]
        self._loggers = [LoggerTape(logger) for logger in trainer.loggers]
        self._fresh = True
        self._ended: TrainerState | None = None
        self._leader: _EndState | None = None
        self._logged: list[Any] = []
        self._tail = False

    def __enter__(self) -> EpochRunner:
        self._start = self._state()
        self.stateful = [path for path in self._start.unheld if path.startswith(("module", "datamodule", "callback"))]
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._rewind()

    def agree(self, value: Any) -> Any:
        """One value for all ranks: that of rank 0.

        Args:
            value: this rank's value.

        Returns:
            Rank 0's value.
        """
        return self._trainer.strategy.broadcast(value) if self._trainer.world_size > 1 else value

    def baseline(self) -> Outcome | None:
        """Validate the state at the start of the epoch, and leave no trace of it.

        Returns:
            What the validation gave; None where its batches could not be had again afterwards.
        """
        if self._shelf is not None:
            return None
        began = time.perf_counter()
        with self._set_aside() as probe:
            metrics = self._validate()
            outcome = self._outcome_of(TrialState.COMPLETE, probe, metrics, began)
        self._fresh = False
        return outcome

    def train(self, lr: float) -> Outcome:
        """Train the epoch from the start state at one rate, and validate it.

        Args:
            lr: the reference rate.

        Returns:
            What came of it; DIVERGED where a loss turned non-finite, FAILED where memory ran out.
        """
        began = time.perf_counter()
        if not self._fresh:
            self._rewind()
        self._fresh = False
        self._ended = None
        self.rates.set(lr)
        with self._set_aside() as probe:
            try:
                metrics = self._train_to_the_end()
            except Diverged as diverged:
                return self._outcome_of(TrialState.DIVERGED, probe, {}, began, str(diverged))
            except _OUT_OF_MEMORY as error:
                torch.cuda.empty_cache()
                return self._outcome_of(TrialState.FAILED, probe, {}, began, f"out of memory: {error}")
            return self._outcome_of(TrialState.COMPLETE, probe, metrics, began)

    def keep(self) -> None:
        """Hold the end state of the candidate trained last: it leads."""
        if self.replay or self._ended is None:
            return
        older = self._leader.state if self._leader is not None else None
        self._leader = None  # its copies are written over
        if not self._ended.hold_weights(reuse=older):
            # the validation itself wrote to weights: their state before it is gone, so it is trained again
            self.replay = True
            return
        self._leader = _EndState(self._ended, self._logged, self._tail)

    def commit(self, lr: float) -> None:
        """Make the winner's epoch the training's epoch.

        Args:
            lr: the winner's reference rate.
        """
        if self._leader is None:
            self.train_natively(lr)
            return
        self._leader.state.restore()
        del self._start  # its memory is the training's again
        if self._shelf is not None:
            self._shelf.rewind()
        for tape, calls in zip(self._loggers, self._leader.calls, strict=True):
            tape.play(calls)
        self._show_epoch_as_done()
        if self._leader.tail:
            with self._kept_validation():
                try:
                    self._loop.on_advance_end(self._fetcher)
                finally:
                    _iteration_done(self._loop)

    def train_natively(self, lr: float) -> None:
        """Train the epoch from the start state with everything of the user's in its place.

        Args:
            lr: the reference rate.
        """
        if not self._fresh:
            self._rewind()
        del self._start  # its memory is the training's again
        self.rates.set(lr)
        with self._kept_validation():
            self._run(self._tape or self._fetcher)

    def _state(self, **options: Any) -> TrainerState:
        kept = {"data": self._tape is None, "validation": self._shelf is None}
        return TrainerState(self._trainer, callbacks=self._taking_part, **kept, **options)

    def _rewind(self) -> None:
        if self._tape is not None:
            self._tape.rewind()
        if self._shelf is not None:
            self._shelf.rewind()
        try:
            if self._tape is None and self._mark is not None:
                self._mark.restore()
                iter(self._fetcher)
        finally:
            self._start.restore()

    def _train_to_the_end(self) -> dict[str, float]:
        reached: list[dict[str, float]] = []

        def last_or_native(fetcher: Any) -> None:
            if not self._loop.done:
                native(fetcher)
                return
            reached.append(self._reach_end(fetcher, tail=True))
            raise _CandidateEnded

        native = self._loop.on_advance_end
        with replaced(self._loop, "on_advance_end", last_or_native), contextlib.suppress(_CandidateEnded):
            self._run(self._tape or self._fetcher)
        # the data, or the module's on_train_batch_start, ended the epoch without a tail
        return reached[0] if reached else self._reach_end(self._fetcher, tail=False)

    def _reach_end(self, fetcher: Any, *, tail: bool) -> dict[str, float]:
        self._tail = tail
        frees = not self._loop._should_accumulate()
        native = tail and frees and self._loop._should_check_val_fx(fetcher)
        # Lightning frees the gradients before it validates: then there is no need to hold them
        held = not native or overrides(self._module, "on_validation_model_zero_grad")
        if not self.replay:
            self._ended = self._state(defer=True, grads=held)
            self._logged = [tape.take() for tape in self._loggers]
        if frees:
            self._module.on_validation_model_zero_grad()
        return self._validate()

    def _validate(self) -> dict[str, float]:
        connector: Any = self._trainer._logger_connector
        if self._trainer.enable_validation:
            first = connector._first_loop_iter
            self._trainer.validating = True
            try:
                self._loop.val_loop.run()
            finally:
                self._trainer.training = True
                connector._first_loop_iter = first
        # what stands there from earlier epochs is still the same object
        fresh = {k: v for k, v in connector._callback_metrics.items() if v is not self._metrics_at_start.get(k)}
        return {k: float(v) for k, v in fresh.items() if v.numel() == 1}

    @contextlib.contextmanager
    def _kept_validation(self) -> Iterator[None]:
        shelf, module = self._shelf, module_of(self._loop.val_loop, "reset")
        if shelf is None:
            yield
            return
        select = module._select_data_fetcher

        def select_kept(*args: Any, **kwargs: Any) -> Any:
            fetcher = select(*args, **kwargs)
            # a step that takes the iterator itself reads past a fetcher's batches
            return fetcher if hasattr(fetcher, "_batch_idx") else shelf.tape_for(fetcher)

        with replaced(module, "_select_data_fetcher", select_kept):
            yield

    @contextlib.contextmanager
    def _set_aside(self) -> Iterator[Probe]:
        trainer: Any = self._trainer
        probe = Probe(
            lambda flag: bool(trainer.strategy.reduce_boolean_decision(flag, all=False)),
            distributed=trainer.world_size > 1,
            synchronises=trainer.strategy.root_device.type != "cpu",
        )
        for tape in self._loggers:
            tape.clear()
        self._metrics_at_start = dict(trainer._logger_connector._callback_metrics)
        self._steps_at_start = trainer.global_step
        with (
            replaced(trainer, "callbacks", [*stand_ins(self._observed), probe]),
            replaced(trainer, "_loggers", list(self._loggers)),
            replaced(trainer, "save_checkpoint", _no_checkpoint),
            self._kept_validation(),
        ):
            yield probe

    def _outcome_of(
        self, state: TrialState, probe: Probe, metrics: dict[str, float], began: float, message: str = ""
    ) -> Outcome:
        total = self._trainer.num_training_batches
        known = isinstance(total, int) and total > 0
        losses = {"train": probe.train_loss, "validation": probe.val_loss}
        ran_validation = False
        if state is TrialState.COMPLETE:  # where one rank is, all are
            metrics = mean_over_ranks(metrics, self._trainer.world_size)
            losses |= mean_over_ranks({k: v for k, v in losses.items() if v is not None}, self._trainer.world_size)
            ran_validation = self._trainer.enable_validation
        return Outcome(
            state=state,
            metrics=metrics,
            train_loss=losses["train"],
            val_loss=losses["validation"],
            steps=self._trainer.global_step - self._steps_at_start,
            passes=probe.batches / total if known else float(probe.batches > 0),
            val_passes=float(ran_validation),
            seconds=time.perf_counter() - began,
            message=message,
        )

    def _show_epoch_as_done(self) -> None:
        bar: Any = self._trainer.progress_bar_callback
        with contextlib.suppress(Exception):  # a picture only
            if bar is not None and bar.is_enabled:
                last = self._loop.batch_progress.current.ready - 1
                bar.on_train_batch_end(self._trainer, self._module, None, None, last)


class _EndState:
    __slots__ = ("calls", "state", "tail")

    def __init__(self, state: TrainerState, calls: list[Any], tail: bool) -> None:
        self.state = state
        self.calls = calls
        self.tail = tail


def arm(trainer: Trainer, search: Callable[[Any, Run], None]) -> None:
    """Let ``search`` have the next epoch.

    Args:
        trainer: the Trainer, in ``on_train_epoch_start``.
        search: called once in place of ``epoch_loop.run``, with its argument and the true ``run``.
    """
    loop: Any = trainer.fit_loop.epoch_loop
    disarm(trainer)
    run = loop.run

    def searched_run(fetcher: Any) -> None:
        disarm(trainer)
        search(fetcher, run)

    loop.run = searched_run


def disarm(trainer: Trainer) -> None:
    """Take the stand-in of :func:`arm` away, if it is still there.

    Args:
        trainer: the Trainer.
    """
    loop: Any = trainer.fit_loop.epoch_loop
    loop.__dict__.pop("run", None)


def watch_loader(trainer: Trainer, note: Callable[[LoaderMark], None]) -> Callable[[], None]:
    """Take a :class:`LoaderMark` whenever Lightning makes the training loader's iterator ahead of an epoch.

    Args:
        trainer: the Trainer, before ``fit_loop.run``.
        note: called with each mark.

    Returns:
        A function that ends the watch.
    """
    fit_loop: Any = trainer.fit_loop
    native = fit_loop.setup_data
    module = module_of(fit_loop, "setup_data")
    select = module._select_data_fetcher

    marks: list[LoaderMark] = []

    def select_and_note(*args: Any, **kwargs: Any) -> Any:
        if fit_loop._combined_loader is not None:
            # the iterator is made right after this
            marks.append(LoaderMark(trainer, fit_loop._combined_loader))
        return select(*args, **kwargs)

    def setup_data() -> None:
        marks.clear()
        with replaced(module, "_select_data_fetcher", select_and_note):
            native()
        for mark in marks:
            mark.fetched = fit_loop._data_fetcher.fetched
            note(mark)

    fit_loop.setup_data = setup_data
    return lambda: fit_loop.__dict__.pop("setup_data", None)


def make_iterator(trainer: Trainer, fetcher: Any) -> LoaderMark | None:
    """Make the training loader's iterator anew, now, where ``epoch_loop.run`` will not make one.

    Args:
        trainer: the Trainer, at the start of ``epoch_loop.run``.
        fetcher: the data fetcher.

    Returns:
        The moment at which it was made, or None if Lightning will make one itself.
    """
    if _makes_iterator(trainer):
        return None
    mark = LoaderMark(trainer, trainer.fit_loop._combined_loader)
    iter(fetcher)
    mark.fetched = fetcher.fetched
    return mark


def _makes_iterator(trainer: Trainer) -> bool:
    """Whether ``epoch_loop.run`` will make the fetcher's iterator itself.

    Args:
        trainer: the Trainer, at the start of ``epoch_loop.run``.

    Returns:
        False in the first epoch of a fit.
    """
    resuming = getattr(trainer.fit_loop, "is_resuming", False)
    return trainer.current_epoch > 0 and not resuming and not trainer.fit_loop.epoch_loop.restarting


def _iteration_done(loop: Any) -> None:
    if hasattr(loop, "on_iteration_done"):  # Lightning 2.5 on
        loop.on_iteration_done()
    else:
        loop._restarting = False


def _no_checkpoint(*args: Any, **kwargs: Any) -> None:
    """A candidate's weights are never written."""
