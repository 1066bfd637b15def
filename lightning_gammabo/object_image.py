"""An image of mutable objects: what they hold now, so that it can be put back *in place*.

A training run keeps state in more places than ``state_dict`` knows: lists that grow by step, counters, plain tensors,
generators, optimizer groups, schedulers, metrics that share their states. Copying such a web (``deepcopy``) loses the
identities that tie it together. The image keeps the identities: it walks everything that is reachable from some
roots, notes the *content* of each mutable object, and puts that content back into the very same object. What was
created later is simply no longer reachable.

Nothing here knows of Lightning; :mod:`lightning_gammabo.trainer_state` chooses the roots.
"""

from __future__ import annotations

import array
import functools
import operator
import random
import types
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lightning_gammabo.tensor_image import TensorImage

__all__ = ["ObjectImage"]

DATA_ARRAY_LIMIT = 1 << 16
"""bytes; a larger tensor or array that belongs to a data set is data and not state"""
DATA_LENGTH_LIMIT = 10_000
"""entries; a longer container that belongs to a data set is noted but its entries are not visited"""

_ATOMS: frozenset[type] = frozenset(
    (
        *(int, float, complex, bool, str, bytes, type(None), type(...), type(NotImplemented), range, slice),
        *(type, types.ModuleType, types.BuiltinFunctionType, types.CodeType, types.MappingProxyType, property),
        *(types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType),
        *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
        *weakref.ProxyTypes,  # Lightning hands its Trainer around by proxy
    )
)
# classes of these modules hold threads, processes, files, compiled code or pictures: nothing that training rewinds
_FOREIGN = (
    "torch._C", "torch._dynamo", "torch._inductor", "torch._functorch", "torch.distributed", "torch.jit",
    "torch.utils.tensorboard", "torch.utils.data.dataloader", "threading", "_thread", "multiprocessing", "concurrent",
    "asyncio", "logging", "weakref", "subprocess", "socket", "io", "_io", "ssl", "tqdm", "rich", "matplotlib", "enum",
    "pathlib", "ctypes", "queue",
)  # fmt: skip
# ... but these do hold what training moves
_OWN = (DataLoader, torch.nn.Module, torch.optim.Optimizer)

Restore = Callable[[], None]
_is = operator.is_


