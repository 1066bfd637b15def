"""The book of a fit: its history, the file it is written to, the loggers."""

from __future__ import annotations

import math
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
        objective: what candidates are ranked by.

    Attributes:
        history: the records so far.
        before: the records of earlier fits of the same Trainer, from whose end this one goes on.
        retrained: by epoch, not yet noted as ended: how often it diverged and was trained again.
    """

    def __init__(self, path: str | None, messages: Messages, *, logs: bool = True, objective: str = "kappa") -> None:
        self.history = SearchHistory()
        self.before = SearchHistory()
        self.retrained: dict[int, int] = {}
        self._path = path
        self._logs = logs
        self._value = "kappa" if objective in KAPPAS else "objective"
        self._messages = messages

    @property
    def whole(self) -> SearchHistory:
        """All records, those of earlier fits first."""
        if not self.before:
            return self.history
        trained = [*self.before.trained, *self.history.trained]
        return SearchHistory([*self.before, *self.history], trained, self.history.run)

    def go_on_from(self, history: SearchHistory, epoch: int) -> None:
        """Put the records of earlier fits before this one's.

        Args:
            history: the records of earlier fits.
            epoch: the epoch at which this fit begins; records from it on are not kept.
        """
        trained = [one for one in history.trained if one.epoch < epoch]
        self.before = SearchHistory([one for one in history if one.epoch < epoch], trained)

    def add(self, trainer: Trainer, record: EpochRecord) -> None:
        """Keep a record, in place of an older one of the same epoch; tell the file.

        Args:
            trainer: the Trainer.
            record: the record.
        """
        self.history.replace([*(old for old in self.history if old.epoch != record.epoch), record])
        self._save(trainer)

    def log_epoch(self, trainer: Trainer, epoch: int, *, lr: float, validated: bool) -> None:
        """Tell loggers of an epoch: the same names each time, so that a table of them has columns of one length.

        Args:
            trainer: the Trainer, at the end of the epoch.
            epoch: the epoch.
            lr: the rate that it began with.
            validated: whether it was validated.
        """
        if self._logs:
            record = next((one for one in self.history if one.epoch == epoch), None)
            log_to_loggers(trainer, _summary(record, lr=lr, validated=validated, value=self._value))

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
            self.whole.save(self._path)
        except OSError as error:  # disk full, a folder that is gone: no reason to lose the training
            self._messages.warn(f"history_file={str(self._path)!r} could not be written ({error}); training goes on")


def _summary(record: EpochRecord | None, *, lr: float, validated: bool, value: str) -> dict[str, float]:
    chosen = record.chosen if record is not None else None
    found: dict[str, float | None] = {"score": None, "loss": None, "accuracy": None, value: None}
    if record is not None and chosen is not None:
        fits = value == "objective" or record.ranked_by in KAPPAS
        found = {"score": chosen.score, "loss": chosen.loss, "accuracy": chosen.accuracy}
        found[value] = chosen.value if fits else None
    summary = {
        "candidates": 0 if record is None else len(record.results),
        "search_seconds": 0.0 if record is None else record.seconds,
        "train_passes": 1.0 if record is None else record.train_passes,
        "val_passes": validated if record is None else record.val_passes,
        "lr": lr,
        **found,
    }
    return {f"gamma/{name}": math.nan if number is None else float(number) for name, number in summary.items()}
