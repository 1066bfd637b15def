from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lightning_gammabo.vectorised.python_state import PythonState


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Module()
        self.inner.rows = {"a": [1, (2.0, {3})], "b": SimpleNamespace(x=torch.tensor([1.0, float("nan")]))}
        self.number: Any = float("nan")
        self.legacy = np.random.RandomState(0)
        self.array = np.array([1.0, np.nan])
        self.function = len
        self.weight = nn.Parameter(torch.ones(2))
        self.loop = [self.inner.rows]
        self.loop.append(self.loop)


CHANGES: dict[str, tuple[Callable[[Part], Any], str]] = {
    "entry": (lambda part: part.inner.rows["a"].append(1), "inner.rows"),
    "set": (lambda part: part.inner.rows["a"][1][1].add(4), "inner.rows"),
    "object": (lambda part: setattr(part.inner.rows["b"], "y", 1), "inner.rows"),
    "tensor": (lambda part: part.inner.rows["b"].x[0].add_(1), "inner.rows"),
    "key": (lambda part: part.inner.rows.pop("a"), "inner.rows"),
    "number": (lambda part: setattr(part, "number", 1.0), "number"),
    "kind": (lambda part: setattr(part, "number", torch.tensor(float("nan"))), "number"),
    "new": (lambda part: setattr(part, "fresh", 0), "fresh"),
    "gone": (lambda part: delattr(part, "number"), "number"),
    "mode": (lambda part: part.inner.eval(), "inner.training"),
    "array": (lambda part: part.array.__setitem__(0, 2.0), "array"),
    "generator": (lambda part: part.legacy.rand(), "legacy"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_named(change: str) -> None:
    part = Part()
    before = PythonState(part, lambda _: False)
    CHANGES[change][0](part)
    assert CHANGES[change][1] in PythonState(part, lambda _: False).changed(before)


def test_the_same_is_the_same() -> None:
    part = Part()
    before = PythonState(part, lambda _: False)
    part.inner.rows = {"a": [1, (2.0, {3})], "b": SimpleNamespace(x=torch.tensor([1.0, float("nan")]))}
    part.weight.data.add_(1)  # parameters are looked at elsewhere
    random.random()
    assert PythonState(part, lambda _: False).changed(before) == []


def test_what_is_stopped_at_is_not_entered() -> None:
    part = Part()
    part.trainer = SimpleNamespace(step=0)
    before = PythonState(part, lambda kind: kind is SimpleNamespace)
    part.trainer.step = 1
    assert PythonState(part, lambda kind: kind is SimpleNamespace).changed(before) == []
