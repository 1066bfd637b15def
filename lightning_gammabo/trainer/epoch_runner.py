"""Trains the epoch that is about to start as often as asked, and commits one of the outcomes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_gammabo.learning_rate.controller import LearningRates, RateGuard
from lightning_gammabo.records import Outcome, TrialState
from lightning_gammabo.trainer.batch_cache import BatchTape
from lightning_gammabo.trainer.batch_norm import RunningStatistics
from lightning_gammabo.trainer.candidate_errors import CandidateErrors, in_words
from lightning_gammabo.trainer.candidate_plan import CandidatePlan, RateWriter, cooling_within
from lightning_gammabo.trainer.distributed import out_of_memory_everywhere
from lightning_gammabo.trainer.epoch_loop import Run, end_batch, go_on, makes_iterator, train_until
from lightning_gammabo.trainer.inspection import overrides
from lightning_gammabo.trainer.isolation import Aside, Told
from lightning_gammabo.trainer.monitor import Diverged, Dropped, Probe
from lightning_gammabo.trainer.patch import nothing, replaced
from lightning_gammabo.trainer.snapshot.loaders import LoaderMark, train_loaders, unreplayable
from lightning_gammabo.trainer.snapshot.sharding import forget_interrupted_step
from lightning_gammabo.trainer.snapshot.trainer_state import TrainerState
from lightning_gammabo.trainer.validation import Validation
from lightning_gammabo.trainer.validation_subset import ScoringSet
from lightning_gammabo.trainer.watch import Sane, Watch

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["EpochRunner"]

BACK_OFF = 4.0
"""an epoch that diverged after its search is trained again at its rate divided by this"""
_TRIES = 3
_WHOLE = CandidatePlan()


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
        plan: what each candidate trains.
        drop_at: share of a candidate's batches after which a hopeless one is dropped; None for never.
        watched: whether the committed epoch is put back and trained at a lower rate where its loss turns non-finite.
        sane: says of its end as well, validated, whether it is to be kept; None to keep what is finite.
        on_batch: called with the number of batches that a candidate has trained, after each of them.

    Attributes:
        rates: the learning rates at the start of the epoch.
        stateful: paths of iterators in the user's objects that cannot be put back.
        plan: what the next candidate trains; may be set between two of them, to make them longer.
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
        plan: CandidatePlan = _WHOLE,
        drop_at: float | None = None,
        watched: bool = False,
        sane: Sane | None = None,
        on_batch: Callable[[int], object] = nothing,
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
        self._aside = Aside(trainer, guard, self._validation, on_batch)
        self._errors = CandidateErrors(trainer, self.rates.reference)
        self.plan = plan
        self._drop_at = drop_at
        self._watch = Watch(trainer, self._aside, sane, self._state if self._validation.repeatable else None)
        self._watched = watched
        self._fresh = True
        self._lr = 0.0
        self._at = 0
        self._ended: _EndState | None = None
        self._leader: _EndState | None = None
        self._spare: TrainerState | None = None  # its copies may be written over
        self._cooled: BatchTape | None = None  # batches of the last candidate's cooling
        self._rival: Sequence[Tensor] = ()
        self._losses: Sequence[Tensor] = ()

    def __enter__(self) -> EpochRunner:
        self._start = self._state()
        self._aside.known = self._start.visited
        self.stateful = [path for path in self._start.unheld if path.startswith(("module", "datamodule", "callback"))]
        self._norms = RunningStatistics(self._module)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._rewind()

    @property
    def holds(self) -> bool:
        """Whether :meth:`commit` takes over the candidate kept last, instead of training it again."""
        leader = self._leader
        if leader is None or leader.done or self._tape is not None:
            return leader is not None
        # the loader's iterator stands where it ended, or the batches from there on are kept
        return leader.at == self._at and leader.cooled == (self._cooled is not None)

    def agree(self, value: Any) -> Any:
        """One value for all ranks: that of rank 0.

        Args:
            value: this rank's value.

        Returns:
            Rank 0's value.
        """
        return self._trainer.strategy.broadcast(value) if self._trainer.world_size > 1 else value

    def _all(self, flag: bool) -> bool:
        return bool(self._trainer.strategy.reduce_boolean_decision(flag, all=True))

    def baseline(self) -> Outcome | None:
        """Validate the state at the start of the epoch, and leave no trace of it.

        Returns:
            What the validation gave; None where its batches could not be had again afterwards.
        """
        if not self._validation.repeatable:
            return None
        if not self._fresh:
            self._rewind()
        with self._aside.entered() as probe:
            outcome = self._aside.outcome(TrialState.COMPLETE, probe, self._aside.score())
        self._fresh = False
        return outcome

    def train(self, lr: float) -> Outcome:
        """Train the epoch, or its first part, from the start state at one rate, and validate it.

        Args:
            lr: the reference rate.

        Returns:
            What came of it; DIVERGED where a loss turned non-finite, PRUNED where it was hopelessly behind the one
            kept, FAILED where memory ran out.
        """
        if not self._fresh:
            self._rewind()
        self._fresh = False
        if self._ended is not None and self._ended.cooled:
            self._spare = self._ended.state
        self._ended, self._lr, self._at, self._losses = None, lr, 0, ()
        self.rates.set(lr)
        writer = RateWriter(self._trainer, lr, self.plan.miniature)
        drop_after = _share_of(self._drop_at, self.plan.until or self._trainer.num_training_batches)
        with self._aside.entered(drop_after=drop_after, rival=self._rival, writer=writer) as probe:
            outcome = self._outcome(lr, probe, writer)
        self._errors.note_end(lr, outcome.state)
        if outcome.state is TrialState.FAILED:
            forget_interrupted_step(self._module)
            torch.cuda.empty_cache()  # now that no frame of the candidate's is held any more
        if self._cooled is not None and not self._all(self._cooled.complete):
            self._cooled = None
        return outcome

    def _outcome(self, lr: float, probe: Probe, writer: RateWriter) -> Outcome:
        try:
            metrics = self._train_and_score(probe, writer)
            return self._aside.outcome(TrialState.COMPLETE, probe, metrics)
        except Diverged as diverged:
            return self._aside.outcome(TrialState.DIVERGED, probe, message=str(diverged))
        except Dropped as dropped:
            return self._aside.outcome(TrialState.PRUNED, probe, message=str(dropped), behind=dropped.ratio)
        except Exception as error:
            # where others train along, they wait for this one: the launcher has to end them all
            if out_of_memory_everywhere(error, self._trainer.world_size):
                return self._aside.outcome(TrialState.FAILED, probe, message=f"out of memory: {error}")
            if self._errors.counts_as_diverged(error, lr):
                return self._aside.outcome(TrialState.DIVERGED, probe, message=in_words(error))
            self._errors.describe(error, lr)
            raise
        except BaseException as error:
            self._errors.describe(error, lr)
            raise
        finally:
            self._at = self._at or self._loop.batch_progress.current.ready

    def keep(self) -> None:
        """Hold the end state of the candidate trained last: it leads."""
        self._rival = self._losses
        # a checkpoint that user code asks for is written when the winner's epoch is trained again
        self.replay = self.replay or bool(self.agree(self._aside.saves))
        ended, older = self._ended, self._leader
        self._ended = self._leader = None
        if self.replay or ended is None:
            return
        spare = older.state if older is not None else None
        if ended.cooled:
            self._spare = spare
        elif not self._all(ended.state.hold_weights(reuse=spare)):
            # the validation itself wrote to weights: their state before it is gone, so it is trained again
            self.replay = True
            return
        self._leader = ended

    def commit(self, lr: float) -> float:
        """Make the winner's epoch the training's epoch: put its end state back, and train what is left.

        Args:
            lr: the winner's reference rate.

        Returns:
            The reference rate that the epoch was trained at: another one where it diverged and was rolled back.
        """
        leader, held = self._leader, self.holds
        self._leader = self._ended = self._spare = None
        # the rule may have come back to a candidate that led before
        if leader is None or not held or leader.lr != lr:
            return self.train_natively(lr)
        if self._tape is not None:
            self._tape.seek(leader.at)
        elif self._cooled is not None:
            self._cooled.seek(0)
            self._cooled.keep_no_more()
        leader.state.restore()
        self._validation.rewind()
        self._aside.tell(leader.told)
        if leader.done:
            self._show_epoch_as_done()
            return self._natively(lr, lambda: self._end_batch() if leader.tail else None, guarded=False)
        return self._natively(lr, lambda: go_on(self._loop, self._run, self._source))

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
        return self._natively(lr, self._train_whole)

    def _natively(self, lr: float, run: Callable[[], object], *, guarded: bool = True) -> float:
        if not (self._watched and guarded):
            self.__dict__.pop("_start", None)  # its memory is the training's again
            with self._validation.kept():
                run()
            return lr
        raised = False
        for _ in range(_TRIES):
            try:
                with self._validation.kept(), self._watch.over(self._rival):
                    run()
            except Diverged:
                pass
            except Exception as error:
                if raised or not self._errors.counts_as_diverged(error, lr):
                    raise
                raised = True  # the same at a lower rate is no fault of the rate
            else:
                return lr
            lr /= BACK_OFF
            self._rewind()
            self.rates.set(lr)
            run = self._train_whole
        return self._natively(lr, run, guarded=False)

    def _train_whole(self) -> None:
        self._run(self._source)

    def _end_batch(self) -> None:
        end_batch(self._loop, self._source)

    @property
    def _source(self) -> Any:
        return self._tape or self._cooled or self._fetcher

    def _state(self, **options: Any) -> TrainerState:
        kept = {"data": self._tape is None, "validation": self._validation.repeatable, **options}
        return TrainerState(self._trainer, callbacks=self._aside.taking_part, **kept)

    def _rewind(self) -> None:
        self._cooled = None
        if self._tape is not None:
            self._tape.rewind()
        self._validation.rewind()
        try:
            if self._tape is None and self._mark is not None:
                self._mark.restore()
                iter(self._fetcher)
        finally:
            self._start.restore()

    def _train_and_score(self, probe: Probe, writer: RateWriter) -> dict[str, float]:
        lives_other = self.plan.miniature is not None
        with self._errors.watched(self._lr), self._schedulers_held() if lives_other else contextlib.nullcontext():
            metrics = train_until(self._loop, self._train_whole, self.plan.until, self._reach_end)
            self._losses = probe.kept_losses
            return metrics if metrics is not None else self._cool(probe, writer)

    def _reach_end(self, fetcher: Any, *, tail: bool) -> dict[str, float] | None:
        self._at = self._loop.batch_progress.current.ready
        cools = tail and not self._loop.done and self.plan.cooling > 0
        frees = not self._loop._should_accumulate()
        native = tail and frees and self._loop._should_check_val_fx(fetcher)
        # Lightning frees the gradients before it validates: then there is no need to hold them
        held = not native or overrides(self._module, "on_validation_model_zero_grad")
        if not self.replay and self.plan.miniature is None:
            # the loader does not go back to where it was before the cooling: its batches are kept instead
            state = self._state(defer=True, grads=held, **({"data": False} if cools else {}))
            if cools:
                state.hold_weights(reuse=self._spare)
                self._spare = None
            done = self.plan.until is None or self._at < self.plan.until
            self._ended = _EndState(state, self._aside.told(), tail, self._at, done, self._lr, cools)
        return None if cools else self._score(frees)

    def _cool(self, probe: Probe, writer: RateWriter) -> dict[str, float]:
        # train a few steps more with the rate to zero, and score there
        steps, end = cooling_within(self._trainer, self.plan.cooling)
        probe.begin_cooling()
        writer.cool(self._at, steps)
        # a step that takes the iterator itself reads past a tape
        if self._tape is None and not hasattr(self._fetcher, "_batch_idx"):
            self._cooled = BatchTape(self._fetcher, None, started=True)
        with self._schedulers_held(), replaced(self._loop, "_should_check_val_fx", lambda fetcher: False):
            return train_until(
                self._loop,
                lambda: go_on(self._loop, self._run, self._source),
                end,
                lambda fetcher, tail: self._score(not self._loop._should_accumulate()),
            )

    def _schedulers_held(self) -> contextlib.AbstractContextManager[None]:
        return replaced(self._loop, "update_lr_schedulers", nothing)

    def _score(self, frees: bool) -> dict[str, float]:
        if frees:
            self._module.on_validation_model_zero_grad()
        norms = self._norms.of_own_batches() if self.plan.until is not None else contextlib.nullcontext()
        with norms, self._errors.watched_validation(self._lr):
            return self._aside.score()

    def _show_epoch_as_done(self) -> None:
        bar: Any = self._trainer.progress_bar_callback
        with contextlib.suppress(Exception):  # a picture only
            if bar is not None and bar.is_enabled:
                last = self._loop.batch_progress.current.ready - 1
                bar.on_train_batch_end(self._trainer, self._module, None, None, last)


@dataclass(slots=True)
class _EndState:
    state: TrainerState
    told: Told
    tail: bool
    at: int
    done: bool
    lr: float
    cooled: bool


def _share_of(share: float | None, batches: float) -> int | None:
    return max(1, math.ceil(share * batches)) if share is not None and share < 1.0 and math.isfinite(batches) else None
