"""Modules of the benchmarks, for a test."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from tests.helpers.logs import log_levels_kept

__all__ = ["imported"]


@contextmanager
def imported(*names: str) -> Iterator[SimpleNamespace]:
    """The modules by their last names; log levels, which some of them set, are put back."""
    with log_levels_kept():
        yield SimpleNamespace(**{name.rpartition(".")[2]: importlib.import_module(name) for name in names})
