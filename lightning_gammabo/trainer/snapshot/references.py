"""What objects refer to: noted as it is now, compared with what it is later, and put back in place.

Used by :mod:`lightning_gammabo.trainer.snapshot.objects`, which knows how the objects hang together.
"""

from __future__ import annotations

import array
import operator
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from typing import Any, Protocol

from lightning_gammabo.trainer.snapshot.restorers import slots_of

__all__ = [
    "CallableImage",
    "CellImage",
    "DictImage",
    "Part",
    "SequenceImage",
    "attributes_of",
    "entries_of",
]

_is = operator.is_
_EMPTY = object()


class Part(Protocol):
    """References that one object holds."""

    def same(self) -> bool:
        """Whether the object still holds these, and no others.

        Returns:
            Whether it does.
        """

    def restore(self) -> None:
        """Let it hold these again."""


class DictImage:
    """A dictionary's keys and values, in order, by reference.

    Args:
        target: the dictionary.
    """

    __slots__ = ("_base", "_factory", "_keys", "_target", "_values")

    def __init__(self, target: Any) -> None:
        self._target = target
        # the base class's own methods: a subclass may do more on access than look up or store
        base: Any = OrderedDict if type(target) is not dict and isinstance(target, OrderedDict) else dict
        self._base = base
        self._keys = tuple(base.keys(target))
        self._values = tuple(base.values(target))
        has_factory = type(target) is not dict and isinstance(target, defaultdict)
        self._factory: Any = target.default_factory if has_factory else _EMPTY

    def same(self) -> bool:
        """Compare keys and values, by identity and in order.

        Returns:
            Whether they are the same.
        """
        target, base, values = self._target, self._base, self._values
        return (
            base.__len__(target) == len(values)
            and all(map(_is, base.values(target), values))
            and all(map(_is, base.keys(target), self._keys))
            and (self._factory is _EMPTY or target.default_factory is self._factory)
        )

    def restore(self) -> None:
        """Put keys and values back."""
        if self.same():
            return
        target, base = self._target, self._base
        if self._factory is not _EMPTY:
            target.default_factory = self._factory
        base.clear(target)
        for key, value in zip(self._keys, self._values, strict=True):
            base.__setitem__(target, key, value)


class AttributesImage(DictImage):
    """An object's class, and the attributes in its ``__dict__`` (a lazy or a parametrised layer exchanges its class).

    Args:
        obj: the object.
        attributes: its ``__dict__``.
    """

    __slots__ = ("_kind", "_obj", "_own")

    def __init__(self, obj: object, attributes: dict[str, Any]) -> None:
        DictImage.__init__(self, attributes)
        self._obj = obj
        self._kind = type(obj)
        self._own = obj.__dict__ is attributes  # not one that a property makes

    def same(self) -> bool:
        """Compare class and attributes, by identity.

        Returns:
            Whether they are the same; False of a dictionary that is made anew when it is asked for.
        """
        obj = self._obj
        own = self._own and obj.__dict__ is self._target
        return own and type(obj) is self._kind and DictImage.same(self)

    def restore(self) -> None:
        """Put the class back, the dictionary and what it held."""
        obj = self._obj
        if type(obj) is not self._kind:
            object.__setattr__(obj, "__class__", self._kind)
        if self._own and obj.__dict__ is not self._target:
            object.__setattr__(obj, "__dict__", self._target)
        super().restore()


class SequenceImage:
    """The entries of a list, set, deque, bytearray or array.

    Args:
        target: the container.
    """

    __slots__ = ("_base", "_saved", "_target")

    def __init__(self, target: Any) -> None:
        self._target: Any = target
        self._base: Any = next(kind for kind in (list, set, deque, bytearray, array.array) if isinstance(target, kind))
        self._saved: Any = bytes(target) if self._base is bytearray else list(target)

    def same(self) -> bool:
        """Compare the entries, by identity and in order; plain numbers by value.

        Returns:
            Whether they are the same.
        """
        target, saved = self._target, self._saved
        if self._base is bytearray or self._base is array.array:
            return bool((bytes(target) if self._base is bytearray else list(target)) == saved)
        return len(target) == len(saved) and all(map(_is, target, saved))

    def restore(self) -> None:
        """Put the entries back."""
        target, base = self._target, self._base
        if base is array.array:
            target[:] = array.array(target.typecode, self._saved)
        elif base is bytearray:
            target[:] = self._saved
        elif not self.same():
            base.clear(target)
            (set.update if base is set else base.extend)(target, self._saved)


