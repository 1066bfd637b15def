"""An image of mutable objects: what they hold now, so that it can be put back *in place*.

A training run keeps state in more places than ``state_dict`` knows: lists that grow by step, counters, generators,
metrics that share their states. A ``deepcopy`` of such a web loses the identities that tie it together. The image walks
all that is reachable from some roots, notes the *content* of each mutable object, and puts it back in place.
"""

from __future__ import annotations

import array
import ctypes
import functools
import gc
import io
import mmap
import random
import types
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils.data import DataLoader, Dataset, Sampler

from lightning_gammabo.trainer.snapshot import outside
from lightning_gammabo.trainer.snapshot import restorers as parts
from lightning_gammabo.trainer.snapshot.notes import ATOMS, Clearable, Entry, Note, children_of, path_of
from lightning_gammabo.trainer.snapshot.references import (
    CallableImage,
    CellImage,
    DictImage,
    Part,
    SequenceImage,
    attributes_of,
    entries_of,
)
from lightning_gammabo.trainer.snapshot.tensors import TensorImage, hooks_of, restore_tensors

__all__ = ["ObjectImage"]

DATA_ARRAY_LIMIT = 1 << 16
"""bytes; a larger tensor or array that belongs to a data set is data and not state"""
DATA_LENGTH_LIMIT = 10_000
"""entries; a longer container that belongs to a data set is noted but its entries are not visited"""


