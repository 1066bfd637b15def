"""What is known of a run: its shape before it begins, and what a reader of its history has to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

__all__ = ["RunInfo", "RunShape"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values: strings, numbers, lists and dictionaries only.

        Returns:
            A dictionary from which :meth:`from_dict` makes an equal one.
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> RunInfo:
        """What :meth:`to_dict` described; keys that this version does not know are left out.

        Args:
            plain: what :meth:`to_dict` gave.

        Returns:
            An equal one.
        """
        names = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in plain.items() if key in names})
