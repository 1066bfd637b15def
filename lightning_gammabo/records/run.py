"""What is known of a run before it begins."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RunShape"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunShape:
    """What is known of a run before it begins.

    Args:
        epochs: epochs that it will train; None where that is not known.
        batches: batches of an epoch; None where that is not known.
        accumulate: batches of an optimizer step.
        val_ratio: validation samples for each training sample, as scored.
        replays: whether the winner's epoch is trained once more.
    """

    epochs: int | None
    batches: int | None
    accumulate: int = 1
    val_ratio: float = 0.0
    replays: bool = False
