"""Trains the epoch that is about to start as often as asked, and commits one of the outcomes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_gammabo.learning_rate.controller import LearningRates, LRController
from lightning_gammabo.records import Outcome, TrialState
from lightning_gammabo.trainer.batch_cache import BatchCache
from lightning_gammabo.trainer.batch_norm import RunningStatistics
from lightning_gammabo.trainer.candidate_errors import CandidateErrors, in_words
from lightning_gammabo.trainer.candidate_plan import CandidatePlan, RateWriter, cooling_within
from lightning_gammabo.trainer.distributed import out_of_memory_everywhere
from lightning_gammabo.trainer.epoch_loop import Run, end_batch, go_on, makes_iterator, train_until
from lightning_gammabo.trainer.inspection import overrides
from lightning_gammabo.trainer.isolation import Isolation, Told
from lightning_gammabo.trainer.monitor import CandidateMonitor, Diverged, Pruned
from lightning_gammabo.trainer.patch import nothing, replaced
from lightning_gammabo.trainer.snapshot.loaders import (
    LoaderMark,
    end_threads,
    shared_by_workers,
    threaded,
    train_loaders,
    unreplayable,
)
from lightning_gammabo.trainer.snapshot.roots import data_image
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


class EpochRunner:
    """Trains the epoch that is about to start, as often as asked, always from the same state.

    Use it as a context: where the block raises, the state is put back to what it was.

    Args:
        trainer: the Trainer, at the start of ``epoch_loop.run``.
        pl_module: the user's module.
        fetcher: the data fetcher that ``run`` was called with.
        run: the true ``epoch_loop.run``.
        mark: the moment at which the fetcher's iterator was made, or None.
        controller: the controller of the rates.
        replay: whether the winner's epoch is trained once more instead of copied.
        once: whether no more than one epoch will be trained: then batches need not be had again.
        scoring: what candidates are scored on.
        plan: what each candidate trains; None for the whole epoch.
        prune_at: share of a candidate's batches after which a hopeless one is pruned; None for never.
        watched: whether the committed epoch is put back and trained at a lower rate where its loss turns non-finite.
        sane: says of its end as well, validated, whether it is to be kept; None to keep what is finite.
        on_batch: called with the number of batches that a candidate has trained, after each of them.

    Attributes:
        rates: the learning rates at the start of the epoch.
        plan: what candidates train from now on.
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
        controller: LRController | None,
        replay: bool,
        once: bool = False,
        scoring: ScoringSet | None = None,
        plan: CandidatePlan | None = None,
        prune_at: float | None = None,
        watched: bool = False,
        sane: Sane | None = None,
        on_batch: Callable[[int], object] = nothing,
    ) -> None:
        self.rates = LearningRates(trainer.optimizers, controller)
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
        reason = unreplayable(train_loaders(trainer)) or threaded(trainer)
        if made_before and (mark is None or fetcher.fetched != mark.fetched):
            reason = reason or "the first epoch's iterator was made, or partly used, by something else"
        self.plan = plan or CandidatePlan()
        # a candidate that cools reads batches that the chosen one has to read again; where the step takes the iterator
        # itself they cannot be kept, and the chosen one is trained again
        rereads = self.plan.cooling > 0 and not hasattr(fetcher, "_batch_idx")
        keeps = (reason is not None or rereads) and not once
        # such a value may be harmless: where the batches are too many to be kept they are read again
        shared = reason if reason == shared_by_workers(train_loaders(trainer)) else None
        needed = None if shared is not None else reason
        self._cache = BatchCache(fetcher, needed, started=made_before, regrets=shared) if keeps else None
        self._cache_complete = True  # on all ranks
        self._reads_again = needed is None
        self._validation = Validation(trainer, scoring or ScoringSet(None))
        self._isolation = Isolation(trainer, controller, self._validation, on_batch)
        self._errors = CandidateErrors(trainer, self.rates.reference)
        self._prune_at = prune_at
        self._watch = Watch(trainer, self._isolation, sane, self._state if self._validation.repeatable else None)
        self._watched = watched
        self._fresh = True
        self._lr = 0.0
        self._at = self._end_at = 0
        self._holds_weights = False
        self._ended: TrainerState | None = None
        self._leader: _EndState | None = None
        self._rival: Sequence[Tensor] = ()
        self._losses: Sequence[Tensor] = ()
        self._told: Told | None = None
        self._tail = False

    def __enter__(self) -> EpochRunner:
        self._start = self._state()
        self._isolation.known = self._start.visited
        self.stateful = [path for path in self._start.unheld if path.startswith(("module", "datamodule", "callback"))]
        self._norms = RunningStatistics(self._module) if self.plan.until is not None else None
        again = self._cache is not None and self._reads_again
        self._data = data_image(train_loaders(self._trainer)) if again else None
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._rewind()

    @property
    def holds(self) -> bool:
        """Whether :meth:`commit` takes over the candidate kept last, instead of training it again."""
        leader = self._leader
        kept = self._cache is not None and self._cache_complete
        return leader is not None and (leader.done or kept or leader.at == self._at)

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
        with self._isolation.entered() as monitor:
            outcome = self._isolation.outcome(TrialState.COMPLETE, monitor, self._isolation.score())
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
        self._ended = None
        self._lr = lr
        self.rates.set(lr)
        writes = self.plan.cooling > 0 or self.plan.miniature is not None
        writer = RateWriter(self._trainer, lr, self.plan.miniature) if writes else None
        prune_after = _share_of(self._prune_at, self.plan.until or self._trainer.num_training_batches)
        with self._isolation.entered(prune_after=prune_after, rival=self._rival, writer=writer) as monitor:
            outcome = self._outcome(lr, monitor, writer)
        self._errors.note_end(lr, outcome.state)
        if outcome.state is not TrialState.COMPLETE:
            forget_interrupted_step(self._module)
        if outcome.state is TrialState.FAILED:
            torch.cuda.empty_cache()  # now that no frame of the candidate's is held any more
        if self._cache is not None:
            self._cache_complete = self._all(self._cache.complete)
        return outcome

    def _outcome(self, lr: float, monitor: CandidateMonitor, writer: RateWriter | None) -> Outcome:
        try:
            with self._errors.watched(lr):
                self._train_to_the_end(monitor, writer)
            metrics = self._score()
            self._losses = monitor.kept_losses
            return self._isolation.outcome(TrialState.COMPLETE, monitor, metrics)
        except Diverged as diverged:
            return self._isolation.outcome(TrialState.DIVERGED, monitor, message=str(diverged))
        except Pruned as pruned:
            return self._isolation.outcome(TrialState.PRUNED, monitor, message=str(pruned), behind=pruned.ratio)
        except Exception as error:
            # where others train along, they wait for this one: the launcher has to end them all
            if out_of_memory_everywhere(error, self._trainer.world_size):
                return self._isolation.outcome(TrialState.FAILED, monitor, message=f"out of memory: {error}")
            if self._errors.counts_as_diverged(error, lr):
                return self._isolation.outcome(TrialState.DIVERGED, monitor, message=in_words(error))
            self._errors.describe(error, lr)
            raise
        except BaseException as error:
            self._errors.describe(error, lr)
            raise
        finally:
            self._at = self._loop.batch_progress.current.ready

    def restart(self, plan: CandidatePlan) -> None:
        """Begin the search of this epoch anew, with candidates of another kind that are not compared with those before.

        Args:
            plan: what each candidate trains from now on.
        """
        self.plan, self._rival, self._leader = plan, (), None

    def keep(self) -> None:
        """Hold the end state of the candidate trained last: it leads."""
        self._rival = self._losses
        # a checkpoint that user code asks for is written when the winner's epoch is trained again
        self.replay = self.replay or bool(self.agree(self._isolation.saves))
        if self.replay or self._ended is None or self._told is None:
            return
        older = self._leader.state if self._leader is not None else None
        self._leader = None  # its copies are written over
        if not (self._holds_weights or self._all(self._ended.hold_weights(reuse=older))):
            # the validation itself wrote to weights: their state before it is gone, so it is trained again
            self.replay = True
            return
        done = self.plan.until is None or self._end_at < self.plan.until or not self._tail
        self._leader = _EndState(self._ended, self._told, self._tail, self._end_at, done, self._lr)

    def commit(self, lr: float) -> float:
        """Make the winner's epoch the training's epoch: put its end state back, and train what is left.

        Args:
            lr: the winner's reference rate.

        Returns:
            The reference rate that the epoch was trained at: another one where it diverged and was rolled back.
        """
        leader, held = self._leader, self.holds
        self._leader = None
        # the rule may have come back to a candidate that led before
        if leader is None or not held or leader.lr != lr:
            return self.train_natively(lr)
        if self._cache is not None:
            self._cache.seek(leader.at)
            if self._reads_again:
                self._cache.keep_no_more()
        leader.state.restore()
        self._validation.rewind()
        self._isolation.tell(leader.told)
        if leader.done:
            self._show_epoch_as_done()
            tail = lambda: end_batch(self._loop, self._reads()) if leader.tail else None  # noqa: E731
            return self._natively(lr, tail, guarded=False)
        return self._natively(lr, lambda: go_on(self._loop, self._run, self._reads()))

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
        return self._natively(lr, lambda: self._run(self._reads()))

    def _natively(self, lr: float, run: Callable[[], object], *, guarded: bool = True) -> float:
        if not (self._watched and guarded):
            self.__dict__.pop("_start", None)  # its memory is the training's again
            with self._data_kept():
                run()
            return lr
        raised = False
        for _ in range(_TRIES):
            try:
                with self._data_kept(), self._watch.over(self._rival):
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
            run = lambda: self._run(self._reads())  # noqa: E731
        return self._natively(lr, run, guarded=False)

    def _reads(self) -> Any:
        # what the loop takes its batches from
        return self._cache or self._fetcher

    @contextlib.contextmanager
    def _data_kept(self) -> Iterator[None]:
        states = self._cache.loaders_of_the_step() if self._cache is not None else contextlib.nullcontext()
        with self._validation.kept(), states:
            yield

    def _state(self, **options: Any) -> TrainerState:
        kept: dict[str, Any] = {"data": self._cache is None, "validation": self._validation.repeatable}
        return TrainerState(self._trainer, callbacks=self._isolation.taking_part, **kept, **options)

    def _rewind(self) -> None:
        if not self._cache_complete:
            self._cache = None  # too large to keep: the loader is read again
        if self._cache is not None:
            self._cache.rewind()
        else:
            end_threads(self._trainer)
        self._validation.rewind()
        try:
            if self._cache is None and self._mark is not None:
                self._mark.restore()
                iter(self._fetcher)
        finally:
            self._start.restore()
            if self._cache is None and self._data is not None:
                self._data.restore()

    def _train_to_the_end(self, monitor: CandidateMonitor, writer: RateWriter | None) -> None:
        until, loop = self.plan.until, self._loop
        lives_other = self.plan.miniature is not None
        with _schedulers_held(loop) if lives_other else contextlib.nullcontext():
            train_until(loop, lambda: self._run(self._reads()), until, self._reach_end)
        self._end_at = loop.batch_progress.current.ready
        if (
            writer is None
            or self.plan.cooling == 0
            or until is None
            or self._end_at < until
            or not self._tail
            or loop.done
        ):
            return
        # the steps that follow write to the weights that the chosen one goes on from
        self._holds_weights = self._ended is not None and self._all(self._ended.hold_weights())
        monitor.begin_cooling()
        steps, end = cooling_within(self._trainer, self.plan.cooling)
        writer.cool(self._end_at, steps)
        # validations within the cooling run: they draw the random numbers that the kept batches come with
        with _schedulers_held(loop):
            train_until(loop, lambda: go_on(loop, self._run, self._reads()), end, lambda fetcher, tail: None)

    def _reach_end(self, fetcher: Any, *, tail: bool) -> None:
        self._tail = tail
        self._holds_weights = False
        frees = not self._loop._should_accumulate()
        native = tail and frees and self._loop._should_check_val_fx(fetcher)
        # Lightning frees the gradients before it validates: then there is no need to hold them
        held = not native or overrides(self._module, "on_validation_model_zero_grad")
        # one that lived a miniature is no beginning of the run
        if not self.replay and self.plan.miniature is None:
            self._ended = self._state(defer=True, grads=held, like=self._start)
            self._told = self._isolation.told()

    def _score(self) -> dict[str, float]:
        if not self._loop._should_accumulate():
            self._module.on_validation_model_zero_grad()
        norms = self._norms.of_own_batches() if self._norms is not None else contextlib.nullcontext()
        with norms, self._errors.watched_validation(self._lr):
            return self._isolation.score()

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


def _schedulers_held(loop: Any) -> contextlib.AbstractContextManager[None]:
    return replaced(loop, "update_lr_schedulers", nothing)


def _share_of(share: float | None, batches: float) -> int | None:
    return max(1, math.ceil(share * batches)) if share is not None and share < 1.0 and math.isfinite(batches) else None
