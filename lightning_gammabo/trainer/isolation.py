"""Where a candidate trains unseen: no callback is called, no logger written to, and a monitor watches it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lightning_gammabo.learning_rate.controller import LRController
from lightning_gammabo.records import Outcome, TrialState
from lightning_gammabo.trainer.callback_hooks import for_candidates, only_shows, takes_part
from lightning_gammabo.trainer.candidate_plan import RateWriter
from lightning_gammabo.trainer.distributed import data_part, joined_over_ranks, mean_over_ranks
from lightning_gammabo.trainer.hook_dispatch import only_these_called
from lightning_gammabo.trainer.logger_writes import LoggerWrites, Written
from lightning_gammabo.trainer.monitor import MONITORED, CandidateMonitor
from lightning_gammabo.trainer.patch import nothing, replaced
from lightning_gammabo.trainer.snapshot.objects import ObjectImage
from lightning_gammabo.trainer.snapshot.roots import is_lightning, named
from lightning_gammabo.trainer.validation import Validation
from lightning_gammabo.trainer.validation_subset import running_sums

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


__all__ = ["Isolation", "Told"]

Told = tuple[Written, ObjectImage]
_RATE_HOOKS = ("on_train_batch_start", "on_train_batch_end")
_WRITER_HOOKS = ("on_train_batch_start",)


class Isolation:
    """Keeps what is the user's untouched while a candidate trains, and says what came of it.

    Args:
        trainer: the Trainer, at the start of the epoch.
        controller: the controller of the rates, which candidates need as well; None for none.
        validation: the validations of the epoch.
        on_batch: called with the number of batches that a candidate has trained, after each of them.

    Attributes:
        taking_part: objects whose state the candidates move.
        known: ids of objects that the state of the fit holds already.
        saves: whether user code asked for a checkpoint while a candidate trained; its validation comes once more.
    """

    def __init__(
        self,
        trainer: Trainer,
        controller: LRController | None,
        validation: Validation,
        on_batch: Callable[[int], object] = nothing,
    ) -> None:
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        self._trainer = trainer
        self._controller = controller
        self._validation = validation
        self._on_batch = on_batch
        self._observed = [callback for callback in callbacks if takes_part(callback)]
        self._silent = [one for one in callbacks if not takes_part(one) and not only_shows(one)]
        self.taking_part: list[object] = [*self._observed, *([controller] if controller is not None else [])]
        self.known: set[int] = set()
        self.saves = False
        self._scoring = False
        self._first_silent: ObjectImage | None = None
        self._loggers = LoggerWrites(trainer.loggers)
        self._began = 0.0
        self._read = 0  # samples that the last scoring read

    @contextlib.contextmanager
    def entered(
        self, *, prune_after: int | None = None, rival: Sequence[Tensor] = (), writer: RateWriter | None = None
    ) -> Iterator[CandidateMonitor]:
        """Within the block only what belongs to the training itself is called.

        Args:
            prune_after: batches after which a hopeless candidate is pruned; None for never.
            rival: the leader's training losses.
            writer: writes the candidate's rates batch by batch, over what anything else wrote.

        Yields:
            What watches the candidate.
        """
        trainer: Any = self._trainer
        monitor = self._candidate_probe(prune_after=prune_after, rival=rival)
        self._monitor = monitor
        self.saves = False
        self._began = time.perf_counter()
        self._metrics_at_start = dict(trainer._logger_connector._callback_metrics)
        self._steps_at_start = trainer.global_step
        rates = [(self._controller, _RATE_HOOKS)] if self._controller is not None else []
        writers = [(writer, _WRITER_HOOKS)] if writer is not None else []
        listeners = [*rates, *for_candidates(self._observed), *writers, (monitor, MONITORED)]
        with (
            self._silent_kept(),
            self._loggers.kept(),
            only_these_called(trainer, listeners),
            replaced(trainer, "save_checkpoint", self._note_save),
            self._validation.kept(),
        ):
            yield monitor

    @contextlib.contextmanager
    def _silent_kept(self) -> Iterator[None]:
        # user code may write to callbacks that are not called, and to the Trainer's lists of them
        trainer: Any = self._trainer
        image = self._silent_image()
        entries = [(held, list(held)) for held in (trainer.callbacks, trainer._loggers)]
        try:
            yield
        finally:
            image.restore()
            for held, content in entries:
                held[:] = content

    def _silent_image(self) -> ObjectImage:
        roots = named("callback", map(vars, self._silent))
        image = ObjectImage(roots, stop=is_lightning, skip=self.known, data=list(roots), like=self._first_silent)
        self._first_silent = self._first_silent or image
        return image

    def _note_save(self, *args: Any, **kwargs: Any) -> None:
        self.saves = self.saves or not self._scoring

    def _candidate_probe(self, **options: Any) -> CandidateMonitor:
        return self.monitor(read_sums=lambda: running_sums(self._trainer), on_batch=self._on_batch, **options)

    def monitor(self, **options: Any) -> CandidateMonitor:
        """What watches an epoch.

        Args:
            **options: further arguments of :class:`~lightning_gammabo.trainer.monitor.CandidateMonitor`.

        Returns:
            A monitor that decides as all ranks do.
        """
        strategy: Any = self._trainer.strategy
        return CandidateMonitor(
            lambda flag: bool(strategy.reduce_boolean_decision(flag, all=False)),
            distributed=self._trainer.world_size > 1,
            synchronises=strategy.root_device.type != "cpu",
            **options,
        )

    def score(self) -> dict[str, float]:
        """Validate the candidate.

        Returns:
            What was logged since it began.
        """
        before = self._monitor.validated
        with replaced(self, "_scoring", True):
            metrics = self._validation.score(self._metrics_at_start)
        self._read = self._monitor.validated - before
        if self._monitor.val_loss is None:
            self._validation.note_metrics(metrics)
        return metrics

    def told(self) -> Told:
        """What it wrote to loggers, and to callbacks that are not called, so far.

        Returns:
            What :meth:`tell` takes.
        """
        return self._loggers.written(), self._silent_image()

    def tell(self, told: Told) -> None:
        """Write it to the user's loggers and callbacks.

        Args:
            told: what :meth:`told` gave.
        """
        written, image = told
        image.restore()
        self._loggers.write(written)

    def outcome(
        self,
        state: TrialState,
        monitor: CandidateMonitor,
        metrics: dict[str, float] | None = None,
        message: str = "",
        behind: float | None = None,
    ) -> Outcome:
        """What came of the candidate.

        Args:
            state: how it ended.
            monitor: what watched it.
            metrics: what its validation logged.
            message: why it did not come to its end.
            behind: of a pruned one, its loss over the leader's.

        Returns:
            The outcome; where it came to its end, all ranks have the same numbers.
        """
        total, ranks = self._trainer.num_training_batches, self._trainer.world_size
        known = isinstance(total, int) and total > 0
        metrics = metrics or {}
        losses = {"train": monitor.train_loss, "validation": monitor.val_loss}
        batches: dict[str, list[tuple[float, float]]] = {}
        scored = state is TrialState.COMPLETE  # where one rank is, all are
        if scored:
            metrics = mean_over_ranks(metrics, ranks)
            losses |= mean_over_ranks({k: v for k, v in losses.items() if v is not None}, ranks)
            batches = joined_over_ranks(monitor.val_batches, ranks, data_part(self._trainer)[0])
            epoch = monitor.samples * total / max(monitor.batches, 1) if known else monitor.samples
            self._validation.note_price(self._read, epoch)
        return Outcome(
            state=state,
            metrics=metrics,
            train_loss=losses["train"],
            val_loss=losses["validation"],
            batches=batches,
            steps=self._trainer.global_step - self._steps_at_start,
            passes=monitor.batches / total if known else float(monitor.batches > 0),
            cooling_passes=monitor.cooled / total if known else 0.0,
            quarters=monitor.quarters,
            val_passes=self._validation.share if scored else 0.0,
            seconds=time.perf_counter() - self._began,
            message=message,
            behind=behind,
        )