class ObjectImage:
    """The content of every mutable object that is reachable from ``roots``.

    Args:
        roots: objects to start from, by a name that messages use.
        stop: says of a type whether its objects are left alone and not entered.
        skip: ids of objects to leave alone.
        data: names of roots that are data: large arrays below them are not copied.
        deferred: ids of tensors whose values are not copied now but by :meth:`hold_deferred`.
        grads: whether gradients are held; else they are None after :meth:`restore`.

    Attributes:
        generators: the random number generators that were found, by path.
        unheld: paths of live iterators (generators, open streams), which cannot be put back.
    """

    def __init__(
        self,
        roots: Mapping[str, object],
        *,
        stop: Callable[[type], bool] = lambda _: False,
        skip: Collection[int] = (),
        data: Collection[str] = (),
        deferred: Collection[int] = (),
        grads: bool = True,
    ) -> None:
        self.generators: dict[str, Any] = {}
        self.unheld: list[str] = []
        self._stop = stop
        self._deferred = deferred
        self._grads = grads
        self._restores: list[Restore] = []
        self._dicts: list[_DictImage] = []
        self._tensors: list[TensorImage] = []
        self._seen: dict[int, object] = dict.fromkeys(skip)
        self._stack = [(obj, name, name in data) for name, obj in reversed(list(roots.items()))]
        while self._stack:
            self._visit(*self._stack.pop())

    @property
    def visited(self) -> set[int]:
        """Ids of the objects that the walk came by."""
        return set(self._seen)

    def hold_deferred(self, reuse: ObjectImage | None = None) -> bool:
        """Copy the values of the deferred tensors now.

        Args:
            reuse: an older image whose copies may be written over (it is useless afterwards).

        Returns:
            False if one of them was written since the image was taken: then the image cannot be completed.
        """
        spare = {image.key: image for image in reuse._tensors} if reuse is not None else {}
        return all(image.hold(spare.get(image.key)) for image in self._tensors if not image.held)

    def restore(self) -> None:
        """Put everything back, in place."""
        for held in self._dicts:
            held.restore()
        for restore in self._restores:
            restore()
        with torch.no_grad():
            for image in self._tensors:
                image.restore()

    def _visit(self, obj: Any, path: str, data: bool) -> None:
        kind = type(obj)
        if kind in _ATOMS or id(obj) in self._seen:
            return
        self._seen[id(obj)] = obj  # held, so that the id stays its own
        if isinstance(obj, Tensor):
            self._visit_tensor(obj, path, data)
        elif isinstance(obj, np.ndarray):
            self._visit_array(obj, path, data)
        elif kind in _CONTAINERS or isinstance(obj, (dict, list, set, deque)):
            self._visit_container(obj, path, data)
        elif isinstance(obj, (tuple, frozenset)):
            self._push(enumerate(obj), path, data)
        elif (generator := _generator_restore(obj)) is not None:
            self._restores.append(generator)
            self.generators[path] = obj.bit_generator if isinstance(obj, np.random.Generator) else obj
        elif isinstance(obj, types.CellType):
            self._visit_cell(obj, path, data)
        elif kind in _CALLABLE_PARTS:
            self._push(((name, getattr(obj, name)) for name in _CALLABLE_PARTS[kind]), path, data)
        elif not _is_foreign(kind) and not self._stop(kind):
            self._visit_object(obj, path, data or isinstance(obj, (Dataset, Sampler, DataLoader)))
        elif kind.__module__ == "torch.utils.data.dataloader" and hasattr(type(obj), "__next__"):
            self.unheld.append(path)

    def _push(self, items: Iterable[tuple[Any, Any]], path: str, data: bool) -> None:
        for name, value in items:
            if type(value) not in _ATOMS:
                self._stack.append((value, f"{path}.{name}", data))

    def _visit_tensor(self, tensor: Tensor, path: str, data: bool) -> None:
        if data and tensor.numel() * tensor.element_size() > DATA_ARRAY_LIMIT:
            return
        image = TensorImage(tensor, grads=self._grads)
        if id(tensor) not in self._deferred:
            image.hold()
        self._tensors.append(image)
        if image.grad is not None:
            self._stack.append((image.grad, f"{path}.grad", data))
        if tensor.__dict__:
            self._push(tensor.__dict__.items(), path, data)

    def _visit_array(self, values: np.ndarray[Any, Any], path: str, data: bool) -> None:
        if values.dtype == object:
            self._push(enumerate(values.flat), path, data)
        if not values.flags.writeable or (data and values.nbytes > DATA_ARRAY_LIMIT):
            return
        saved = values.copy()
        self._restores.append(lambda: np.copyto(values, saved))

    def _visit_container(self, obj: Any, path: str, data: bool) -> None:
        if isinstance(obj, dict):
            self._dicts.append(_DictImage(obj))
            children: Iterable[tuple[Any, Any]] = obj.items()
        else:
            self._restores.append(_sequence_restore(obj))
            children = () if isinstance(obj, (bytearray, array.array)) else enumerate(obj)
        if not (data and len(obj) > DATA_LENGTH_LIMIT):
            self._push(children, path, data)
            if isinstance(obj, dict):
                self._push((("key", key) for key in obj), path, data)
        if type(obj) not in _CONTAINERS:
            self._visit_attributes(obj, path, data)

    def _visit_cell(self, cell: types.CellType, path: str, data: bool) -> None:
        try:
            saved = cell.cell_contents
        except ValueError:  # an empty cell
            return
        self._restores.append(lambda: setattr(cell, "cell_contents", saved))
        self._push((("cell", saved),), path, data)

    def _visit_object(self, obj: object, path: str, data: bool) -> None:
        held = self._visit_attributes(obj, path, data)
        if not held and hasattr(type(obj), "__next__"):
            self.unheld.append(path)

    def _visit_attributes(self, obj: object, path: str, data: bool) -> bool:
        attributes = getattr(obj, "__dict__", None)
        if isinstance(attributes, dict):
            self._dicts.append(_DictImage(attributes))
            self._push(attributes.items(), path, data)
        slots = _slots(type(obj))
        if slots:
            saved = {name: getattr(obj, name) for name in slots if hasattr(obj, name)}
            self._restores.append(lambda: _restore_slots(obj, slots, saved))
            self._push(saved.items(), path, data)
        return isinstance(attributes, dict) or bool(slots)


