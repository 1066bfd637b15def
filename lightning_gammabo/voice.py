"""What a fit says to its user: each thing once, on rank 0."""

from __future__ import annotations

from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from lightning_gammabo.beside_bars import beside_bars

__all__ = ["Voice"]


class Voice:
    """Says each message once in a fit."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def inform(self, message: str) -> None:
        """Say what a user may want to question.

        Args:
            message: the words.
        """
        if self._is_new(message):
            with beside_bars():
                rank_zero_info(f"GammaLRSearch: {message}")

    def warn(self, message: str) -> None:
        """Say what a user should look at.

        Args:
            message: the words.
        """
        if self._is_new(message):
            with beside_bars():
                rank_zero_warn(f"GammaLRSearch: {message}")

    def _is_new(self, message: str) -> bool:
        new = message not in self._said
        self._said.add(message)
        return new
