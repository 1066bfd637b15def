"""What a search asks of whoever trains its candidates."""

from __future__ import annotations

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

    def keep(self) -> None:
        """Hold the end state of the candidate trained last by :meth:`train`."""
