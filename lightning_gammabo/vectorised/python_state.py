"""Python attributes that a training step changes: found by comparing them before and after."""

from __future__ import annotations

import random
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

__all__ = ["PythonState"]

_PLAIN = (int, float, complex, bool, str, bytes, type(None))
_LEFT_ALONE = (type, nn.Module, types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.ModuleType)
_REGISTRIES = frozenset(vars(nn.Module())) - {"training"}


class PythonState:
    """The Python attributes of a module and of all below it, parameters, buffers and torchmetrics left out.

    What is compared: numbers, words, tensors, arrays, random number generators, containers of them, and the attributes
    of plain objects. What is kept on a class, in a closure or in a module's globals is not seen.

    Args:
        module: the module.
        stop: says of a type whether its objects are not entered.
    """

    def __init__(self, module: nn.Module, stop: Callable[[type], bool]) -> None:
        self._stop = stop
        self._values: dict[str, dict[str, Any]] = {}
        for path, part in module.named_modules():
            if isinstance(part, (Metric, MetricCollection)):
                continue
            for name, value in vars(part).items():
                if name not in _REGISTRIES:
                    attribute = f"{path}.{name}" if path else name
                    self._values[attribute] = dict(self._leaves(value, "", {}))

    def changed(self, before: PythonState) -> list[str]:
        """Attributes whose value is another than before.

        Args:
            before: the same module's attributes, earlier.

        Returns:
            Their dotted names, in order.
        """
        names = sorted(set(self._values) | set(before._values))
        return [name for name in names if not _same(self._values.get(name), before._values.get(name))]

    def _leaves(self, value: Any, path: str, seen: dict[int, Any]) -> Iterator[tuple[str, Any]]:
        if isinstance(value, _PLAIN):
            yield path, value
            return
        # by `__class__`, which looks through the proxy by which Lightning hands its Trainer around
        if id(value) in seen or isinstance(value, _LEFT_ALONE) or self._stop(value.__class__):
            return
        seen[id(value)] = value
        if isinstance(value, Tensor):
            yield path, value.detach().clone()
        elif isinstance(value, np.ndarray):
            yield path, value.copy()
        elif (state := _generator_state(value)) is not None:
            yield path, state
        else:
            for name, child in _children(value):
                yield from self._leaves(child, f"{path}.{name}", seen)


def _children(value: Any) -> Iterator[tuple[object, Any]]:
    if isinstance(value, Mapping):
        yield "len", len(value)
        yield from value.items()
    elif isinstance(value, (list, tuple, deque)):
        yield "len", len(value)
        yield from enumerate(value)
    elif isinstance(value, (set, frozenset)):
        yield "entries", repr(sorted(map(repr, value)))
    elif hasattr(value, "__dict__"):
        yield from list(vars(value).items())


def _generator_state(value: Any) -> Any:
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, random.Random):
        return repr(value.getstate())
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    return repr(value.get_state()) if isinstance(value, np.random.RandomState) else None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        alike = one.dtype == other.dtype and one.device == other.device and one.shape == other.shape
        return alike and bool(((one == other) | ((one != one) & (other != other))).all())  # NaN equals NaN
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return type(one) is type(other) and bool(one == other or (one != one and other != other))
