"""What is known of a run: its shape before it begins, and what a reader of its history has to know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lightning_gammabo.records.plain import PlainRecord

__all__ = ["RunInfo", "RunShape"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo(PlainRecord):
    """What a reader of a history has to know of its run.

    Args:
        started: date and time of its begin, ISO 8601.
        versions: version by package.
        settings: what the search was asked for, as plain values by name.
        epochs: epochs that were planned; None where that was not known.
        validation: what one scoring of a candidate costs, in passes over the training data.
        planned: estimated cost in multiples of a plain fit; None where it was not known.
        group: which parameter group the rates are of, in words; empty where there is one.
    """

    started: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    validation: float = 0.0
    planned: float | None = None
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunShape:
    """What is known of a run before it begins.

    Args:
        epochs: epochs at whose end it stops, counted from the very first; None where that is not known.
        batches: batches of an epoch; None where that is not known.
        accumulate: batches of an optimizer step.
        begin: epoch at which this fit begins.
        max_steps: optimizer steps after which it stops; None where epochs end it.
        val_ratio: validation samples for each training sample, as scored; None where a loader does not tell.
        replays: whether the chosen candidate's epoch is trained once more.
        lived: whether candidates live a schedule in miniature, so that none of them goes on.
    """

    epochs: int | None
    batches: int | None
    accumulate: int = 1
    begin: int = 0
    max_steps: int | None = None
    val_ratio: float | None = 0.0
    replays: bool = False
    lived: bool = False

    @property
    def epoch_steps(self) -> int | None:
        """Optimizer steps of an epoch; None where that is not known."""
        return None if self.batches is None else math.ceil(self.batches / self.accumulate)

    def steps_left(self, epoch: int) -> int | None:
        """Optimizer steps from the start of an epoch to the end of the run.

        Args:
            epoch: the epoch, from 0.

        Returns:
            The steps; None where the length of the run or of an epoch is not known.

        Example:
            >>> RunShape(epochs=3, batches=10).steps_left(1)
            20
        """
        if self.epoch_steps is None:
            return None if self.max_steps is None else self.max_steps
        ends = [self.epochs * self.epoch_steps] if self.epochs is not None else []
        ends += [self.max_steps] if self.max_steps is not None else []
        return max(min(ends) - epoch * self.epoch_steps, 1) if ends else None

    @property
    def epochs_left(self) -> float | None:
        """Epochs that this fit trains, the last one perhaps in part; None where that is not known."""
        if self.epoch_steps is None:
            return None if self.epochs is None else float(self.epochs - self.begin)
        left = self.steps_left(self.begin)
        return None if left is None else left / self.epoch_steps
