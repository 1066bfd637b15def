"""Where the walk over a run's objects stops: Lightning's own machinery is not entered."""

from __future__ import annotations

import weakref
from collections.abc import Iterable

import torch

from lightning_gammabo.trainer.snapshot.objects import ObjectImage

__all__ = ["NAMESPACES", "data_image", "is_lightning", "named"]

_ENTERED = {"LightningDataModule", "LRSchedulerConfig", "_BaseProgress", "_ModuleMode"}
NAMESPACES = ("lightning.pytorch", "pytorch_lightning", "lightning.fabric", "lightning_fabric")


_lightning_kinds: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()


def is_lightning(kind: type) -> bool:
    """Lightning's own machinery is not entered; the user's modules, and results and progress, are.

    Args:
        kind: class of an object that the walk came to.

    Returns:
        Whether to leave it alone.
    """
    known = _lightning_kinds.get(kind)
    if known is None:
        own = {base.__name__ for base in kind.__mro__ if base.__module__.startswith(NAMESPACES)}
        left_alone = bool(own) and not own & _ENTERED and not issubclass(kind, torch.nn.Module)
        known = _lightning_kinds[kind] = left_alone
    return known


def data_image(loaders: Iterable[object]) -> ObjectImage:
    """The image of loaders and all below them: the position of the data.

    Args:
        loaders: the loaders.

    Returns:
        Their image, large arrays left out.
    """
    roots = named("loader", loaders)
    return ObjectImage(roots, stop=is_lightning, data=list(roots))


def named(name: str, objects: Iterable[object]) -> dict[str, object]:
    """Objects by a numbered name.

    Args:
        name: the name.
        objects: the objects.

    Returns:
        ``name0``, ``name1`` and so on.
    """
    return {f"{name}{index}": obj for index, obj in enumerate(objects)}
