"""Optimizers with nothing to train, for tests of what is written to their groups."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import SGD, Optimizer


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.zeros(1))


def sgd(*rates: Any, **options: Any) -> SGD:
    """One group for each rate; the optimizer's own default is another rate."""
    return SGD([{"params": [parameter()], "lr": rate} for rate in rates], lr=0.5, momentum=0.9, **options)


def rates_of(*optimizers: Optimizer) -> list[float]:
    return [float(group["lr"]) for optimizer in optimizers for group in optimizer.param_groups]
