"""A copy of what training changes, in host memory: to go on from there later, or not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

__all__ = ["HeldWeights"]


class HeldWeights:
    """Trained parameters, buffers and the optimizers' state at one moment.

    Parameters that are not trained are left out: they do not change, and may be most of a network that is fine-tuned.
    Learning rates and the other values of parameter groups are left out too: schedules go on.

    Args:
        plain: what :attr:`plain` gave.

    Attributes:
        plain: dictionaries, lists, numbers and tensors, loadable with ``torch.load(weights_only=True)``.
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
        held, now = self.plain["tensors"], dict(_trained(module))
        same = held.keys() == now.keys() and all(held[name].shape == now[name].shape for name in now)
        if not same or len(self.plain["optimizers"]) != len(optimizers):
            return False
        for name, tensor in now.items():
            tensor.copy_(held[name])
        for optimizer, state in zip(optimizers, self.plain["optimizers"], strict=True):
            # what is loaded becomes the optimizer's own, and changes
            optimizer.load_state_dict({**optimizer.state_dict(), "state": _copied(state)})
        return True


def _trained(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    parameters = ((name, one) for name, one in module.named_parameters() if one.requires_grad and not is_lazy(one))
    return ((name, tensor.detach()) for name, tensor in itertools.chain(parameters, module.named_buffers()))


def _copied(state: Any) -> Any:
    return apply_to_collection(state, Tensor, lambda tensor: tensor.detach().to("cpu", copy=True))
