"""Copies of schedulers: they move as the originals would, and the originals do not move."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.optim import lr_scheduler as lrs

from lightning_gammabo.learning_rate.shadow import shadows

pytestmark = pytest.mark.filterwarnings("ignore")


class Doubles:
    """A callable with state of its own."""

    def __init__(self) -> None:
        self.value = 1.0

    def __call__(self, step: int) -> float:
        self.value *= 2.0
        return self.value


class Own(lrs.LRScheduler):
    """A scheduler of a user's, with a container that grows."""

    def __init__(self, optimizer: Any) -> None:
        self.seen: list[float] = []
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        self.seen.append(float(self.optimizer.param_groups[0]["lr"]))
        return [0.9 * group["lr"] for group in self.optimizer.param_groups]


class NotOfTorch:
    """Has a ``step`` and writes to the groups that it holds."""

    def __init__(self, optimizer: Any) -> None:
        self.groups = optimizer.param_groups
        self.first = optimizer.param_groups[0]

    def step(self) -> None:
        self.first["lr"] *= 0.5
        assert self.groups[0] is self.first


class Asks(LightningModule):
    """Gives its own method to a scheduler."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.trainer = Trainer(logger=False, enable_checkpointing=False)

    def factor(self, step: int) -> float:
        return 1.0 / (1 + step)


def counting() -> Callable[[int], float]:
    calls, seen = 0, [0]

    def factor(step: int) -> float:
        nonlocal calls
        calls += 1
        seen.append(step)
        return 1.0 / calls + len(seen)

    return factor


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "lambda": lambda o: lrs.LambdaLR(o, lambda step: 0.5**step),
    "counting lambda": lambda o: lrs.LambdaLR(o, counting()),
    "callable": lambda o: lrs.LambdaLR(o, Doubles()),
    "partial": lambda o: lrs.LambdaLR(o, functools.partial(pow, 0.5)),
    "method of a module": lambda o: lrs.LambdaLR(o, Asks().factor),
    "multiplicative": lambda o: lrs.MultiplicativeLR(o, lambda step: 0.9),
    "one-cycle": lambda o: lrs.OneCycleLR(o, 1.0, total_steps=20),
    "cyclic": lambda o: lrs.CyclicLR(o, 0.01, 0.1, 3),
    "restarts": lambda o: lrs.CosineAnnealingWarmRestarts(o, 3),
    "sequential": lambda o: lrs.SequentialLR(o, [lrs.LinearLR(o, 0.1, 1, 3), lrs.ExponentialLR(o, 0.5)], [3]),
    "chained": lambda o: lrs.ChainedScheduler([lrs.LinearLR(o, 0.1, 1, 3), lrs.ExponentialLR(o, 0.9)]),
    "of a user": Own,
    "not of torch": NotOfTorch,
}


def optimizer_of(tensor_rate: bool = False) -> Any:
    groups: list[dict[str, Any]] = [
        {"params": nn.Linear(2, 3).parameters()},
        {"params": [nn.Parameter(torch.ones(2))], "lr": 0.01},
    ]
    rate: Any = torch.tensor(0.25) if tensor_rate else 0.25
    return torch.optim.Adam(groups, lr=rate, foreach=False, capturable=False)


def image(scheduler: Any, optimizer: Any) -> Any:
    """All that a scheduler could move, as text."""
    return [
        [{**group, "params": [p.tolist() for p in group["params"]]} for group in optimizer.param_groups],
        contents(vars(scheduler)),
        sorted(vars(optimizer)),
    ]


def contents(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(key): contents(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [contents(value) for value in tree]
    if isinstance(tree, (lrs.LRScheduler, Doubles)):
        return contents(vars(tree))
    if hasattr(tree, "__closure__"):
        return [contents(cell.cell_contents) for cell in tree.__closure__ or ()]
    return repr(tree)


def rates(optimizer: Any) -> list[Any]:
    return [(float(group["lr"]), group["betas"]) for group in optimizer.param_groups]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_copy_moves_as_the_original_would_and_that_one_stays(name: str) -> None:
    optimizer = optimizer_of()
    scheduler = SCHEDULERS[name](optimizer)
    if isinstance(scheduler, lrs.LRScheduler):
        optimizer.step()
        scheduler.step()
    before = repr(image(scheduler, optimizer))
    (copied,), (shadow,) = shadows([scheduler], [optimizer])
    ahead = []
    for _ in range(9):
        copied.step()
        ahead.append(rates(shadow))
    assert repr(image(scheduler, optimizer)) == before
    then = []
    for _ in range(9):
        scheduler.step()
        then.append(rates(optimizer))
    assert ahead == then
    assert type(copied) is type(scheduler)


def test_two_schedulers_of_one_optimizer_write_to_one_copy() -> None:
    optimizer = optimizer_of()
    both = [lrs.ExponentialLR(optimizer, 0.5), lrs.LambdaLR(optimizer, lambda step: 1.0), NotOfTorch(optimizer)]
    copies, (shadow,) = shadows(both, [optimizer])
    assert [copied.optimizer is shadow for copied in copies[:2]] == [True, True]
    assert copies[2].groups is shadow.param_groups
    assert copies[2].first is shadow.param_groups[0]
    assert shadow.param_groups is not optimizer.param_groups


def test_weights_and_their_state_are_not_copied() -> None:
    optimizer = optimizer_of()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    _, (shadow,) = shadows([], [optimizer])
    assert type(shadow) is type(optimizer)
    assert shadow.state == {}
    assert [len(group["params"]) for group in shadow.param_groups] == [2, 1]
    assert all(p.numel() == 0 for group in shadow.param_groups for p in group["params"])
    assert len(optimizer.state) == 3


def test_a_rate_that_is_a_tensor_is_another_tensor() -> None:
    optimizer = optimizer_of(tensor_rate=True)
    scheduler = lrs.ExponentialLR(optimizer, 0.5)
    (copied,), (shadow,) = shadows([scheduler], [optimizer])
    copied.step()
    assert float(shadow.param_groups[0]["lr"]) == 0.125
    assert float(optimizer.param_groups[0]["lr"]) == 0.25


def test_a_network_and_its_trainer_are_not_copied() -> None:
    module = Asks()
    (copied,), _ = shadows([lrs.LambdaLR(optimizer_of(), module.factor)], [])
    assert copied.lr_lambdas[0].__self__ is module


def test_what_cannot_be_copied_is_an_error() -> None:
    class Draws(NotOfTorch):
        def __init__(self, optimizer: Any) -> None:
            super().__init__(optimizer)
            self.rates = (0.5**step for step in range(9))

    with pytest.raises((TypeError, pickle.PicklingError), match="generator"):
        shadows([Draws(optimizer_of())], [])
