"""The book of a fit: its history, the file it is written to, the loggers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_gammabo.records import EpochRecord, SearchHistory, TrainedEpoch
from lightning_gammabo.records.epoch import KAPPAS
from lightning_gammabo.trainer.inspection import log_to_loggers
from lightning_gammabo.trainer.messages import Messages

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["Recorder"]


class Recorder:
    """Keeps the records of one fit.

    Args:
        path: file to which the history is written after each search; None for none.
        messages: says what a user should look at.
        logs: whether the user's loggers get ``gamma/*`` values.

    Attributes:
        history: the records so far.
        retrained: by epoch, not yet noted as ended: how often it diverged and was trained again.
    """

    def __init__(self, path: str | None, messages: Messages, *, logs: bool = True) -> None:
        self.history = SearchHistory()
        self.retrained: dict[int, int] = {}
        self._path = path
        self._logs = logs
        self._messages = messages

    def add(self, trainer: Trainer, record: EpochRecord) -> None:
        """Keep a record, in place of an older one of the same epoch; tell file and loggers.

        Args:
            trainer: the Trainer.
            record: the record.
        """
        self.history.replace([*(old for old in self.history if old.epoch != record.epoch), record])
        if self._logs:
            log_to_loggers(trainer, _summary(record))
        self._save(trainer)

    def note_epoch(self, trainer: Trainer, trained: TrainedEpoch) -> None:
        """Note what an epoch ended with; tell the file.

        Args:
            trainer: the Trainer.
            trained: the epoch.
        """
        self.history.note_epoch(trained)
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if self._path is None or not trainer.is_global_zero:
            return
        try:
            self.history.save(self._path)
        except OSError as error:  # disk full, a folder that is gone: no reason to lose the training
            self._messages.warn(f"history_file={str(self._path)!r} could not be written ({error}); training goes on")


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
        values["kappa" if record.ranked_by in KAPPAS else "objective"] = chosen.value
        summary |= {f"gamma/{name}": float(value) for name, value in values.items() if value is not None}
    return summary
