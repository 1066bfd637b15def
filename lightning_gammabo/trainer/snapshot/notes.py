"""What a walk over objects notes of each, and where it goes on to.

Used by :mod:`lightning_gammabo.trainer.snapshot.objects`. A note does not change once it is made, so that several
images can share one.
"""

from __future__ import annotations

import inspect
import types
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Protocol

import torch

from lightning_gammabo.trainer.snapshot.references import Part

__all__ = ["ATOMS", "Clearable", "Entry", "Note", "children_of", "path_of"]

ATOMS: frozenset[type] = frozenset(
    (
        *(int, float, complex, bool, str, bytes, type(None), type(...), type(NotImplemented), range, slice),
        *(type, types.ModuleType, types.BuiltinFunctionType, types.CodeType, types.MappingProxyType, property),
        *(types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType),
        inspect.Signature,
        *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
        *weakref.ProxyTypes,  # Lightning hands its Trainer around by proxy
    )
)
"""kinds that hold nothing that changes"""
_CLEARED = frozenset((dict, OrderedDict, list, set))
"""kinds that are cleared where they were empty"""

Entry = tuple[Any, Any, Any, bool]
"""an object, the entry or the name that it was found by, its own name there, whether it belongs to a data set"""


class Clearable(Protocol):
    """A container that can be emptied."""

    def __len__(self) -> int: ...

    def clear(self) -> None:
        """Let it hold nothing."""


class Note:
    """One object, and what a walk goes on to from it.

    Args:
        parts: the references that the object holds.
        kind: its class, where that has a state of its own; else None.
        children: what a walk visits next.
        empty: containers among them that are empty.
        data: whether the object belongs to a data set.
    """

    __slots__ = ("children", "data", "empty", "kind", "parts")

    def __init__(
        self,
        parts: tuple[Part, ...],
        kind: type | None,
        children: list[Entry],
        empty: list[Clearable],
        data: bool,
    ) -> None:
        self.parts = parts
        self.kind = kind
        self.children = children
        self.empty = empty
        self.data = data

    def same(self, data: bool) -> bool:
        """Whether a walk that comes by the object now would note the same.

        Args:
            data: whether the object belongs to a data set.

        Returns:
            Whether it would.
        """
        if data is not self.data or any(self.empty):
            return False
        for part in self.parts:  # noqa: SIM110 (a generator costs more than the comparison)
            if not part.same():
                return False
        return True

    def restore(self) -> None:
        """Put the references back."""
        for empty in self.empty:
            if empty:
                empty.clear()
        for part in self.parts:
            part.restore()


def children_of(items: Iterable[tuple[Any, Any]], path: Entry, data: bool) -> tuple[list[Entry], list[Clearable]]:
    """What a walk goes on to from an object.

    Args:
        items: names and values of what it holds.
        path: its own entry.
        data: whether it belongs to a data set.

    Returns:
        The entries to visit, in the order of a stack: the first item is visited first, so what is added later changes
        no path; and the containers that are empty, which are most of a module's.
    """
    children: list[Entry] = []
    empty: list[Clearable] = []
    for name, value in items:
        kind = type(value)
        if kind in _CLEARED and not value:
            empty.append(value)
        elif kind not in ATOMS:
            children.append((value, path, name, data))
    children.reverse()
    return children, empty


def path_of(entry: Entry) -> str:
    """Where an object was found, in words.

    Args:
        entry: its entry.

    Returns:
        The names from the root on.
    """
    _, parent, name, _ = entry
    return str(name) if parent is None else f"{path_of(parent)}.{name}"
