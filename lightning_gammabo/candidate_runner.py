"""What a search asks of whoever trains its candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from lightning_gammabo.records import Outcome

__all__ = ["CandidateRunner"]


class CandidateRunner(Protocol):
    """Trains one epoch several times, always from the same state."""

    @property
    def replay(self) -> bool:
        """Whether committing trains the epoch once more."""

    @property
    def holds(self) -> bool:
        """Whether the candidate kept last can be committed without training it again."""

    @property
    def wasted(self) -> float:
        """Passes over the training data that :meth:`train_many` spent in vain."""

    def agree(self, value: Any) -> Any:
        """One value for all processes that train together.

        Args:
            value: this process's value.
        """

    def baseline(self) -> Outcome | None:
        """Validate the state at the start of the epoch; None where that would leave a trace."""

    def train(self, lr: float) -> Outcome:
        """Train the epoch from its start at one rate, and validate it.

        Args:
            lr: the learning rate.
        """

    def trains_together(self) -> bool:
        """Whether :meth:`train_many` trains candidates in one; found out by trying, so ask only where it matters."""

    def train_many(self, lrs: Sequence[float], usable: Callable[[Outcome], bool]) -> list[Outcome] | None:
        """Train the epoch from its start at several rates, and validate each; none of them can be kept.

        Args:
            lrs: the learning rates.
            usable: whether a candidate gave what it is to be ranked by.

        Returns:
            What came of them; None where they have to be trained one after the other.
        """

    def keep(self) -> None:
        """Hold the end state of the candidate trained last by :meth:`train`."""