_CALLABLE_PARTS: dict[type, tuple[str, ...]] = {
    types.FunctionType: ("__closure__", "__defaults__", "__kwdefaults__"),
    types.MethodType: ("__self__", "__func__"),
    functools.partial: ("func", "args", "keywords"),
}
_CONTAINERS: frozenset[type] = frozenset((dict, list, set, deque, bytearray, array.array))


class _DictImage:
    """A dictionary's keys and values, in order, by reference."""

    __slots__ = ("_base", "_keys", "_target", "_values")

    def __init__(self, target: dict[Any, Any]) -> None:
        self._target = target
        # the base class's own methods: a subclass may do more on access than look up or store
        base: Any = OrderedDict if isinstance(target, OrderedDict) else dict
        self._base = base
        self._keys = tuple(base.keys(target))
        self._values = tuple(base.values(target))

    def restore(self) -> None:
        target, base = self._target, self._base
        if len(self._keys) == base.__len__(target) and (
            all(map(_is, base.values(target), self._values)) and all(map(_is, base.keys(target), self._keys))
        ):
            return
        base.clear(target)
        for key, value in zip(self._keys, self._values, strict=True):
            base.__setitem__(target, key, value)


def _sequence_restore(target: Any) -> Restore:
    base: Any = next(kind for kind in (list, set, deque, bytearray, array.array) if isinstance(target, kind))
    saved = bytes(target) if base is bytearray else list(target)

    def restore() -> None:
        if base is set:
            target.intersection_update(saved)
            target.update(saved)
        elif base is array.array:
            target[:] = array.array(target.typecode, saved)
        elif base is bytearray:
            target[:] = saved
        elif not (len(target) == len(saved) and all(map(_is, target, saved))):
            base.clear(target)
            base.extend(target, saved)

    return restore


def _generator_restore(obj: Any) -> Restore | None:
    if isinstance(obj, torch.Generator):
        return functools.partial(_call_and_drop, obj.set_state, obj.get_state())
    if isinstance(obj, random.Random):
        return functools.partial(_call_and_drop, obj.setstate, obj.getstate())
    if isinstance(obj, np.random.RandomState):
        return functools.partial(_call_and_drop, obj.set_state, obj.get_state())
    if isinstance(obj, (np.random.Generator, np.random.BitGenerator)):
        bits: Any = obj.bit_generator if isinstance(obj, np.random.Generator) else obj
        return functools.partial(setattr, bits, "state", bits.state)
    return None


def _call_and_drop(set_state: Callable[[Any], object], state: Any) -> None:
    set_state(state)


_foreign_kinds: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()
_slot_names: weakref.WeakKeyDictionary[type, tuple[str, ...]] = weakref.WeakKeyDictionary()


def _is_foreign(kind: type) -> bool:
    known = _foreign_kinds.get(kind)
    if known is None:
        modules = {base.__module__ for base in kind.__mro__}
        foreign = any(module == name or module.startswith(name + ".") for module in modules for name in _FOREIGN)
        known = _foreign_kinds[kind] = foreign and not issubclass(kind, _OWN)
    return known


def _slots(kind: type) -> tuple[str, ...]:
    known = _slot_names.get(kind)
    if known is None:
        names: list[str] = []
        for base in kind.__mro__:
            own = base.__dict__.get("__slots__", ())
            names += [own] if isinstance(own, str) else list(own)
        known = _slot_names[kind] = tuple(name for name in names if name not in ("__dict__", "__weakref__"))
    return known


def _restore_slots(obj: object, slots: tuple[str, ...], saved: dict[str, Any]) -> None:
    for name in slots:
        if name in saved:
            if getattr(obj, name, None) is not saved[name]:
                object.__setattr__(obj, name, saved[name])
        elif hasattr(obj, name):
            object.__delattr__(obj, name)
