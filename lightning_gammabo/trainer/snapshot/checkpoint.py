"""What a checkpoint lacks for an exact resume: the random number generators, at the moment it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lightning_gammabo.trainer.snapshot.loaders import loader_generators
from lightning_gammabo.trainer.snapshot.rng import RngState

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["ResumePoint"]


class ResumePoint:
    """Global generators, and those that the training loaders hold, as plain values.

    Args:
        plain: what :meth:`take` gave.
    """

    def __init__(self, plain: dict[str, Any]) -> None:
        self._plain = plain

    @staticmethod
    def take(trainer: Trainer) -> dict[str, Any]:
        """The generators as they are now.

        Args:
            trainer: the Trainer, inside ``fit``.

        Returns:
            Plain values and tensors, loadable with ``torch.load(weights_only=True)``.
        """
        loaders = {path: _state_of(generator) for path, generator in loader_generators(trainer).items()}
        return {"rng": RngState.take().to_plain(), "loaders": loaders}

    def restore(self, trainer: Trainer) -> None:
        """Put the generators back to where they were when the checkpoint was written.

        Args:
            trainer: the Trainer, its training loaders requested.
        """
        RngState.from_plain(self._plain["rng"]).restore()
        for path, generator in loader_generators(trainer).items():
            if path in self._plain["loaders"]:
                _put_state(generator, self._plain["loaders"][path])


def _state_of(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state().clone()
    if isinstance(generator, np.random.BitGenerator):
        return _plain(generator.state)
    if isinstance(generator, np.random.RandomState):
        return _plain(generator.get_state(legacy=False))
    version, internal, gauss = generator.getstate()
    return [version, list(internal), gauss]


def _put_state(generator: Any, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state.cpu())
    elif isinstance(generator, np.random.BitGenerator):
        generator.state = _arrays(state)
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(_arrays(state))
    else:
        version, internal, gauss = state
        generator.setstate((version, tuple(internal), gauss))


def _plain(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _plain(value) for key, value in tree.items()}
    if isinstance(tree, np.ndarray):
        return {"dtype": str(tree.dtype), "entries": [int(entry) for entry in tree]}
    return tree.item() if isinstance(tree, np.generic) else tree


def _arrays(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if set(tree) == {"dtype", "entries"}:
        return np.array(tree["entries"], dtype=tree["dtype"])
    return {key: _arrays(value) for key, value in tree.items()}
