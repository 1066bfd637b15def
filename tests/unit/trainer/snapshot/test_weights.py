"""A copy of what training changes, against deep copies of everything."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from lightning_gammabo.trainer.snapshot.weights import HeldWeights

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    "AdamW, fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "LBFGS": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3),
}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.lazy = nn.LazyLinear(2)
        self.register_buffer("unsaved", torch.zeros(2), persistent=False)
        self.unsaved: torch.Tensor

    def train_some(self, optimizers: Sequence[Optimizer], steps: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            for optimizer in optimizers:

                def closure(optimizer: Optimizer = optimizer) -> torch.Tensor:
                    optimizer.zero_grad()
                    x = torch.randn(8, 3, generator=generator)
                    loss: torch.Tensor = self.layers(self.frozen(x)).square().mean()
                    loss.backward()
                    return loss

                optimizer.step(closure)
            self.unsaved += 1.0


def everything(module: nn.Module, optimizers: Sequence[Optimizer]) -> Any:
    named = [*module.named_parameters(), *module.named_buffers()]
    values = {name: value for name, value in named if not nn.parameter.is_lazy(value)}
    return copy.deepcopy(
        ({name: value.detach() for name, value in values.items()}, [o.state_dict() for o in optimizers])
    )


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return bool(torch.equal(a, b) and a.dtype == b.dtype)
    if isinstance(a, dict):
        return bool(a.keys() == b.keys()) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def trained(make: Any = None) -> tuple[Net, list[Optimizer]]:
    torch.manual_seed(0)
    module = Net()
    optimizers = [(make or (lambda parameters: torch.optim.Adam(parameters, lr=0.01)))(module.layers.parameters())]
    module.train_some(optimizers, 3, seed=1)
    return module, optimizers


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_copy_that_is_put_back_trains_on_as_before(name: str) -> None:
    module, optimizers = trained(OPTIMIZERS[name])
    before = everything(module, optimizers)
    held = HeldWeights.take(module, optimizers)
    module.train_some(optimizers, 2, seed=2)
    after = everything(module, optimizers)
    assert not same(before, after)
    for _ in range(2):  # what was put back is trained, the copy is not
        assert held.put_back(module, optimizers)
        assert same(before, everything(module, optimizers))
        module.train_some(optimizers, 2, seed=2)
        assert same(after, everything(module, optimizers))


def test_rates_and_other_values_of_groups_stay() -> None:
    module, optimizers = trained()
    held = HeldWeights.take(module, optimizers)
    optimizers[0].param_groups[0] |= {"lr": 0.5, "weight_decay": 0.1}
    held.put_back(module, optimizers)
    assert (optimizers[0].param_groups[0]["lr"], optimizers[0].param_groups[0]["weight_decay"]) == (0.5, 0.1)


def test_frozen_parameters_are_not_copied_and_tensors_stay_where_they_are() -> None:
    module, optimizers = trained()
    held = HeldWeights.take(module, optimizers)
    assert not [name for name in held.plain["tensors"] if "frozen" in name or "lazy" in name]
    places = {name: value.data_ptr() for name, value in module.layers.named_parameters()}
    held.put_back(module, optimizers)
    assert places == {name: value.data_ptr() for name, value in module.layers.named_parameters()}
    assert all(value.requires_grad for value in module.layers.parameters())


def test_it_is_plain() -> None:
    module, optimizers = trained()
    before, file = everything(module, optimizers), io.BytesIO()
    torch.save(HeldWeights.take(module, optimizers).plain, file)
    file.seek(0)
    module.train_some(optimizers, 2, seed=2)
    assert HeldWeights(torch.load(file, weights_only=True)).put_back(module, optimizers)
    assert same(before, everything(module, optimizers))


def unfreeze(module: Net, optimizers: list[Optimizer]) -> None:
    module.frozen.requires_grad_(True)


def reshape(module: Net, optimizers: list[Optimizer]) -> None:
    module.layers[2] = nn.Linear(4, 2)


def replace(module: Net, optimizers: list[Optimizer]) -> None:
    module.layers[1] = nn.Identity()


def add(module: Net, optimizers: list[Optimizer]) -> None:
    optimizers.append(torch.optim.SGD(module.layers.parameters(), lr=0.1))


@pytest.mark.parametrize("change", [unfreeze, reshape, replace, add])
def test_where_something_else_is_trained_nothing_is_written(change: Any) -> None:
    module, optimizers = trained()
    held = HeldWeights.take(module, optimizers)
    change(module, optimizers)
    module.train_some(optimizers[:1], 1, seed=3)
    now = everything(module, optimizers)
    assert not held.put_back(module, optimizers)
    assert same(now, everything(module, optimizers))
