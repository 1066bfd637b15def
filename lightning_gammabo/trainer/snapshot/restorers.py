"""The content of single mutable objects: how each kind is noted, and put back in place.

Used by :mod:`lightning_gammabo.trainer.snapshot.objects`, which knows how the objects hang together.
"""

from __future__ import annotations

import array
import functools
import operator
import random
import sys
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils.data import DataLoader

__all__ = [
    "DictImage",
    "Restore",
    "attribute_owner_restore",
    "cell_restore",
    "class_state",
    "class_state_restore",
    "generator_restore",
    "is_foreign",
    "lazy_tensor_restore",
    "sequence_restore",
    "slots_of",
    "slots_restore",
    "tensor_hooks",
]

# classes of these modules hold threads, processes, files, compiled code or pictures: nothing that training rewinds
_FOREIGN = (
    "torch._C", "torch._dynamo", "torch._inductor", "torch._functorch", "torch.distributed", "torch.jit",
    "torch.utils.tensorboard", "torch.utils.data.dataloader", "threading", "_thread", "multiprocessing", "concurrent",
    "asyncio", "logging", "weakref", "subprocess", "socket", "io", "_io", "ssl", "tqdm", "rich", "matplotlib", "enum",
    "pathlib", "ctypes", "queue",
)  # fmt: skip
# ... but these do hold what training moves
_OWN = (DataLoader, torch.nn.Module, torch.optim.Optimizer)

# ... and the classes of these keep no state of a training in attributes of the class itself
_LIBRARIES = sys.stdlib_module_names - {"__main__"} | {
    *("torch", "torchmetrics", "lightning", "lightning_fabric", "pytorch_lightning", "numpy", "lightning_gammabo"),
}
_CLASS_STATE = (int, float, str, type(None), list, dict, set, deque, Tensor, np.ndarray)

_TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")

Restore = Callable[[], None]
_is = operator.is_
_EMPTY = object()


class DictImage:
    """A dictionary's keys and values, in order, by reference.

    Args:
        target: the dictionary.
    """

    __slots__ = ("_base", "_factory", "_keys", "_target", "_values")

    def __init__(self, target: dict[Any, Any]) -> None:
        self._target = target
        # the base class's own methods: a subclass may do more on access than look up or store
        base: Any = OrderedDict if isinstance(target, OrderedDict) else dict
        self._base = base
        self._keys = tuple(base.keys(target))
        self._values = tuple(base.values(target))
        self._factory = target.default_factory if isinstance(target, defaultdict) else None

    def restore(self) -> None:
        """Put keys and values back."""
        target, base = self._target, self._base
        if isinstance(target, defaultdict):
            target.default_factory = self._factory
        if len(self._keys) == base.__len__(target) and (
            all(map(_is, base.values(target), self._values)) and all(map(_is, base.keys(target), self._keys))
        ):
            return
        base.clear(target)
        for key, value in zip(self._keys, self._values, strict=True):
            base.__setitem__(target, key, value)


def sequence_restore(target: Any) -> Restore:
    """Note a list, set, deque, bytearray or array.

    Args:
        target: the container.

    Returns:
        What puts its entries back.
    """
    base: Any = next(kind for kind in (list, set, deque, bytearray, array.array) if isinstance(target, kind))
    saved = bytes(target) if base is bytearray else list(target)

    def restore() -> None:
        if base is array.array:
            target[:] = array.array(target.typecode, saved)
        elif base is bytearray:
            target[:] = saved
        elif not (len(target) == len(saved) and all(map(_is, target, saved))):
            base.clear(target)
            (set.update if base is set else base.extend)(target, saved)

    return restore


def generator_restore(obj: Any) -> Restore | None:
    """Note a random number generator.

    Args:
        obj: any object.

    Returns:
        What puts its state back, or None if it is no generator that has one.
    """
    if isinstance(obj, torch.Generator):
        return functools.partial(_call_and_drop, obj.set_state, obj.get_state())
    if isinstance(obj, random.Random) and not isinstance(obj, random.SystemRandom):
        return functools.partial(_call_and_drop, obj.setstate, obj.getstate())
    if isinstance(obj, np.random.RandomState):
        return functools.partial(_call_and_drop, obj.set_state, obj.get_state(legacy=False))
    if isinstance(obj, (np.random.Generator, np.random.BitGenerator)):
        bits: Any = obj.bit_generator if isinstance(obj, np.random.Generator) else obj
        return functools.partial(setattr, bits, "state", bits.state)
    return None


def _call_and_drop(set_state: Callable[[Any], object], state: Any) -> None:
    set_state(state)


