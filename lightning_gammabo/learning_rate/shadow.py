"""Copies of LR schedulers that write to copies of parameter groups, so that they can be stepped without a trace."""

from __future__ import annotations

import copy
import io
import pickle
import types
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Dataset

__all__ = ["shadows"]

_LIGHTNING = ("lightning.", "pytorch_lightning.", "lightning_fabric.")
_SHARED = (types.BuiltinFunctionType, types.ModuleType, type, nn.Module, DataLoader, Dataset)
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def shadows(schedulers: Sequence[Any], optimizers: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Copy schedulers together with the optimizers that they write to.

    The copies share functions, networks, data and Lightning's objects with the originals, and nothing else. The copies
    of optimizers hold the settings of the parameter groups, but no parameters and no state.

    Args:
        schedulers: LR schedulers, of torch or like them.
        optimizers: the optimizers of the run.

    Returns:
        The copies of the schedulers and of the optimizers.

    Raises:
        Exception: what pickle raises where a scheduler holds something that cannot be copied.
    """
    stream = io.BytesIO()
    pickler = _Pickler(stream)
    for optimizer in optimizers:
        pickler.persistent_id(optimizer)  # known before a scheduler comes with its parameter groups alone
    pickler.dump((list(schedulers), list(optimizers)))
    stream.seek(0)
    copies: tuple[list[Any], list[Any]] = _Unpickler(stream, pickler.copies).load()
    return copies


class _Pickler(pickle.Pickler):
    """Pickles what can be, and keeps a copy beside the stream of what cannot, or should not."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.copies: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._originals: list[Any] = []  # as long as these live, their ids are theirs

    def persistent_id(self, obj: Any) -> int | None:
        if id(obj) in self._numbers:
            return self._numbers[id(obj)]
        if isinstance(obj, _PLAIN):
            return None
        if isinstance(obj, types.FunctionType):
            return self._keep(obj, _with_own_cells(obj))
        if isinstance(obj, Tensor):
            return self._keep(obj, obj.detach().clone())
        if isinstance(getattr(obj, "param_groups", None), list) and not isinstance(obj, (type, LRScheduler)):
            return self._keep_optimizer(obj)
        if isinstance(obj, _SHARED) or _is_lightning(obj):
            return self._keep(obj, obj)
        return None

    def _keep(self, original: Any, copied: Any) -> int:
        self._numbers[id(original)] = len(self.copies)
        self._originals.append(original)
        self.copies.append(copied)
        return len(self.copies) - 1

    def _keep_optimizer(self, optimizer: Any) -> int:
        groups = optimizer.param_groups
        if id(groups) not in self._numbers:
            copies = []
            for group in groups:
                settings = {key: _copied(value) for key, value in group.items() if key != "params"}
                copies.append({**settings, "params": [torch.empty(0) for _ in group.get("params", ())]})
                self._keep(group, copies[-1])
            self._keep(groups, copies)
        shadow = object.__new__(type(optimizer))
        own = {"param_groups": self.copies[self._numbers[id(groups)]], "state": defaultdict(dict)}
        # torch's schedulers warn where the optimizer has not stepped before them
        shadow.__dict__.update({**vars(optimizer), **own, "_opt_called": True})
        return self._keep(optimizer, shadow)


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, copies: list[Any]) -> None:
        super().__init__(stream)
        self._copies = copies

    def persistent_load(self, number: int) -> Any:
        return self._copies[number]


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else copy.copy(value)


def _is_lightning(obj: Any) -> bool:
    bases = type(obj).__mro__
    return any(base.__module__.startswith(_LIGHTNING) for base in bases) and not isinstance(obj, LRScheduler)


def _with_own_cells(function: types.FunctionType) -> types.FunctionType:
    # a function that counts in its closure counts in a copy of it
    cells = function.__closure__ or ()
    try:
        contents = [cell.cell_contents for cell in cells]
    except ValueError:  # a name that is not bound yet
        return function
    own = tuple(
        types.CellType(copy.deepcopy(content)) if _is_plain(content) else cell
        for cell, content in zip(cells, contents, strict=True)
    )
    if all(new is old for new, old in zip(own, cells, strict=True)):
        return function
    copied = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, own)
    copied.__kwdefaults__ = function.__kwdefaults__
    copied.__dict__.update(function.__dict__)
    return copied


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple, set)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return isinstance(value, _PLAIN)
