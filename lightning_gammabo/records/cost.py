"""What the searches of a run cost, in multiples of the plain fit: ONE formula for table, report and logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_gammabo.records.epoch import EpochRecord, TrainedEpoch, lost_epochs
from lightning_gammabo.records.run import RunInfo
from lightning_gammabo.records.words import count

__all__ = ["RunCost", "cost_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCost:
    """What a run cost.

    Args:
        epochs: epochs that were trained, searched or not.
        lost: those of them that recovery gave up.
        retrained: times that an epoch diverged and was trained again.
        train_passes: passes over the training data, the plain ones included.
        val_passes: passes over the validation data.
        extra: what the searches cost beyond the plain fit, validations of candidates included, in passes over the
            training data.
        seconds: wall time of the searches.
        planned: estimated cost in multiples of a plain fit; None where it was not known.
        planned_epochs: epochs that the estimate is of.
    """

    epochs: int
    lost: int
    retrained: int
    train_passes: float
    val_passes: float
    extra: float
    seconds: float
    planned: float | None
    planned_epochs: int | None

    @property
    def times_plain(self) -> float:
        """The cost in multiples of a plain fit of as many epochs."""
        return 1.0 + self.extra / max(self.epochs, 1)

    def in_words(self) -> str:
        """The cost in a sentence.

        Returns:
            Such as ``cost: 1.31x a plain fit of 10 epochs (estimated: at most 1.45x)``.
        """
        words = f"cost: {self.times_plain:.2f}x a plain fit of {count(self.epochs, 'epoch')}"
        whole = "" if self.planned_epochs in (None, self.epochs) else f" for all {self.planned_epochs} epochs"
        words += "" if self.planned is None else f" (estimated: at most {self.planned:.2f}x{whole})"
        if self.retrained:
            words += f"; beyond the estimate: {count(self.retrained, 'time')} an epoch diverged and was trained again"
        kept = self.epochs - self.lost
        if not self.lost or kept < 1:
            return words
        per_kept = self.times_plain * self.epochs / kept
        verb = "was" if self.lost == 1 else "were"
        return f"{words}; {self.lost} of {self.epochs} epochs {verb} lost: {per_kept:.2f}x for each epoch that was kept"


def cost_of(records: Sequence[EpochRecord], trained: Sequence[TrainedEpoch], run: RunInfo | None) -> RunCost:
    """What a run cost.

    Args:
        records: one for each searched epoch.
        trained: one for each trained epoch; empty where only the searches are known.
        run: what is known of the run; None counts validations as free.

    Returns:
        The cost of all epochs, searched or not.
    """
    searched = {record.epoch for record in records}
    plain = [end for end in trained if end.epoch not in searched]
    validation = 0.0 if run is None else run.validation
    again = sum(end.retrained for end in plain)  # a search's record counts its own
    return RunCost(
        epochs=len(searched) + len(plain),
        lost=len(lost_epochs(trained)),
        retrained=sum(end.retrained for end in trained),
        train_passes=sum(record.train_passes for record in records) + len(plain) + again,
        val_passes=sum(record.val_passes for record in records) + sum(end.loss is not None for end in plain),
        extra=sum(record.extra_passes(validation) for record in records) + again,
        seconds=sum(record.seconds for record in records),
        planned=None if run is None else run.planned,
        planned_epochs=None if run is None else run.epochs,
    )