class CellImage:
    """A closure's variable.

    Args:
        cell: the closure's cell.
    """

    __slots__ = ("_cell", "_saved")

    def __init__(self, cell: types.CellType) -> None:
        self._cell = cell
        self._saved = _content_of(cell)

    @property
    def value(self) -> Any:
        """The variable's value; None where it has none yet."""
        return None if self._saved is _EMPTY else self._saved

    def same(self) -> bool:
        """Compare the value, by identity.

        Returns:
            Whether it is the same.
        """
        return _content_of(self._cell) is self._saved

    def restore(self) -> None:
        """Put the variable back."""
        if self._saved is _EMPTY:
            del self._cell.cell_contents
        else:
            self._cell.cell_contents = self._saved


def _content_of(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _EMPTY


class CallableImage:
    """What a function, a method or a partial function is made of, which is not put back.

    Args:
        target: the callable.
        names: attributes that hold its parts.

    Attributes:
        saved: its parts.
    """

    __slots__ = ("_target", "saved")

    def __init__(self, target: Any, names: tuple[str, ...]) -> None:
        self._target = target
        self.saved = {name: getattr(target, name) for name in names}

    def same(self) -> bool:
        """Compare the parts, by identity.

        Returns:
            Whether they are the same.
        """
        target = self._target
        return all(getattr(target, name) is part for name, part in self.saved.items())

    def restore(self) -> None:
        """Leave it as it is."""


class SlotsImage:
    """What an object's slots hold.

    Args:
        obj: the object.
        slots: the slots' names.

    Attributes:
        saved: what those held that held anything.
    """

    __slots__ = ("_obj", "_slots", "saved")

    def __init__(self, obj: object, slots: tuple[str, ...]) -> None:
        self._obj = obj
        self._slots = slots
        self.saved = {name: getattr(obj, name) for name in slots if hasattr(obj, name)}

    def same(self) -> bool:
        """Compare what the slots hold, by identity.

        Returns:
            Whether each holds the same object, or still none.
        """
        obj, saved = self._obj, self.saved
        return all(getattr(obj, name, _EMPTY) is saved.get(name, _EMPTY) for name in self._slots)

    def restore(self) -> None:
        """Put the slots back."""
        obj = self._obj
        for name in self._slots:
            if name in self.saved:
                if getattr(obj, name, None) is not self.saved[name]:
                    object.__setattr__(obj, name, self.saved[name])
            elif hasattr(obj, name):
                object.__delattr__(obj, name)


def attributes_of(obj: object) -> tuple[tuple[Part, ...], Iterable[tuple[Any, Any]]]:
    """Note an object's attributes.

    Args:
        obj: the object.

    Returns:
        Those in its ``__dict__`` and in its slots, and their names and values.
    """
    held: tuple[Part, ...] = ()
    items: Iterable[tuple[Any, Any]] = ()
    attributes = getattr(obj, "__dict__", None)
    if isinstance(attributes, dict):
        held, items = (AttributesImage(obj, attributes),), attributes.items()
    slots = slots_of(type(obj))
    if slots:
        image = SlotsImage(obj, slots)
        held, items = (*held, image), [*items, *image.saved.items()]
    return held, items


def entries_of(container: Any) -> Iterable[tuple[Any, Any]]:
    """Names and values of a container's entries.

    Args:
        container: a dictionary, list, set, deque, bytearray or array.

    Returns:
        The entries; of a dictionary also keys that are no words, and what makes its defaults.
    """
    if isinstance(container, (bytearray, array.array)):
        return ()
    if not isinstance(container, dict):
        return enumerate(container)
    keys = [("key", key) for key in container if type(key) is not str]
    factory = [("default_factory", container.default_factory)] if isinstance(container, defaultdict) else []
    return [*container.items(), *keys, *factory] if keys or factory else container.items()
