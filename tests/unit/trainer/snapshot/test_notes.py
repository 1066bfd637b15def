"""A note tells whether a walk would note the same now, and where it goes on to."""

from __future__ import annotations

from lightning_gammabo.trainer.snapshot.notes import Note, children_of, path_of
from lightning_gammabo.trainer.snapshot.references import DictImage


def test_a_note_is_no_longer_the_same_where_something_empty_is_filled() -> None:
    empty: list[int] = []
    note = Note((DictImage({"a": empty}),), None, [], [empty], False)
    assert note.same(False)
    assert not note.same(True)  # it belongs to a data set now
    empty.append(1)
    assert not note.same(False)
    note.restore()
    assert empty == []
    assert note.same(False)


def test_a_walk_goes_on_to_what_can_change() -> None:
    root = (None, None, "module", False)
    inner, nothing = [1], {}
    children, empty = children_of({"a": 1, "b": inner, "c": nothing, "d": (2,), "e": int}.items(), root, False)
    assert [path_of(child) for child in children] == ["module.d", "module.b"]  # a stack: the last is visited first
    assert children[1][0] is inner
    assert len(empty) == 1
    assert empty[0] is nothing
