"""The data of a run: its loaders, whether they give the same batches again, and where they stand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from lightning_gammabo.trainer.snapshot.rng import RngState
from lightning_gammabo.trainer.snapshot.roots import data_image

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


__all__ = ["LoaderMark", "loader_generators", "samples_of", "train_loaders", "unreplayable", "val_loaders"]


class LoaderMark:
    """Data position and random numbers at the moment when the training loader's iterator was made.

    In the first epoch of a fit Lightning makes the iterator long before the epoch starts. To see the same batches
    again, another iterator has to be made from this very state.

    Args:
        trainer: the Trainer, its training loader already requested.
        combined_loader: the loader that the iterator is made from.

    Attributes:
        fetched: batches that were fetched (ahead) when the iterator was made; more by now means that it was used.
    """

    def __init__(self, trainer: Trainer, combined_loader: Any) -> None:
        self.fetched = 0
        self._image = data_image(getattr(combined_loader, "flattened", [combined_loader]))
        self._rng = RngState.take()

    def restore(self) -> None:
        """Put data position and random numbers back."""
        self._image.restore()
        self._rng.restore()


def train_loaders(trainer: Trainer) -> list[Any]:
    """The training loaders in use.

    Args:
        trainer: the Trainer, inside ``fit``.

    Returns:
        The flat list; empty before they were requested.
    """
    loader = trainer.fit_loop._combined_loader
    return list(loader.flattened) if loader is not None else []


def val_loaders(trainer: Trainer) -> list[Any]:
    """The validation loaders in use.

    Args:
        trainer: the Trainer, inside ``fit``.

    Returns:
        The flat list; empty before they were requested.
    """
    loader = trainer.fit_loop.epoch_loop.val_loop._combined_loader
    return list(loader.flattened) if loader is not None else []


def loader_generators(trainer: Trainer) -> dict[str, Any]:
    """The random number generators that the training loaders hold.

    Args:
        trainer: the Trainer.

    Returns:
        The generators, each under a path that is the same in another process.
    """
    return data_image(train_loaders(trainer)).generators


def unreplayable(loaders: Iterable[Any]) -> str | None:
    """Whether iterating loaders again gives other batches.

    Args:
        loaders: what :func:`train_loaders` or :func:`val_loaders` gave.

    Returns:
        Why, in words, or None if the batches can be had again.
    """
    for loader in loaders:
        name = type(loader).__name__
        if getattr(loader, "persistent_workers", False) and getattr(loader, "num_workers", 0) > 0:
            return f"{name}(persistent_workers=True): its workers go on with the random numbers of the epoch before"
        if hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict"):
            return f"{name} keeps a position of its own"
        if not isinstance(loader, torch.utils.data.DataLoader) and hasattr(type(loader), "__next__"):
            return f"{name} is an iterator: it goes on where it stopped"
        image = data_image([loader])
        held = [(path, what) for path, what in image.unheld.items() if path != "loader0._iterator"]
        if held:
            return f"{name} holds {held[0][1]} ({held[0][0]})"
        if image.shared and getattr(loader, "num_workers", 0) > 0:
            return f"{name}: its worker processes share a value ({image.shared[0]})"
    return None


def samples_of(loaders: Iterable[Any], limit: float | None) -> int:
    """How many samples loaders give in a pass.

    Args:
        loaders: the loaders.
        limit: batches of each at the most, or a share of them; None for no limit.

    Returns:
        The number, as far as loaders tell it.
    """
    samples = 0
    for loader in loaders:
        size = getattr(loader, "batch_size", None) or 1
        total = len(loader.dataset) if hasattr(getattr(loader, "dataset", None), "__len__") else 0
        # 1 is one batch, 1.0 is all
        most = math.inf if limit is None else limit * size if isinstance(limit, int) else limit * total
        samples += int(min(total, most))
    return samples
