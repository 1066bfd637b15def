"""Trains the epoch that is about to start as often as asked, and commits one of the outcomes."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_gammabo.batch_norm import RunningStatistics
from lightning_gammabo.batch_tape import BatchTape
from lightning_gammabo.candidate_hooks import LoggerTape, OnlyHooks, nothing, stand_ins, takes_part
from lightning_gammabo.epoch_runner.arming import Run, makes_iterator
from lightning_gammabo.epoch_runner.scoring import ScoringSet, running_sums
from lightning_gammabo.epoch_runner.validation import Validation
from lightning_gammabo.learning_rate import LearningRates
from lightning_gammabo.probe import Diverged, Dropped, Probe
from lightning_gammabo.ranks import joined_over_ranks, mean_over_ranks
from lightning_gammabo.rate_guard import RateGuard
from lightning_gammabo.records import Outcome, TrialState
from lightning_gammabo.stand_in import replaced
from lightning_gammabo.trainer_state import LoaderMark, TrainerState, overrides, train_loaders, unreplayable

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["EpochRunner"]

_OUT_OF_MEMORY = (MemoryError, torch.cuda.OutOfMemoryError)
BACK_OFF = 4.0
"""an epoch that diverged after its search is trained again at its rate divided by this"""
_TRIES = 3
_RATE_HOOKS = ("on_train_batch_start", "on_train_batch_end")

Sane = Callable[[Outcome], bool]


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
        guard: the guard of the rates.
        replay: whether the winner's epoch is trained once more instead of copied.
        once: whether no more than one epoch will be trained: then batches need not be had again.
        scoring: what candidates are scored on.
        until: batches that a candidate trains; None for the whole epoch.
        drop_at: share of a candidate's batches after which a hopeless one is dropped; None for never.
        sane: says of the end of the committed epoch whether it is to be kept; None to keep whatever it is.

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
        guard: RateGuard | None,
        replay: bool,
        once: bool = False,
        scoring: ScoringSet | None = None,
        until: int | None = None,
        drop_at: float | None = None,
        sane: Sane | None = None,
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
        made_before = not makes_iterator(trainer)
        self._mark = mark if made_before else None
        reason = unreplayable(train_loaders(trainer))
        if made_before and (mark is None or fetcher.fetched != mark.fetched):
            reason = reason or "the first epoch's iterator was made, or partly used, by something else"
        keeps = reason is not None and not once
        self._tape = BatchTape(fetcher, reason or "", started=made_before) if keeps else None
        self._validation = Validation(trainer, scoring or ScoringSet(None))
        self._observed = [callback for callback in trainer.callbacks if takes_part(callback)]  # type: ignore[attr-defined]
        self._guard = guard
        self._loggers = [LoggerTape(logger) for logger in trainer.loggers]
        self._until = until
        self._drop_after = None if drop_at is None else _share_of(drop_at, until or trainer.num_training_batches)
        self._sane = sane
        self._fresh = True
        self._at = 0
        self._ended: TrainerState | None = None
        self._leader: _EndState | None = None
        self._rival: Sequence[Tensor] = ()
        self._losses: Sequence[Tensor] = ()
        self._logged: list[Any] = []
        self._tail = False

    def __enter__(self) -> EpochRunner:
        self._start = self._state()
        self.stateful = [path for path in self._start.unheld if path.startswith(("module", "datamodule", "callback"))]
        self._norms = RunningStatistics(self._module) if self._until is not None else None
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._rewind()

    @property
    def holds(self) -> bool:
        """Whether :meth:`commit` takes over the candidate kept last, instead of training it again."""
        leader = self._leader
        return leader is not None and (leader.done or self._tape is not None or leader.at == self._at)

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
        if not self._validation.repeatable:
            return None
        began = time.perf_counter()
        with self._set_aside() as probe:
            metrics = self._validation.score(self._metrics_at_start)
            outcome = self._outcome_of(TrialState.COMPLETE, probe, metrics, began)
        self._fresh = False
        return outcome

    def train(self, lr: float) -> Outcome:
        """Train the epoch, or its first part, from the start state at one rate, and validate it.

        Args:
            lr: the reference rate.

        Returns:
            What came of it; DIVERGED where a loss turned non-finite, DROPPED where it was hopelessly behind the one
            kept, FAILED where memory ran out.
        """
        began = time.perf_counter()
        if not self._fresh:
            self._rewind()
        self._fresh = False
        self._ended = None
        self.rates.set(lr)
        with self._set_aside(drop_after=self._drop_after) as probe:
            try:
                metrics = self._train_to_the_end()
                self._losses = probe.losses
                return self._outcome_of(TrialState.COMPLETE, probe, metrics, began)
            except Diverged as diverged:
                return self._outcome_of(TrialState.DIVERGED, probe, {}, began, str(diverged))
            except Dropped as dropped:
                return self._outcome_of(TrialState.DROPPED, probe, {}, began, str(dropped), behind=dropped.ratio)
            except _OUT_OF_MEMORY as error:
                torch.cuda.empty_cache()
                return self._outcome_of(TrialState.FAILED, probe, {}, began, f"out of memory: {error}")
            finally:
                self._at = self._loop.batch_progress.current.ready

    def keep(self) -> None:
        """Hold the end state of the candidate trained last: it leads."""
        self._rival = self._losses
        if self.replay or self._ended is None:
            return
        older = self._leader.state if self._leader is not None else None
        self._leader = None  # its copies are written over
        if not self._ended.hold_weights(reuse=older):
            # the validation itself wrote to weights: their state before it is gone, so it is trained again
            self.replay = True
            return
        done = self._until is None or self._at < self._until
        self._leader = _EndState(self._ended, self._logged, self._tail, self._at, done)

    def commit(self, lr: float) -> float:
        """Make the winner's epoch the training's epoch: put its end state back, and train what is left.

        Args:
            lr: the winner's reference rate.

        Returns:
            The reference rate that the epoch was trained at: another one where it diverged and was rolled back.
        """
        leader = self._leader
        if leader is None or not self.holds:
            return self.train_natively(lr)
        if self._tape is not None:
            self._tape.seek(leader.at)
        leader.state.restore()
        self._leader = None
        self._validation.rewind()
        for tape, calls in zip(self._loggers, leader.calls, strict=True):
            tape.play(calls)
        if leader.done:
            self._show_epoch_as_done()
            return self._natively(lr, lambda: self._run_tail() if leader.tail else None, guarded=False)
        return self._natively(lr, self._go_on)

    def train_natively(self, lr: float) -> float:
        """Train the epoch from the start state with everything of the user's in its place.

        Args:
            lr: the reference rate.

        Returns:
            The reference rate that it was trained at: another one where it diverged and was rolled back.
        """
        if not self._fresh:
            self._rewind()
        self._fresh = False
        self.rates.set(lr)
        return self._natively(lr, lambda: self._run(self._tape or self._fetcher))

    def _natively(self, lr: float, run: Callable[[], object], *, guarded: bool = True) -> float:
        if self._sane is None or not guarded:
            self.__dict__.pop("_start", None)  # its memory is the training's again
            with self._validation.kept():
                run()
            return lr
        for _ in range(_TRIES):
            try:
                with self._validation.kept(), self._watched(self._sane):
                    run()
            except Diverged:
                lr /= BACK_OFF
                self._rewind()
                self.rates.set(lr)
                run = lambda: self._run(self._tape or self._fetcher)  # noqa: E731
            else:
                return lr
        return self._natively(lr, run, guarded=False)

    def _run_tail(self) -> None:
        """The tail of a batch that is trained: the Trainer's own validation, counters, the end of the batch."""
        fetcher = self._tape or self._fetcher
        try:
            self._loop.on_advance_end(fetcher)
        finally:
            if hasattr(self._loop, "on_iteration_done"):  # Lightning 2.5 on
                self._loop.on_iteration_done()
            else:
                self._loop._restarting = False

    def _go_on(self) -> None:
        """Train what is left of the epoch: the Trainer's own loop, without its beginning."""
        self._run_tail()
        with replaced(self._loop, "reset", nothing), replaced(self._loop, "on_run_start", nothing):
            self._run(self._tape or self._fetcher)

    @contextlib.contextmanager
    def _watched(self, sane: Sane) -> Iterator[None]:
        """Raise :class:`Diverged` where the epoch's loss, or its validation at the end, is not sane."""
        probe = self._probe()
        callbacks: list[Any] = self._trainer.callbacks  # type: ignore[attr-defined]
        native = self._loop.on_advance_end

        def checked_end(fetcher: Any) -> None:
            if self._loop.done and not self._ends_sanely(probe, sane):
                raise Diverged("the epoch's end is not sane")
            native(fetcher)

        callbacks.append(probe)
        try:
            with replaced(self._loop, "on_advance_end", checked_end):
                yield
        finally:
            callbacks.remove(probe)

    def _ends_sanely(self, probe: Probe, sane: Sane) -> bool:
        probe.check()
        if not self._validation.repeatable:
            return True
        state = self._state()
        try:
            with self._set_aside() as judge:
                metrics = self._validation.score(self._metrics_at_start)
                outcome = self._outcome_of(TrialState.COMPLETE, judge, metrics, time.perf_counter())
        finally:
            state.restore()
        return bool(self.agree(sane(outcome)))

    def _state(self, **options: Any) -> TrainerState:
        kept = {"data": self._tape is None, "validation": self._validation.repeatable}
        taking_part = [*self._observed, *([self._guard] if self._guard is not None else [])]
        return TrainerState(self._trainer, callbacks=taking_part, **kept, **options)

    def _rewind(self) -> None:
        if self._tape is not None:
            self._tape.rewind()
        self._validation.rewind()
        try:
            if self._tape is None and self._mark is not None:
                self._mark.restore()
                iter(self._fetcher)
        finally:
            self._start.restore()

    def _train_to_the_end(self) -> dict[str, float]:
        reached: list[dict[str, float]] = []

        def last_or_native(fetcher: Any) -> None:
            enough = self._until is not None and self._loop.batch_progress.current.ready >= self._until
            if not (self._loop.done or enough):
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
        with self._norms.of_own_batches() if self._norms is not None else contextlib.nullcontext():
            return self._validation.score(self._metrics_at_start)

    @contextlib.contextmanager
    def _set_aside(self, *, drop_after: int | None = None) -> Iterator[Probe]:
        trainer: Any = self._trainer
        probe = self._probe(drop_after=drop_after, rival=self._rival, read_sums=lambda: running_sums(self._trainer))
        for tape in self._loggers:
            tape.clear()
        self._metrics_at_start = dict(trainer._logger_connector._callback_metrics)
        self._steps_at_start = trainer.global_step
        rates = [OnlyHooks(self._guard, _RATE_HOOKS)] if self._guard is not None else []
        with (
            replaced(trainer, "callbacks", [*rates, *stand_ins(self._observed), probe]),
            replaced(trainer, "_loggers", list(self._loggers)),
            replaced(trainer, "save_checkpoint", nothing),
            self._validation.kept(),
        ):
            yield probe

    def _probe(self, **options: Any) -> Probe:
        trainer: Any = self._trainer
        return Probe(
            lambda flag: bool(trainer.strategy.reduce_boolean_decision(flag, all=False)),
            distributed=trainer.world_size > 1,
            synchronises=trainer.strategy.root_device.type != "cpu",
            **options,
        )

    def _outcome_of(
        self,
        state: TrialState,
        probe: Probe,
        metrics: dict[str, float],
        began: float,
        message: str = "",
        behind: float | None = None,
    ) -> Outcome:
        total = self._trainer.num_training_batches
        known = isinstance(total, int) and total > 0
        losses = {"train": probe.train_loss, "validation": probe.val_loss}
        batches: dict[str, list[tuple[float, float]]] = {}
        scored = state is TrialState.COMPLETE  # where one rank is, all are
        if scored:
            metrics = mean_over_ranks(metrics, self._trainer.world_size)
            losses |= mean_over_ranks({k: v for k, v in losses.items() if v is not None}, self._trainer.world_size)
            batches = joined_over_ranks(probe.val_batches, self._trainer.world_size)
        return Outcome(
            state=state,
            metrics=metrics,
            train_loss=losses["train"],
            val_loss=losses["validation"],
            batches=batches,
            steps=self._trainer.global_step - self._steps_at_start,
            passes=probe.batches / total if known else float(probe.batches > 0),
            val_passes=self._validation.share if scored else 0.0,
            seconds=time.perf_counter() - began,
            message=message,
            behind=behind,
        )

    def _show_epoch_as_done(self) -> None:
        bar: Any = self._trainer.progress_bar_callback
        with contextlib.suppress(Exception):  # a picture only
            if bar is not None and bar.is_enabled:
                last = self._loop.batch_progress.current.ready - 1
                bar.on_train_batch_end(self._trainer, self._module, None, None, last)


class _EndState:
    __slots__ = ("at", "calls", "done", "state", "tail")

    def __init__(self, state: TrainerState, calls: list[Any], tail: bool, at: int, done: bool) -> None:
        self.state = state
        self.calls = calls
        self.tail = tail
        self.at = at
        self.done = done


def _share_of(share: float, batches: float) -> int | None:
    return max(1, math.ceil(share * batches)) if math.isfinite(batches) else None
