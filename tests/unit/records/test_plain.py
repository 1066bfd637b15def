"""Records as plain values and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from lightning_gammabo.records.plain import PlainRecord


class Colour(str, Enum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner(PlainRecord):
    colour: Colour = Colour.RED

    @classmethod
    def _read(cls, known: dict[str, Any]) -> dict[str, Any]:
        return {**known, "colour": Colour(known["colour"])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer(PlainRecord):
    parts: tuple[Inner, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def _read(cls, known: dict[str, Any]) -> dict[str, Any]:
        return {**known, "parts": tuple(map(Inner.from_dict, known["parts"]))}


def test_words_and_dictionaries_stand_for_members_and_records() -> None:
    plain = Outer(parts=(Inner(),), values={"a": 1.0}).to_dict()
    assert plain == {"parts": ({"colour": "red"},), "values": {"a": 1.0}}
    assert type(plain["parts"][0]["colour"]) is str


def test_what_is_read_back_is_equal_and_what_a_later_version_added_is_left_out() -> None:
    one = Outer(parts=(Inner(),), values={"a": 1.0})
    assert Outer.from_dict({**one.to_dict(), "invented later": 1}) == one
    assert Outer.from_dict({"parts": []}) == Outer()


def test_a_record_has_no_dictionary_of_its_own() -> None:
    assert not hasattr(Outer(), "__dict__")
    assert MappingProxyType({}) == Outer().values
