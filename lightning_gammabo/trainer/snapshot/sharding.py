"""Modules whose parameters are sharded by PyTorch's ``fully_shard`` (FSDP2): what has to be done before they are read.

Such a module registers two kinds of parameters in turn: the shards, which the optimizer trains, and whole parameters,
gathered for a forward pass and freed after it. After an evaluation the outermost module keeps the whole ones. They
are a cache: they must not be held, and they are stale once the shards are written.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from torch import nn

from lightning_gammabo.trainer.snapshot.tensors import wrapped_parts

__all__ = ["forget_interrupted_step", "is_sharded", "reshard"]

_initialised: weakref.WeakSet[nn.Module] = weakref.WeakSet()


def is_sharded(module: nn.Module) -> bool:
    """Whether this process holds a part of some parameters only.

    Args:
        module: the network, not within a forward pass.

    Returns:
        True under FSDP2 and tensor parallelism.
    """
    reshard(module)
    return any(wrapped_parts(parameter) for parameter in module.parameters())


def reshard(module: nn.Module) -> None:
    """Let the shards be the module's parameters, and free the whole ones.

    To be called on all ranks, before the state of a module is held and before it is put back. A module without shards
    is left alone.

    Args:
        module: the network.
    """
    for part in _sharded(module):
        if part not in _initialised:
            # FSDP registers hooks at the first forward pass; later than the snapshot, they would be taken away again
            part.unshard()
            _initialised.add(part)
        part.reshard()


def forget_interrupted_step(module: nn.Module) -> None:
    """Make a module usable again after a forward or backward pass that raised.

    Args:
        module: the network; one without shards is left alone.
    """
    outermost: set[nn.Module] = set()
    for part in _sharded(module):
        if part in outermost:
            continue
        outermost.update(part.modules())
        if hasattr(part, "reset_iter_state"):  # newer PyTorch only
            part.reset_iter_state()


def _sharded(module: nn.Module) -> Iterator[Any]:
    # by what their classes can do: FSDP's own has moved between PyTorch's modules
    kinds = ((part, type(part)) for part in module.modules())
    return (part for part, kind in kinds if callable(getattr(kind, "reshard", None)) and hasattr(kind, "unshard"))
