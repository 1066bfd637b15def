"""An exception of user code while a candidate trains: whether the candidate failed, or the run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from lightning_gammabo.records import TrialState
from lightning_gammabo.trainer.distributed import ErrorKind, error_over_ranks
from lightning_gammabo.trainer.inspection import module_of
from lightning_gammabo.trainer.messages import Messages
from lightning_gammabo.trainer.patch import replaced
from lightning_gammabo.trainer.snapshot.sharding import is_sharded

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["CandidateErrors", "RaisedOnRanks", "StopIterationInStep", "in_words"]


class StopIterationInStep(RuntimeError):
    """User code raised ``StopIteration``, which Lightning takes for the end of the data."""


class RaisedOnRanks(RuntimeError):
    """User code raised on at least one rank; all ranks leave the candidate at the same step.

    Args:
        message: what was raised.
        out_of_memory: whether a rank ran out of memory.
    """

    def __init__(self, message: str, *, out_of_memory: bool = False) -> None:
        super().__init__(message)
        self.out_of_memory = out_of_memory


class CandidateErrors:
    """Decides about exceptions of one epoch's candidates.

    Where the candidate at the present rate ended well, an exception at another rate is the rate's fault. Exceptions at
    the present rate would have ended a plain fit too, and go through; so do ``KeyboardInterrupt`` and exit signals.

    Args:
        trainer: the Trainer, at the start of the epoch.
        present: the rate that the optimizer would use now.
    """

    def __init__(self, trainer: Trainer, present: float) -> None:
        self._trainer = trainer
        self._present = present
        self._state: TrialState | None = None
        self._messages = Messages()
        self._said = False

    def note_end(self, lr: float, state: TrialState) -> None:
        """Note how a candidate ended.

        Args:
            lr: its rate.
            state: how it ended.
        """
        if lr == self._present:
            self._state = state

    def counts_as_diverged(self, error: Exception, lr: float) -> bool:
        """Whether an exception is the fault of a candidate's rate.

        Args:
            error: the exception.
            lr: the candidate's rate.

        Returns:
            True at another rate than the present one, if that one ended well, or diverged at a lower rate.
        """
        if self._trainer.world_size > 1 and not isinstance(error, RaisedOnRanks):
            return False  # the other ranks wait for this one: the launcher has to end them all
        if _is_callbacks(error):
            return False
        above = lr > self._present and self._state in (TrialState.DIVERGED, TrialState.PRUNED)
        blamed = lr != self._present and (self._state is TrialState.COMPLETE or above)
        if blamed and not self._said:
            self._said = True
            self._messages.inform(
                f"epoch {self._trainer.current_epoch}: user code raised at other learning rates than the present one "
                f"({self._present:.4g}); such candidates count as diverged. The first: {in_words(error)}, at {lr:.4g}"
            )
        return blamed

    def describe(self, error: BaseException, lr: float) -> None:
        """Say on an exception that goes through which candidate raised it.

        Args:
            error: the exception.
            lr: the candidate's rate.
        """
        rate = "the present learning rate" if lr == self._present else "learning rate"
        note = f"GammaLRSearch: raised while epoch {self._trainer.current_epoch} was searched, by the candidate at "
        if hasattr(error, "add_note"):  # Python 3.11 on
            error.add_note(f"{note}{rate} {lr:.6g}")

    @contextlib.contextmanager
    def watched(self, lr: float) -> Iterator[None]:
        """Within the block ``StopIteration`` of user code ends no epoch, and ranks agree on exceptions of steps.

        Args:
            lr: the candidate's rate.

        Yields:
            Nothing.
        """
        trainer: Any = self._trainer
        loop = trainer.fit_loop.epoch_loop
        with contextlib.ExitStack() as stack:
            stack.enter_context(replaced(loop, "advance", self._advance(loop.advance, lr)))
            if trainer.world_size > 1 and lr != self._present:
                strategy = trainer.strategy
                stack.enter_context(replaced(strategy, "training_step", self._agreed(strategy.training_step)))
                if not trainer.lightning_module.automatic_optimization:
                    # a step communicates in its middle: where another rank raised before, none comes to do so
                    stack.enter_context(replaced(strategy, "backward", self._agreed_before(strategy.backward)))
            yield

    @contextlib.contextmanager
    def watched_validation(self, lr: float) -> Iterator[None]:
        """Within the block a rank whose ``validation_step`` raises validates to the end, and then all ranks raise.

        Args:
            lr: the candidate's rate.

        Yields:
            Nothing.
        """
        trainer: Any = self._trainer
        if trainer.world_size == 1 or lr == self._present:
            yield
            return
        if is_sharded(trainer.lightning_module):
            # each forward pass communicates: where one rank stops, all have to
            with replaced(trainer.strategy, "validation_step", self._agreed(trainer.strategy.validation_step)):
                yield
            return
        errors: list[Exception] = []
        native = trainer.strategy.validation_step

        def step(*args: Any, **kwargs: Any) -> Any:
            try:
                return None if errors else native(*args, **kwargs)
            except Exception as error:
                errors.append(error)

        with replaced(trainer.strategy, "validation_step", step):
            yield
        self._raise_on_all(errors[0] if errors else None)

    def _agreed(self, native: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            output, error = None, None
            try:
                output = native(*args, **kwargs)
            except RaisedOnRanks:
                raise  # all ranks do
            except Exception as raised:
                error = raised
            self._raise_on_all(error)
            return output

        return step

    def _agreed_before(self, native: Callable[..., Any]) -> Callable[..., Any]:
        def backward(*args: Any, **kwargs: Any) -> Any:
            self._raise_on_all(None)
            return native(*args, **kwargs)

        return backward

    def _raise_on_all(self, error: Exception | None) -> None:
        raised = error_over_ranks(error, self._trainer.strategy.root_device, self._trainer.world_size)
        if raised is not None:
            message = in_words(error) if error is not None else "raised on another rank"
            raise RaisedOnRanks(message, out_of_memory=raised is ErrorKind.OUT_OF_MEMORY) from error

    def _advance(self, native: Callable[[Any], None], lr: float) -> Callable[[Any], None]:
        progress = self._trainer.fit_loop.epoch_loop.batch_progress

        def advance(fetcher: Any) -> None:
            ready = progress.current.ready
            try:
                native(fetcher)
            except StopIteration as stop:
                # without a batch, or with the iterator in the step's own hands, it is the end of the data
                if progress.current.ready == ready or hasattr(fetcher, "_batch_idx") or self._is_lightnings(stop):
                    raise
                said = f"user code raised StopIteration at batch {ready} of epoch {self._trainer.current_epoch}"
                if lr != self._present:
                    raise StopIterationInStep(said) from stop
                self._messages.warn(f"{said}; Lightning takes it for the end of the data, here as in a plain fit")
                raise

        return advance

    def _is_lightnings(self, stop: StopIteration) -> bool:
        # Lightning raises one itself, where on_train_batch_start returns -1
        trace = stop.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        module = module_of(self._trainer.fit_loop.epoch_loop, "advance")
        return trace is not None and PurePath(trace.tb_frame.f_code.co_filename) == PurePath(str(module.__file__))


def _is_callbacks(error: BaseException) -> bool:
    # hooks of callbacks do not depend on the rate, but for those that take part in a step
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name == "_call_callback_hooks":
            return True
        trace = trace.tb_next
    return False


def in_words(error: BaseException) -> str:
    """An exception in one line.

    Args:
        error: the exception.

    Returns:
        Its class and the first line of its text.
    """
    first = str(error).partition("\n")[0]
    kind = "" if isinstance(error, RaisedOnRanks) else type(error).__name__
    return ": ".join(part for part in (kind, first) if part)
