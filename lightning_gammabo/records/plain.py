"""Records as plain values and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from enum import Enum
from typing import Any, TypeVar

__all__ = ["PlainRecord"]

R = TypeVar("R", bound="PlainRecord")


class PlainRecord:
    """Base of the frozen records, dataclasses all, that are written to files and checkpoints."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values: strings, numbers, lists, tuples and dictionaries only.

        Returns:
            A dictionary from which :meth:`from_dict` makes an equal record.
        """
        values: dict[str, Any] = asdict(self, dict_factory=_plain)  # type: ignore[call-overload]
        return values

    @classmethod
    def from_dict(cls: type[R], plain: Mapping[str, Any]) -> R:
        """The record that :meth:`to_dict` described; keys that this version does not know are left out.

        Args:
            plain: what :meth:`to_dict` gave.

        Returns:
            An equal record.
        """
        names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        return cls(**cls._read({key: value for key, value in plain.items() if key in names}))

    @classmethod
    def _read(cls, known: dict[str, Any]) -> dict[str, Any]:
        # the arguments that the values of fields stand for, where they are not the same
        return known


def _plain(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found = {}
    for name, value in values:
        plain = value.value if isinstance(value, Enum) else value
        found[name] = dict(plain) if isinstance(plain, Mapping) else plain
    return found
