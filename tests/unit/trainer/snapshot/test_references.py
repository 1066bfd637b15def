"""Each note says whether an object still refers to the same, and lets it refer to that again."""

from __future__ import annotations

import array
import functools
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from types import CellType, SimpleNamespace
from typing import Any

import pytest

from lightning_gammabo.trainer.snapshot.references import (
    CallableImage,
    CellImage,
    DictImage,
    Part,
    SequenceImage,
    attributes_of,
    entries_of,
)
from tests.unit.trainer.snapshot.kinds import Child, Slotted

ONE, OTHER = [1], [1]  # equal, but not the same


def attributes(obj: object) -> Part:
    (part,) = attributes_of(obj)[0]
    return part


CHANGES: dict[str, tuple[Callable[[Any], Part], Any, Callable[[Any], object]]] = {
    "an equal value": (DictImage, {"a": ONE}, lambda it: it.update(a=OTHER)),
    "a new key": (DictImage, {"a": ONE}, lambda it: it.update(b=ONE)),
    "another order": (DictImage, OrderedDict(a=ONE, b=ONE), lambda it: it.move_to_end("a")),
    "another key": (DictImage, {"a": ONE}, lambda it: (it.clear(), it.update(b=ONE))),
    "a factory": (DictImage, defaultdict(list, a=ONE), lambda it: setattr(it, "default_factory", dict)),
    "a factory where there was none": (
        DictImage, defaultdict(None, a=ONE), lambda it: setattr(it, "default_factory", dict),
    ),
    "an equal entry": (SequenceImage, [ONE], lambda it: it.__setitem__(0, OTHER)),
    "an entry more": (SequenceImage, deque([ONE]), lambda it: it.append(ONE)),
    "an entry less": (SequenceImage, {1, 2}, lambda it: it.remove(2)),
    "a byte": (SequenceImage, bytearray(b"ab"), lambda it: it.__setitem__(0, 0)),
    "a number": (SequenceImage, array.array("d", [1.0]), lambda it: it.__setitem__(0, 2.0)),
    "a variable": (CellImage, CellType(ONE), lambda it: setattr(it, "cell_contents", OTHER)),
    "a variable's first value": (CellImage, CellType(), lambda it: setattr(it, "cell_contents", ONE)),
    "an attribute": (attributes, SimpleNamespace(a=ONE), lambda it: setattr(it, "a", OTHER)),
    "all attributes": (attributes, SimpleNamespace(a=ONE), lambda it: vars(it).clear()),
    "a slot": (attributes, Slotted(ONE), lambda it: setattr(it, "left", OTHER)),
    "a slot that was empty": (attributes, Slotted(ONE), lambda it: setattr(it, "right", ONE)),
    "a slot that is empty": (attributes, Slotted(ONE), lambda it: delattr(it, "left")),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_is_seen_and_put_back(case: str) -> None:
    note, target, change = CHANGES[case]
    part = note(target)
    assert part.same()
    change(target)
    assert not part.same()
    part.restore()
    assert part.same()


def test_the_exchange_of_a_class_or_of_its_dictionary_is_seen() -> None:
    class Before: ...

    class After: ...

    obj: Any = Before()
    held, _ = attributes_of(obj)
    obj.__class__ = After
    assert not held[0].same()
    held[0].restore()
    assert type(obj) is Before
    assert held[0].same()
    obj.__dict__ = dict(vars(obj))
    assert not held[0].same()


def test_a_dictionary_that_is_made_when_it_is_asked_for_is_never_the_same() -> None:
    class Made:
        @property
        def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
            return {"a": ONE}

    held, items = attributes_of(Made())
    assert not held[0].same()
    assert dict(items) == {"a": ONE}


def test_attributes_and_slots_are_both_told() -> None:
    child = Child(ONE)
    child.more = 2  # type: ignore[attr-defined]
    held, items = attributes_of(child)
    assert len(held) == 2
    assert dict(items) == {"more": 2, "left": ONE, "_Child__private": [ONE]}
    assert attributes_of(3) == ((), ())


def test_a_callable_is_compared_and_left_alone() -> None:
    def function(*, a: object = ONE) -> None: ...

    image = CallableImage(function, ("__kwdefaults__", "__closure__"))
    assert image.same()
    function.__kwdefaults__ = {"a": OTHER}
    assert not image.same()
    image.restore()
    assert function.__kwdefaults__["a"] is OTHER
    assert CallableImage(functools.partial(function), ("func", "args", "keywords")).same()


def test_entries_are_told_by_their_names() -> None:
    assert list(entries_of(["a"])) == [(0, "a")]
    assert list(entries_of(bytearray(b"a"))) == []
    assert list(entries_of({"a": 1})) == [("a", 1)]
    assert list(entries_of(defaultdict(list, {(1,): 2}))) == [((1,), 2), ("key", (1,)), ("default_factory", list)]
