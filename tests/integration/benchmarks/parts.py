"""Modules of the benchmarks, for a test."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

__all__ = ["imported"]


@contextmanager
def imported(*names: str) -> Iterator[SimpleNamespace]:
    """The modules by their last names; Lightning's log level, which some of them set, is put back."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    try:
        yield SimpleNamespace(**{name.rpartition(".")[2]: importlib.import_module(name) for name in names})
    finally:
        logger.setLevel(level)
