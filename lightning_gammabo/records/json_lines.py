"""JSON lines that outlive a crash: written whole or not at all, read up to a torn last line."""

from __future__ import annotations

import contextlib
import json
import math
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["from_lines", "to_lines", "write_whole"]


def to_lines(objects: Iterable[dict[str, Any]]) -> str:
    r"""One line for each object.

    Args:
        objects: dictionaries of plain values.

    Returns:
        The text; empty for no objects. JSON has no NaN: a number that is not finite is written as null.

    Example:
        >>> to_lines([{"loss": math.inf}])
        '{"loss": null}\n'
    """
    return "".join(json.dumps(_finite(plain), allow_nan=False) + "\n" for plain in objects)


def from_lines(text: str) -> list[dict[str, Any]]:
    """Read :func:`to_lines` back; a torn last line, as a crash may leave, is dropped with a warning.

    Args:
        text: JSON lines.

    Returns:
        The objects; what was not finite is None.

    Raises:
        ValueError: if another line than the last is not JSON, or a line is JSON and no object.
    """
    # not `splitlines`: it also ends lines where JSON does not, at a form feed for one
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    objects: list[dict[str, Any]] = []
    for number, line in lines:
        try:
            plain = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == lines[-1][0]:
                warnings.warn(f"line {number} is torn and is dropped: {line[:40]!r}", stacklevel=2)
                break
            raise ValueError(f"line {number} is not JSON ({error}): {line[:40]!r}") from error
        if not isinstance(plain, dict):
            raise ValueError(f"line {number} is no JSON object: {line[:40]!r}")
        objects.append(plain)
    return objects


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a crash at any moment leaves the old text or the new one.

    Args:
        path: file to write; folders on the way are made.
        text: what shall stand in it.

    Raises:
        OSError: if it cannot be written (disk full, no permission); the old text stays and nothing else is left.
    """
    path = path.resolve()  # a link stays a link
    path.parent.mkdir(parents=True, exist_ok=True)
    # always the same name: what a killed process left is written over by the next one
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _finite(plain: Any) -> Any:
    if isinstance(plain, float) and not math.isfinite(plain):
        return None
    if isinstance(plain, dict):
        return {key: _finite(value) for key, value in plain.items()}
    return [_finite(value) for value in plain] if isinstance(plain, (list, tuple)) else plain
