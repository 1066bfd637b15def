"""Examples are scripts beside each other: their modules are imported for a test, and forgotten after it."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

__all__ = ["EXAMPLES", "imported"]

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@contextmanager
def imported(folder: str, parts: Sequence[str]) -> Iterator[SimpleNamespace]:
    """The modules ``parts`` of a folder of the examples, or of the examples' own."""
    before, path = set(sys.modules), list(sys.path)
    level = logging.getLogger("lightning.pytorch").level
    sys.path[:0] = [str(EXAMPLES / folder), str(EXAMPLES)]
    try:
        yield SimpleNamespace(**{part: importlib.import_module(part) for part in parts})
    finally:
        sys.path[:] = path
        logging.getLogger("lightning.pytorch").setLevel(level)
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None)
            if origin and EXAMPLES in Path(origin).parents:
                del sys.modules[name]
