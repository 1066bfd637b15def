"""What a checkpoint lacks: the random number generators, for an exact resume; a rate, for one without the callback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lightning_gammabo.trainer.snapshot.loaders import loader_generators
from lightning_gammabo.trainer.snapshot.rng import RngState

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["ResumePoint", "fetch_zero_rates", "store_peak_rates"]


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


def store_peak_rates(state: dict[str, Any], checkpoint: dict[str, Any]) -> None:
    """Let a checkpoint whose rates have been annealed to zero hold the peaks instead.

    A fit that is resumed from it without the callback has nothing that writes a rate, and would train at zero.

    Args:
        state: the callback's state in the checkpoint; it is changed.
        checkpoint: the checkpoint that is about to be written; it is changed.
    """
    controller = state["rates"]["controller"]
    if controller is None or controller["shape"] != 0.0:
        return
    state["zero_rates"] = []
    for number, scheduled in enumerate(controller["scheduled"]):
        groups = _groups_of(checkpoint, number)
        zeros = [place for place, group in enumerate(groups) if float(group["lr"]) == 0.0]
        for place in zeros:
            groups[place]["lr"] = _like(groups[place]["lr"], scheduled[place] * controller["peak_factor"])
        state["zero_rates"].append(zeros)


def fetch_zero_rates(state: dict[str, Any], checkpoint: dict[str, Any]) -> None:
    """Undo :func:`store_peak_rates`, for a fit that is resumed with the callback.

    Args:
        state: the callback's state in the checkpoint.
        checkpoint: the checkpoint that is being read; it is changed.
    """
    for number, zeros in enumerate(state.get("zero_rates", [])):
        groups = _groups_of(checkpoint, number)
        for place in zeros:
            groups[place]["lr"] = _like(groups[place]["lr"], 0.0)


def _groups_of(checkpoint: dict[str, Any], number: int) -> list[dict[str, Any]]:
    # an optimizer's groups that have a rate, made the checkpoint's own
    optimizer = checkpoint["optimizer_states"][number]
    groups = [dict(group) for group in optimizer["param_groups"]]
    checkpoint["optimizer_states"][number] = {**optimizer, "param_groups": groups}
    return [group for group in groups if group.get("lr") is not None]


def _like(rate: Any, value: float) -> Any:
    return torch.full_like(rate, value) if isinstance(rate, Tensor) else value


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
