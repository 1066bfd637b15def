"""Trials and their results: frozen, plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lightning_gammabo.records.plain import PlainRecord

__all__ = ["Outcome", "Result", "Trial", "TrialState", "has_exploded", "paired_error"]

EXPLODED = 1e6
"""a loss so many times that of a trained or untrained network, or 1 if that is more, is finite only by chance"""


def has_exploded(loss: float, usual: float) -> bool:
    """Whether a loss is that of a training that diverged.

    Args:
        loss: the loss.
        usual: a loss from before, or of a candidate that trained well.

    Returns:
        True where it is not finite, or absurdly large.

    Example:
        >>> has_exploded(4e26, usual=2.3), has_exploded(float("nan"), usual=2.3), has_exploded(9.0, usual=2.3)
        (True, True, False)
    """
    return not math.isfinite(loss) or abs(loss) > EXPLODED * max(1.0, abs(usual))


class TrialState(str, Enum):
    """How a candidate ended."""

    COMPLETE = "complete"
    """trained its epoch and has a finite score"""
    PRUNED = "pruned"
    """cut short because its training loss fell hopelessly behind; it has no score"""
    DIVERGED = "diverged"
    """its loss turned non-finite or absurdly large, or user code raised; it counts as worse than every other"""
    FAILED = "failed"
    """it could not be trained at all (out of memory)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial(PlainRecord):
    """A learning rate that is to be tried.

    Args:
        number: position among the trials of its search, from 0.
        lr: the learning rate of the first parameter group.
        origin: where it came from: ``current``, ``usual``, ``region``, ``initial``, ``acquisition``, ``smoothed``,
            ``grid``, ``random``, ``list``.

    Raises:
        ValueError: if ``lr`` is negative or not finite.
    """

    number: int
    lr: float
    origin: str = "acquisition"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lr) and self.lr >= 0.0):
            raise ValueError(f"Trial(lr={self.lr!r}): a learning rate is finite and not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What training and validating one candidate gave, before it is judged.

    Args:
        state: whether it came to its end.
        metrics: every scalar that it logged, by name.
        train_loss: mean training loss of its last quarter; None if ``training_step`` returns none.
        val_loss: mean of the losses that ``validation_step`` returns; None if it returns none.
        batches: mean and weight of each validation batch, by the name of what was logged as a mean.
        steps: optimizer steps that it trained.
        passes: passes over the training data.
        val_passes: passes over the validation data.
        seconds: wall time.
        message: why it did not come to its end.
        behind: of a PRUNED one: its training loss over the leader's, on the same batches.
        cooling_passes: how much of ``passes`` was trained with a falling rate, for the score alone.
        quarters: mean training loss of each quarter of the batches before the cooling; empty where there are under
            four.
    """

    state: TrialState
    metrics: Mapping[str, float] = field(default_factory=dict)
    train_loss: float | None = None
    val_loss: float | None = None
    batches: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    steps: int = 0
    passes: float = 1.0
    val_passes: float = 1.0
    seconds: float = 0.0
    message: str = ""
    behind: float | None = None
    cooling_passes: float = 0.0
    quarters: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result(PlainRecord):
    """What became of one trial.

    Args:
        number: the trial's number within its epoch, from 0.
        lr: the learning rate of the first parameter group.
        state: how it ended; it decides whether there is a score.
        score: what the Determinant ranks by, greater is better; None unless COMPLETE.
        loss: the validation loss (the training loss where nothing is validated); None if not finite or not logged.
        accuracy: the validation accuracy as a fraction; None if not logged.
        value: the objective's own value, under its own sign (a loss is positive); None if it was not logged.
        metrics: every scalar that the candidate's validation logged.
        steps: optimizer steps that it trained.
        seconds: wall time of training and validation.
        passes: passes over the training data; a candidate that was cut short has less than 1.
        origin: as in :class:`Trial`.
        message: why it was pruned, diverged or failed.
        parts: the score with one validation batch left out, for each of them: what pairs two candidates.
        estimate: of a PRUNED one: what the surrogate takes its score for.
        cooling_passes: how much of ``passes`` was trained with a falling rate, for the score alone; the epoch does not
            go on from there.

    Raises:
        ValueError: if ``score`` does not fit ``state``.
    """

    number: int
    lr: float
    state: TrialState
    score: float | None = None
    loss: float | None = None
    accuracy: float | None = None
    value: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    passes: float = 0.0
    origin: str = "acquisition"
    message: str = ""
    parts: tuple[float, ...] = ()
    estimate: float | None = None
    cooling_passes: float = 0.0

    def __post_init__(self) -> None:
        complete = self.state is TrialState.COMPLETE
        if complete != (self.score is not None and math.isfinite(self.score)):
            raise ValueError(f"Result {self.number}: score={self.score!r} does not fit {self.state.name}")

    @classmethod
    def _read(cls, known: dict[str, Any]) -> dict[str, Any]:
        return {**known, "state": TrialState(known["state"]), "parts": tuple(known.get("parts", ()))}

    def __repr__(self) -> str:
        value = "" if self.value is None else f", value={self.value:.4g}"
        return f"Result(number={self.number}, lr={self.lr:.2e}, {self.state.value}{value})"


def paired_error(a: Result, b: Result) -> float | None:
    """Standard error of the difference of two scores, measured on the same validation batches, by the jackknife.

    With ``d_i`` the difference of the scores without batch ``i`` of ``B``:
    ``sqrt((B - 1) / B * sum((d_i - mean(d))**2))``. What both candidates find hard cancels.

    Args:
        a: a result with ``parts``.
        b: another one, of the same epoch.

    Returns:
        The error, in units of the score; None where there are no pairs, or fewer than two.

    Source: B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans, SIAM 1982, ch. 3.
    """
    pairs = len(a.parts)
    if pairs < 2 or pairs != len(b.parts):
        return None
    differences = [left - right for left, right in zip(a.parts, b.parts, strict=True)]
    mean = sum(differences) / pairs
    return math.sqrt((pairs - 1) / pairs * sum((difference - mean) ** 2 for difference in differences))
