"""The content of single mutable objects: how each kind is noted, and put back in place.

Used by :mod:`lightning_gammabo.trainer.snapshot.objects`, which knows how the objects hang together.
"""

from __future__ import annotations

import functools
import random
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_gammabo.trainer.snapshot.tensors import hooks_of, restore_hooks

__all__ = [
    "Restore",
    "class_state",
    "class_state_restore",
    "generator_restore",
    "has_class_state",
    "is_foreign",
    "lazy_tensor_restore",
    "slots_of",
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

Restore = Callable[[], None]
_EMPTY = object()


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


def lazy_tensor_restore(tensor: Tensor) -> Restore:
    """Note a parameter or buffer that its first batch will give its shape.

    Args:
        tensor: an uninitialized one.

    Returns:
        What takes the shape away again.
    """
    kind, empty, hooks = type(tensor), tensor.data, hooks_of(tensor)

    def restore() -> None:
        restore_hooks(tensor, hooks)
        if type(tensor) is not kind:
            tensor.grad = None
            tensor.data = empty
            tensor.__class__ = kind

    return restore


def has_class_state(kind: type) -> bool:
    """Whether :func:`class_state` tells of any class.

    Args:
        kind: class of an object.

    Returns:
        Whether one in its line is not a library's.
    """
    known = _own_kinds.get(kind)
    if known is None:
        known = _own_kinds[kind] = any(True for _ in class_state(kind))
    return known


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
_own_kinds: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()
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
