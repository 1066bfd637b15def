"""Trials, their results, and one record for each epoch: frozen, plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any

__all__ = ["EpochRate", "EpochRecord", "Outcome", "Result", "Trial", "TrialState"]


class TrialState(str, Enum):
    """How a candidate ended."""

    COMPLETE = "complete"
    """trained its epoch and has a finite score"""
    DROPPED = "dropped"
    """cut short because its training loss fell hopelessly behind; it has no score"""
    DIVERGED = "diverged"
    """its loss or its score turned non-finite; it counts as worse than every other"""
    FAILED = "failed"
    """it could not be trained at all (out of memory)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A learning rate that is to be tried.

    Args:
        number: position among the trials of its search, from 0.
        lr: the learning rate of the first parameter group.
        origin: where it came from: ``current``, ``region``, ``initial``, ``acquisition``, ``centre``, ``grid``,
            ``random``, ``list``.

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
        behind: of a DROPPED one: its training loss over the leader's, on the same batches.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one trial.

    Args:
        number: the trial's number within its epoch, from 0.
        lr: the learning rate of the first parameter group.
        state: how it ended; it decides whether there is a score.
        score: what the Determinant ranks by, greater is better; None unless COMPLETE.
        loss: the validation loss (the training loss where nothing is validated); None if not finite or not logged.
        accuracy: the validation accuracy as a fraction; None if not logged.
        kappa: the value that is reported for the objective (the thesis's clipped kappa, where one exists).
        metrics: every scalar that the candidate's validation logged.
        steps: optimizer steps that it trained.
        seconds: wall time of training and validation.
        passes: passes over the training data; a candidate that was cut short has less than 1.
        origin: as in :class:`Trial`.
        message: why it was dropped, diverged or failed.
        parts: the score with one validation batch left out, for each of them: what pairs two candidates.
        estimate: of a DROPPED one: what the surrogate takes its score for.
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
    kappa: float | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRate:
    """The learning rate that one epoch was trained with, searched or not.

    Args:
        epoch: ``trainer.current_epoch``, from 0.
        start: the reference rate at its first batch.
        end: the reference rate at its last batch.
        steps: batches that it trained.
        height: the rate at the height of the anchor's schedule (``start`` where the rate is constant).
        returned_to: the epoch from whose end it went on, where the guard had put that one's weights back; None where
            it went on from the last one's.
    """

    epoch: int
    start: float
    end: float
    steps: int
    height: float
    returned_to: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """The search of one epoch.

    Args:
        epoch: ``trainer.current_epoch``, from 0.
        results: one for each candidate, in the order in which they were trained.
        chosen_number: ``number`` of the result whose epoch was committed; None if none could be.
        reason: why this one, in words.
        objective: name of the objective that ranked them.
        commit: ``copy`` or ``replay``.
        train_passes: passes over the training data, the committed epoch included.
        val_passes: passes over the validation data, the committed epoch's own included.
        seconds: wall time of the search, without the committed epoch's own validation.
        search: who proposed the rates; a name that :func:`~lightning_gammabo.bayesopt.make_search` knows.
        lr_low: lowest rate that could be proposed (rates are those at the epoch's start); None if not known.
        lr_high: highest rate that could be proposed.
        n_initial: candidates before a surrogate was asked.
        seed: of this epoch's search.
        policy: name of the policy that planned the search.
        anchor: value of the anchor at the epoch's start, 1 at the height of its schedule: the schedule's height is the
            chosen rate divided by it.
        fraction: share of the epoch that each candidate was to train.
        scorings: validations on what candidates are scored on.

    Raises:
        ValueError: if ``chosen_number`` names no result.
    """

    epoch: int
    results: tuple[Result, ...]
    chosen_number: int | None
    reason: str
    objective: str = "kappa"
    commit: str = "copy"
    train_passes: float = 0.0
    val_passes: float = 0.0
    seconds: float = 0.0
    search: str = "gamma"
    lr_low: float | None = None
    lr_high: float | None = None
    n_initial: int = 2
    seed: int = 0
    policy: str = "thesis"
    anchor: float = 1.0
    fraction: float = 1.0
    scorings: int = 0

    def __post_init__(self) -> None:
        if self.chosen_number is not None and self.chosen_number not in {r.number for r in self.results}:
            raise ValueError(f"EpochRecord(epoch={self.epoch}): no result has number {self.chosen_number}")

    @property
    def chosen(self) -> Result | None:
        """The result whose epoch was committed, or None if none was."""
        return next((r for r in self.results if r.number == self.chosen_number), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: strings, numbers, lists and dictionaries only.

        Returns:
            A dictionary from which :meth:`from_dict` makes an equal record.
        """
        plain = asdict(self)
        plain["results"] = [{**asdict(r), "state": r.state.value, "metrics": dict(r.metrics)} for r in self.results]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> EpochRecord:
        """The record that :meth:`to_dict` described; keys that this version does not know are left out.

        Args:
            plain: what :meth:`to_dict` gave.

        Returns:
            An equal record.
        """
        results = tuple(
            Result(
                **{
                    **_known(Result, result),
                    "state": TrialState(result["state"]),
                    "parts": tuple(result.get("parts", ())),
                }
            )
            for result in plain["results"]
        )
        return cls(**{**_known(cls, plain), "results": results})


def _known(cls: type, plain: Mapping[str, Any]) -> dict[str, Any]:
    names = {f.name for f in fields(cls)}
    return {key: value for key, value in plain.items() if key in names}
