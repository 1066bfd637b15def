"""Log levels that examples and benchmarks set for their own runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["log_levels_kept"]


@contextmanager
def log_levels_kept() -> Iterator[None]:
    """Within the block levels of Lightning's loggers and ours may change; they are put back after it."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning_gammabo")]
    levels = [logger.level for logger in loggers]
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