def cell_restore(cell: types.CellType) -> tuple[Restore, Any]:
    """Note a closure's variable.

    Args:
        cell: the closure's cell.

    Returns:
        What puts the variable back, and its value; None where it has none yet.
    """
    try:
        saved = cell.cell_contents
    except ValueError:  # not assigned yet
        saved = _EMPTY

    def restore() -> None:
        if saved is _EMPTY:
            del cell.cell_contents
        else:
            cell.cell_contents = saved

    return restore, None if saved is _EMPTY else saved


def lazy_tensor_restore(tensor: Tensor) -> Restore | None:
    """Note a parameter or buffer that its first batch will give its shape.

    Args:
        tensor: any tensor.

    Returns:
        What takes the shape away again, or None if it is an ordinary tensor.
    """
    if not isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
        return None
    kind, empty = type(tensor), tensor.data

    def restore() -> None:
        if type(tensor) is not kind:
            tensor.grad = None
            tensor.data = empty
            tensor.__class__ = kind

    return restore


def tensor_hooks(tensor: Tensor) -> tuple[dict[str, Any], Restore]:
    """Note the hooks that are registered on a tensor.

    Args:
        tensor: any tensor.

    Returns:
        The dictionaries that hold them, by attribute, and what lets the tensor have these dictionaries again; their
        entries are the caller's.
    """
    saved = {name: getattr(tensor, name, None) for name in _TENSOR_HOOKS}

    def restore() -> None:
        for name, held in saved.items():
            if getattr(tensor, name, None) is not held:
                setattr(tensor, name, held)

    return {name: held for name, held in saved.items() if held is not None}, restore


def attribute_owner_restore(obj: object, attributes: dict[str, Any]) -> Restore:
    """Note an object's class and which dictionary holds its attributes.

    Args:
        obj: the object.
        attributes: its ``__dict__``.

    Returns:
        What puts the two back (a lazy or a parametrised layer exchanges its class).
    """
    kind = type(obj)
    own = obj.__dict__ is attributes  # not one that a property makes

    def restore() -> None:
        if type(obj) is not kind:
            object.__setattr__(obj, "__class__", kind)
        if own and obj.__dict__ is not attributes:
            object.__setattr__(obj, "__dict__", attributes)

    return restore


def class_state(kind: type) -> Iterator[tuple[type, dict[str, Any]]]:
    """What the user's classes keep in attributes of their own: lists that all instances share, counters.

    Args:
        kind: class of an object.

    Yields:
        Each class in its line that is not a library's, with those attributes.
    """
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] not in _LIBRARIES:
            own = {name: value for name, value in vars(base).items() if isinstance(value, _CLASS_STATE)}
            yield base, {name: value for name, value in own.items() if not name.startswith("__")}


def class_state_restore(kind: type, saved: dict[str, Any]) -> Restore:
    """Note attributes of a class.

    Args:
        kind: the class.
        saved: what :func:`class_state` gave.

    Returns:
        What puts them back.
    """

    def restore() -> None:
        for name, value in saved.items():
            if vars(kind).get(name, _EMPTY) is not value:
                setattr(kind, name, value)

    return restore


_foreign_kinds: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()
_slot_names: weakref.WeakKeyDictionary[type, tuple[str, ...]] = weakref.WeakKeyDictionary()


def is_foreign(kind: type) -> bool:
    """Whether objects of a class hold nothing that training rewinds.

    Args:
        kind: the class.

    Returns:
        True for threads, files, progress bars and the like.
    """
    known = _foreign_kinds.get(kind)
    if known is None:
        modules = {base.__module__ for base in kind.__mro__}
        foreign = any(module == name or module.startswith(name + ".") for module in modules for name in _FOREIGN)
        known = _foreign_kinds[kind] = foreign and not issubclass(kind, _OWN)
    return known


def slots_of(kind: type) -> tuple[str, ...]:
    """The names that a class keeps in slots.

    Args:
        kind: the class.

    Returns:
        The names by which ``getattr`` finds them.
    """
    known = _slot_names.get(kind)
    if known is None:
        names: list[str] = []
        for base in kind.__mro__:
            own = base.__dict__.get("__slots__", ())
            names += [_mangled(base, name) for name in ([own] if isinstance(own, str) else own)]
        known = _slot_names[kind] = tuple(name for name in names if name not in ("__dict__", "__weakref__"))
    return known


def _mangled(kind: type, name: str) -> str:
    private = name.startswith("__") and not name.endswith("__")
    return f"_{kind.__name__.lstrip('_')}{name}" if private else name


def slots_restore(obj: object, slots: tuple[str, ...], saved: dict[str, Any]) -> None:
    """Put slots back.

    Args:
        obj: the object.
        slots: names of its slots.
        saved: what those held that held anything.
    """
    for name in slots:
        if name in saved:
            if getattr(obj, name, None) is not saved[name]:
                object.__setattr__(obj, name, saved[name])
        elif hasattr(obj, name):
            object.__delattr__(obj, name)
