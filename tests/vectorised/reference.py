"""The slow, obvious way: one candidate after the other, by the module and the torch optimizer alone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lightning_gammabo.rng import RngState
from lightning_gammabo.vectorised.silence import Silence


@dataclass
class Alone:
    module: Any
    optimizer: Any
    losses: list[float]


def train_alone(
    module: nn.Module,
    optimizer: Any,
    batches: Sequence[Any],
    rates: Sequence[Sequence[float]],
    *,
    clip_val: float | None = None,
    clip_algorithm: str | None = None,
    accumulate: int = 1,
) -> Alone:
    """A deep copy of module and optimizer, trained; ``rates`` are those of its groups, batch by batch."""
    copied: Any
    copied, opt = copy.deepcopy((module, optimizer))
    losses = []
    with RngState.kept(), Silence(copied):
        for number, batch in enumerate(batches):
            if number % accumulate == 0:
                opt.zero_grad()
            loss = copied.training_step(batch, number)
            (loss / accumulate).backward()
            losses.append(loss.item())
            if (number + 1) % accumulate and number + 1 < len(batches):
                continue
            parameters = [p for group in opt.param_groups for p in group["params"]]
            if clip_val is not None and clip_algorithm == "value":
                torch.nn.utils.clip_grad_value_(parameters, clip_val)
            elif clip_val is not None:
                torch.nn.utils.clip_grad_norm_(parameters, clip_val)
            for group, rate in zip(opt.param_groups, rates[number], strict=True):
                group["lr"] = rate
            opt.step()
    return Alone(copied, opt, losses)


def assert_same_state(one: Any, other: Any, *, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Parameters, buffers and optimizer state of ``(module, optimizer)`` pairs."""
    torch.testing.assert_close(one[0].state_dict(), other[0].state_dict(), rtol=rtol, atol=atol)
    ours, theirs = one[1].state_dict()["state"], other[1].state_dict()["state"]
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)
