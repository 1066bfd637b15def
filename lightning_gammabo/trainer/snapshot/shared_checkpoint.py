"""What a checkpoint that all ranks share holds of each: random numbers, and shards of the best weights.

Lightning writes the callbacks' state of rank 0 alone. Under a sharded strategy a checkpoint is a folder to which each
rank adds its shards of weights and optimizer states (PyTorch's distributed checkpoint). The shards of the best weights
go the same way, beside the optimizers' states: no rank ever has more than its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lightning_gammabo.trainer.snapshot.sharding import reshard
from lightning_gammabo.trainer.snapshot.tensors import wrapped_parts
from lightning_gammabo.trainer.snapshot.weights import HELD_PARTS

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["fetch_rank_states", "store_rank_states"]

_SHARD = "shard of"
_HELD = "held by lightning_gammabo"


def store_rank_states(trainer: Trainer, state: dict[str, Any], checkpoint: dict[str, Any]) -> None:
    """Make a callback's state one that serves all ranks; to be called on all of them.

    Args:
        trainer: the Trainer, in ``on_save_checkpoint``.
        state: the callback's state in the checkpoint; it is changed.
        checkpoint: the checkpoint that is about to be written; shards are added to it.
    """
    if trainer.world_size > 1 and state.get("resume") is not None:
        gathered: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(gathered, state["resume"])
        state["resume"] = {"ranks": gathered}
    shards: dict[str, Tensor] = {}
    in_folder = any(map(wrapped_parts, filter(_is_tensor, checkpoint["state_dict"].values())))
    named = _parameters_by_form(trainer.lightning_module)

    def leave(tensor: Tensor) -> Any:
        parameter = named.get(_form(tensor))
        if not in_folder or parameter is None:
            # the whole model goes to one file, as Lightning has it; or a statistic of a form of its own
            return tensor.to(trainer.strategy.root_device).full_tensor().cpu()  # type: ignore[attr-defined]
        name = str(len(shards))
        shards[name] = tensor
        return {_SHARD: parameter, "name": name}

    for owner, key in _held(state):
        owner[key] = _mapped(owner[key], lambda leaf: isinstance(leaf, Tensor) and bool(wrapped_parts(leaf)), leave)
    if shards:
        # Lightning writes each entry of this list in the folder, and reads those of the Trainer's optimizers
        checkpoint["optimizer_states"].append({_HELD: shards})


def fetch_rank_states(trainer: Trainer, state: dict[str, Any]) -> None:
    """Make a callback's state this rank's own; to be called on all ranks.

    Args:
        trainer: the Trainer, in ``on_load_checkpoint``.
        state: the callback's state in the checkpoint; it is changed.
    """
    resume = state.get("resume")
    if resume is not None and "ranks" in resume:
        # with another world size some states serve two ranks, or none
        state["resume"] = resume["ranks"][trainer.global_rank % len(resume["ranks"])]
    parameters = dict(trainer.lightning_module.named_parameters())
    shards: dict[str, Tensor] = {}

    def find(token: dict[str, str]) -> Tensor:
        like = parameters[token[_SHARD]].detach()
        return shards.setdefault(token["name"], like.to("cpu", copy=True))

    reshard(trainer.lightning_module)
    for owner, key in _held(state):
        owner[key] = _mapped(owner[key], lambda leaf: isinstance(leaf, dict) and _SHARD in leaf, find)
    if shards:
        from torch.distributed.checkpoint.state_dict_loader import load

        path = Path(trainer.strategy.broadcast(str(trainer.ckpt_path)))
        key = f"optimizer_{len(trainer.optimizers)}"
        load({key: {_HELD: shards}}, checkpoint_id=path)


def _held(state: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    # where weights are held in a state: a dictionary of it and the key
    for key, value in state.items():
        if isinstance(value, dict) and value.keys() == HELD_PARTS:
            yield state, key
        elif isinstance(value, dict):
            yield from _held(value)


def _mapped(tree: Any, wanted: Callable[[Any], bool], change: Callable[[Any], Any]) -> Any:
    if wanted(tree):
        return change(tree)
    if isinstance(tree, dict):
        return {key: _mapped(value, wanted, change) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_mapped(value, wanted, change) for value in tree]
    return tree


def _parameters_by_form(module: nn.Module) -> dict[Any, str]:
    reshard(module)
    sharded = [(name, one) for name, one in module.named_parameters() if wrapped_parts(one)]
    return {_form(one): name for name, one in reversed(sharded)}  # of equals, the first


def _form(tensor: Any) -> Any:
    return tuple(tensor.shape), tensor.dtype, tuple(tensor.placements), tensor.device_mesh


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)
