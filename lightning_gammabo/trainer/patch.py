"""One attribute exchanged for the length of a block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["nothing", "replaced"]


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Let an object, or a module, have another attribute within the block; it is put back also when that raises.

    Args:
        owner: the object; its class's attribute of that name is left alone.
        name: the attribute.
        value: what it is within the block.

    Yields:
        Nothing.

    Example:
        >>> from types import SimpleNamespace
        >>> owner = SimpleNamespace(limit=3)
        >>> with replaced(owner, "limit", 0):
        ...     print(owner.limit)
        0
        >>> owner.limit
        3
    """
    own = vars(owner)
    had, before = name in own, own.get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if had:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


def nothing(*args: Any, **kwargs: Any) -> None:
    """A hook that is set aside."""
