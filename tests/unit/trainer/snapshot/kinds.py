"""Objects of the kinds that users keep state in."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self, left: object) -> None:
        self.left = left  # ``right`` stays empty


class Child(Slotted):
    __slots__ = ("__dict__", "__private")

    def __init__(self, left: object) -> None:
        super().__init__(left)
        self.__private = [left]

    def write(self, value: object) -> None:
        self.__private = value

    def read(self) -> object:
        return self.__private


@dataclass(frozen=True, slots=True)
class Frozen:
    values: list[Any] = field(default_factory=list)


def closure(value: object) -> tuple[Callable[[], object], Callable[[object], None]]:
    kept = value

    def read() -> object:
        return kept

    def write(new: object) -> None:
        nonlocal kept
        kept = new

    return read, write


def generators() -> dict[str, tuple[Any, Callable[[Any], object]]]:
    """One of each kind, and how it is drawn from."""
    return {
        "torch": (torch.Generator().manual_seed(3), lambda g: float(torch.rand((), generator=g))),
        "random": (random.Random(3), lambda g: (g.random(), g.gauss(0.0, 1.0))),
        "RandomState": (np.random.RandomState(3), lambda g: (g.normal(), g.randint(9))),
        "RandomState of PCG64": (np.random.RandomState(np.random.PCG64(3)), lambda g: (g.normal(), g.randint(9))),
        "PCG64": (np.random.default_rng(3), lambda g: (g.normal(), g.integers(9, dtype=np.uint32))),
        "MT19937": (np.random.Generator(np.random.MT19937(3)), lambda g: g.random()),
        "Philox": (np.random.Generator(np.random.Philox(3)), lambda g: g.random(3).tolist()),
        "SFC64": (np.random.Generator(np.random.SFC64(3)), lambda g: g.random()),
        "bit generator": (np.random.PCG64DXSM(3), lambda g: int(g.random_raw())),
    }