class ObjectImage:
    """The content of every mutable object that is reachable from ``roots``.

    Args:
        roots: objects to start from, by a name that messages use.
        stop: says of a type whether its objects are left alone and not entered.
        skip: ids of objects to leave alone.
        data: names of roots that are data: large arrays below them are not copied.
        deferred: ids of tensors whose values are not copied now but by :meth:`hold_deferred`.
        grads: whether gradients are held; else they are None after :meth:`restore`.
        like: an older image of these roots, with the same ``stop``: what it noted of objects that still hold the same
            is taken over.

    Attributes:
        generators: the random number generators that were found, by path.
        unheld: what cannot be put back (a generator, a file in mid-iteration, a thread), in words, by path.
        shared: paths of memory that processes share.
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
        like: ObjectImage | None = None,
    ) -> None:
        self.generators: dict[str, Any] = {}
        self.unheld: dict[str, str] = {}
        self.shared: list[str] = []
        self._stop = stop
        self._deferred = deferred
        self._grads = grads
        self._restores: list[parts.Restore] = []
        self._notes: dict[int, Note] = {}
        self._empty: list[Clearable] = []
        self._beside: list[Part] = []
        self._tensors: list[TensorImage] = []
        self._visits: dict[type, _Visit] = {}
        self._seen: dict[int, object] = dict.fromkeys(skip)
        self._stack: list[Entry] = [(obj, None, name, name in data) for name, obj in reversed(list(roots.items()))]
        self._walk(like._notes if like is not None else {})

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
        for empty in self._empty:
            if empty:
                empty.clear()
        for note in self._notes.values():
            note.restore()
        for part in self._beside:
            part.restore()
        for restore in self._restores:
            restore()
        restore_tensors(self._tensors)

    def _walk(self, known: Mapping[int, Note]) -> None:
        # thousands of small objects that all stay: the collector would look at them again and again, and free none
        collects = gc.isenabled()
        gc.disable()
        try:
            while self._stack:
                entry = self._stack.pop()
                obj, _, _, data = entry
                if id(obj) in self._seen:
                    continue
                self._seen[id(obj)] = obj  # held, so that the id stays its own
                note = known.get(id(obj))
                if note is not None and note.same(data):
                    self._take(note, obj, entry)
                else:
                    visit = self._visits.get(type(obj)) or self._visit_for(type(obj))
                    visit(self, obj, entry, data)
        finally:
            if collects:
                gc.enable()

    def _visit_for(self, kind: type) -> _Visit:
        visit = _visits.get(kind)
        if visit is None:
            visit = _visits[kind] = _visit_of(kind)
        if visit in (ObjectImage._visit_object, ObjectImage._visit_data) and self._stop(kind):
            visit = ObjectImage._visit_nothing
        self._visits[kind] = visit
        return visit

    def _take(self, note: Note, obj: Any, path: Entry) -> None:
        if note.kind is not None:
            self._visit_class(note.kind, path, note.data)
        self._notes[id(obj)] = note
        self._stack += note.children

    def _push(self, items: Iterable[tuple[Any, Any]], path: Entry, data: bool) -> None:
        children, empty = children_of(items, path, data)
        self._stack += children
        self._empty += empty

    def _visit_nothing(self, obj: Any, path: Entry, data: bool) -> None:
        pass

    def _visit_entries(self, obj: Any, path: Entry, data: bool) -> None:
        self._take(Note((), None, *children_of(enumerate(obj), path, data), data), obj, path)

    def _visit_callable(self, obj: Any, path: Entry, data: bool) -> None:
        image = CallableImage(obj, _CALLABLE_PARTS[type(obj)])
        self._take(Note((image,), None, *children_of(image.saved.items(), path, data), data), obj, path)

    def _visit_generator(self, obj: Any, path: Entry, data: bool) -> None:
        restore = parts.generator_restore(obj)
        if restore is None:  # one without a state, such as SystemRandom
            self._visit_object(obj, path, data)
            return
        self._restores.append(restore)
        self.generators[path_of(path)] = obj.bit_generator if isinstance(obj, np.random.Generator) else obj

    def _visit_foreign(self, obj: Any, path: Entry, data: bool) -> None:
        if type(obj).__module__ == "torch.utils.data.dataloader" and hasattr(type(obj), "__next__"):
            self.unheld[path_of(path)] = _ITERATOR
        elif (memory := outside.shared_memory(obj)) is not None:
            self.shared.append(path_of(path))
            self._stack.append((memory, path, "memory", data))
        elif data and (name := outside.stream(obj)) is not None:
            self.unheld[path_of(path)] = name

    def _visit_memory(self, memory: Any, path: Entry, data: bool) -> None:
        if not (data and ctypes.sizeof(memory) > DATA_ARRAY_LIMIT):
            self._restores.append(outside.memory_restore(memory))

    def _visit_file(self, file: Any, path: Entry, data: bool) -> None:
        restore = outside.file_restore(file) if data else None
        if isinstance(restore, str):
            self.unheld[path_of(path)] = restore
        elif restore is not None:
            self._restores.append(restore)
        if hasattr(file, "__dict__"):
            self._visit_beside(file, path, data)

    def _visit_script(self, module: Any, path: Entry, data: bool) -> None:
        self._visit_beside(module, path, data)
        self._restores.append(outside.script_restore(module))
        self._push(outside.script_attributes(module), path, data)

    def _visit_data(self, obj: Any, path: Entry, data: bool) -> None:
        self._visit_object(obj, path, True)

    def _visit_tensor(self, tensor: Tensor, path: Entry, data: bool) -> None:
        if data and tensor.numel() * tensor.element_size() > DATA_ARRAY_LIMIT:
            return
        deferred = id(tensor) in self._deferred
        image = TensorImage(tensor, grads=self._grads, deferred=deferred)
        if not deferred:
            image.hold()
        self._tensors.append(image)
        self._push((("__dict__", tensor.__dict__), *image.hooks.items()), path, data)
        if image.grad is not None:
            self._stack.append((image.grad, path, "grad", data))

    def _visit_lazy(self, tensor: Tensor, path: Entry, data: bool) -> None:
        self._push((("__dict__", tensor.__dict__), *hooks_of(tensor).items()), path, data)
        self._restores.append(parts.lazy_tensor_restore(tensor))

    def _visit_array(self, values: np.ndarray[Any, Any], path: Entry, data: bool) -> None:
        if values.dtype == object:
            self._push(enumerate(values.flat), path, data)
        if type(values) is not np.ndarray:  # a masked array has its mask beside
            self._visit_beside(values, path, data)
        if not values.flags.writeable or (data and values.nbytes > DATA_ARRAY_LIMIT):
            return
        plain = values.view(np.ndarray)
        self._restores.append(functools.partial(np.copyto, plain, plain.copy()))

    def _visit_container(self, obj: Any, path: Entry, data: bool) -> None:
        held: tuple[Part, ...] = (DictImage(obj) if isinstance(obj, dict) else SequenceImage(obj),)
        items = () if data and len(obj) > DATA_LENGTH_LIMIT else entries_of(obj)
        kind = None
        if type(obj) not in _CONTAINERS:
            kind = type(obj)
            beside, attributes = attributes_of(obj)
            held, items = (*held, *beside), [*items, *attributes]
        self._take(Note(held, kind, *children_of(items, path, data), data), obj, path)

    def _visit_cell(self, cell: types.CellType, path: Entry, data: bool) -> None:
        image = CellImage(cell)
        self._take(Note((image,), None, *children_of((("cell", image.value),), path, data), data), cell, path)

    def _visit_object(self, obj: object, path: Entry, data: bool) -> None:
        held, items = attributes_of(obj)
        if not held and hasattr(type(obj), "__next__"):
            self.unheld[path_of(path)] = _ITERATOR
            return
        kind = type(obj) if parts.has_class_state(type(obj)) else None
        self._take(Note(held, kind, *children_of(items, path, data), data), obj, path)

    def _visit_beside(self, obj: object, path: Entry, data: bool) -> None:
        # the attributes of what has a content of its own beside them
        held, items = attributes_of(obj)
        self._beside += held
        self._visit_class(type(obj), path, data)
        self._push(items, path, data)

    def _visit_class(self, kind: type, path: Entry, data: bool) -> None:
        if id(kind) in self._seen:
            return
        for base, state in parts.class_state(kind):
            if id(base) not in self._seen:
                self._restores.append(parts.class_state_restore(base, state))
                self._push(state.items(), (base, path, base.__name__, data), data)
                self._seen[id(base)] = base
        self._seen[id(kind)] = kind


_ITERATOR = "a live iterator"
_CALLABLE_PARTS: dict[type, tuple[str, ...]] = {
    types.FunctionType: ("__closure__", "__defaults__", "__kwdefaults__", "__dict__"),
    types.MethodType: ("__self__", "__func__"),
    functools.partial: ("func", "args", "keywords", "__dict__"),
}
_CONTAINERS: frozenset[type] = frozenset((dict, list, set, deque, bytearray, array.array))
_GENERATORS = (torch.Generator, random.Random, np.random.RandomState, np.random.Generator, np.random.BitGenerator)

_Visit = Callable[[ObjectImage, Any, Entry, bool], None]
_visits: weakref.WeakKeyDictionary[type, _Visit] = weakref.WeakKeyDictionary()


def _visit_of(kind: type) -> _Visit:
    """How objects of a class are noted.

    Args:
        kind: the class.

    Returns:
        One of :class:`ObjectImage`'s methods.
    """
    choices: tuple[tuple[bool, _Visit], ...] = (
        (kind in ATOMS, ObjectImage._visit_nothing),
        (issubclass(kind, (UninitializedBuffer, UninitializedParameter)), ObjectImage._visit_lazy),
        (issubclass(kind, Tensor), ObjectImage._visit_tensor),
        (issubclass(kind, np.ndarray), ObjectImage._visit_array),
        (kind in _CONTAINERS or issubclass(kind, (dict, list, set, deque)), ObjectImage._visit_container),
        (issubclass(kind, (tuple, frozenset)), ObjectImage._visit_entries),
        (issubclass(kind, _GENERATORS), ObjectImage._visit_generator),
        (kind is types.CellType, ObjectImage._visit_cell),
        (kind in _CALLABLE_PARTS, ObjectImage._visit_callable),
        (issubclass(kind, outside.MEMORY), ObjectImage._visit_memory),
        (issubclass(kind, (io.IOBase, mmap.mmap)), ObjectImage._visit_file),
        (parts.is_foreign(kind), ObjectImage._visit_foreign),
        (issubclass(kind, torch.jit.ScriptModule), ObjectImage._visit_script),
        (issubclass(kind, torch.nn.Module), ObjectImage._visit_object),
        (issubclass(kind, (Dataset, Sampler, DataLoader)), ObjectImage._visit_data),
    )
    return next((visit for fits, visit in choices if fits), ObjectImage._visit_object)
