"""LR schedulers of all kinds, an optimizer for them, and all that one could move, as text."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.optim import lr_scheduler as lrs


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
