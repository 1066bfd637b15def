"""A search that comes into a Trainer by itself, and goes again where there is one already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_info

from lightning_gammabo.callback import GammaLRSearch
from lightning_gammabo.trainer.compat import join_namespaces

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["AutoloadedSearch"]


class AutoloadedSearch(Callback):
    """Holds the place of a search until the Trainer fits: only then it is known whether the user brings one.

    Args:
        search: the search; it takes this callback's place in ``trainer.callbacks`` if there is no other.
    """

    def __init__(self, search: GammaLRSearch) -> None:
        super().__init__()
        join_namespaces(AutoloadedSearch)
        self.search = search

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the search in before it, or any other, has to do something."""
        if stage != "fit":
            return
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        place = callbacks.index(self)
        if any(isinstance(callback, GammaLRSearch) for callback in callbacks):
            rank_zero_info("GammaLRSearch: the Trainer has one already; the one from the environment is left out")
            return
        callbacks[place] = self.search
        self.search.setup(trainer, pl_module, stage)
