"""A copy of what training changes, in host memory: to go on from there later, or not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from lightning_gammabo.trainer.snapshot.sharding import reshard
from lightning_gammabo.trainer.snapshot.tensors import wrapped_parts

__all__ = ["HELD_PARTS", "HeldWeights"]

HELD_PARTS = frozenset(("tensors", "optimizers"))
"""keys of :attr:`HeldWeights.plain`"""


class HeldWeights:
    """Trained parameters, buffers and the optimizers' state at one moment.

    Parameters that are not trained are left out: they do not change, and may be most of a network that is fine-tuned.
    Learning rates and the other values of parameter groups are left out too: schedules go on. Of sharded weights each
    rank holds its own shards.

    Args:
        plain: what :attr:`plain` gave.

    Attributes:
        plain: dictionaries, lists, numbers and tensors, loadable with ``torch.load(weights_only=True)``; shards are
            written by :mod:`lightning_gammabo.trainer.snapshot.shared_checkpoint`.
    """

    def __init__(self, plain: dict[str, Any]) -> None:
        self.plain = plain

    @classmethod
    def take(cls, module: nn.Module, optimizers: Sequence[Optimizer]) -> HeldWeights:
        """Copy what is there now.

        Args:
            module: the network.
            optimizers: those that train it.

        Returns:
            The copy.
        """
        reshard(module)
        tensors = {name: _copied(tensor) for name, tensor in _trained(module)}
        return cls({"tensors": tensors, "optimizers": [_copied(one.state_dict()["state"]) for one in optimizers]})

    def put_back(self, module: nn.Module, optimizers: Sequence[Optimizer]) -> bool:
        """Write the copy over what is there now, in place.

        Args:
            module: the network that it was taken of.
            optimizers: its optimizers.

        Returns:
            Whether it could be; nothing is written where other tensors are trained now, or by other optimizers.
        """
        reshard(module)
        held, now = self.plain["tensors"], dict(_trained(module))
        same = held.keys() == now.keys() and all(held[name].shape == now[name].shape for name in now)
        if not same or len(self.plain["optimizers"]) != len(optimizers):
            return False
        for name, tensor in now.items():
            tensor.copy_(_laid_out(held[name], tensor))
        for optimizer, state in zip(optimizers, self.plain["optimizers"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            # what is loaded becomes the optimizer's own, and changes
            own = {i: apply_to_collection(_copied(one), Tensor, _laid_out, parameters[i]) for i, one in state.items()}
            optimizer.load_state_dict({**optimizer.state_dict(), "state": own})
        return True


def _trained(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    parameters = ((name, one) for name, one in module.named_parameters() if one.requires_grad and not is_lazy(one))
    return ((name, tensor.detach()) for name, tensor in itertools.chain(parameters, module.named_buffers()))


def _copied(state: Any) -> Any:
    return apply_to_collection(state, Tensor, lambda tensor: tensor.detach().to("cpu", copy=True))


def _laid_out(value: Tensor, like: Tensor) -> Tensor:
    # a whole tensor, from a checkpoint in one file, for a parameter that is sharded: this rank's shard
    if not wrapped_parts(like) or wrapped_parts(value) or value.ndim == 0 or value.shape != like.shape:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
