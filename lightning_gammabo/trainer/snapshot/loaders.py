"""The data of a run: its loaders, whether they give the same batches again, and where they stand."""

from __future__ import annotations

import collections
import math
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from lightning_gammabo.trainer.snapshot.rng import RngState
from lightning_gammabo.trainer.snapshot.roots import data_image

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


__all__ = [
    "LoaderMark",
    "end_threads",
    "loader_generators",
    "samples_of",
    "shared_by_workers",
    "threaded",
    "train_loaders",
    "unreplayable",
    "val_loaders",
]


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
    return shared_by_workers(loaders)


def shared_by_workers(loaders: Iterable[Any]) -> str | None:
    """Whether the worker processes of a loader share a value, which may make other batches the next time, or may not.

    Args:
        loaders: as for :func:`unreplayable`.

    Returns:
        Where, in words, or None.
    """
    for loader in loaders:
        shared = data_image([loader]).shared if getattr(loader, "num_workers", 0) > 0 else ()
        if shared:
            return f"{type(loader).__name__}: its worker processes share a value ({shared[0]})"
    return None


def threaded(trainer: Trainer) -> str | None:
    """Whether the training loader's present iterator is fed by a thread of its own.

    Args:
        trainer: the Trainer.

    Returns:
        What, in words, or None: an iterator that is left in the midst of an epoch would leave its thread behind.
    """
    found = next((kind for kind in map(_thread_within, _iterators(trainer)) if kind is not None), None)
    return f"a thread ({found}) reads ahead" if found is not None else None


def end_threads(trainer: Trainer) -> None:
    """Let threads that feed the training loader's iterator come to their end, by reading what they have.

    Args:
        trainer: the Trainer, after an epoch that was left in its midst.
    """
    for iterator in _iterators(trainer):
        if _thread_within(iterator) is not None and trainer.num_training_batches != math.inf:
            collections.deque(iterator, maxlen=0)


def _iterators(trainer: Trainer) -> list[Any]:
    loader: Any = trainer.fit_loop._combined_loader
    return list(getattr(getattr(loader, "_iterator", None), "iterators", None) or [])


def _thread_within(iterator: Any) -> str | None:
    # the iterator itself, what it holds, and what a generator function that has begun holds
    within = [iterator, getattr(getattr(iterator, "_dataset_fetcher", None), "dataset_iter", None)]
    frames = [getattr(one, "gi_frame", None) for one in within]
    values = [*within, *vars(iterator).values()] if hasattr(iterator, "__dict__") else within
    values += [value for frame in frames if frame is not None for value in frame.f_locals.values()]
    own = (value for value in values if isinstance(value, threading.Thread) and value.is_alive())
    # torch's loaders end the threads that pin their memory themselves
    return next((type(thread).__name__ for thread in own if "_pin_memory" not in thread.name), None)


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
