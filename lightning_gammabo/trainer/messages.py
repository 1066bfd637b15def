"""What a fit says to its user: each thing once, on rank 0; what is no warning goes to standard output."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from lightning_gammabo.trainer.patch import replaced

__all__ = ["Messages", "bars_cleared", "inform", "warn"]

log = logging.getLogger("lightning_gammabo")


class Messages:
    """Says each message once in a fit."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def inform(self, message: str) -> None:
        """Say what a user may want to question.

        Args:
            message: the words.
        """
        if self._is_new(message):
            inform(f"GammaLRSearch: {message}")

    def warn(self, message: str) -> None:
        """Say what a user should look at.

        Args:
            message: the words.
        """
        if self._is_new(message):
            warn(f"GammaLRSearch: {message}")

    def _is_new(self, message: str) -> bool:
        new = message not in self._said
        self._said.add(message)
        return new


@rank_zero_only
def inform(message: str) -> None:
    """Say something on rank 0: to standard output, and to what the user's logging is configured for.

    Args:
        message: the words.
    """
    with bars_cleared():
        log.info(message)


@rank_zero_only
def warn(message: str) -> None:
    """Warn on rank 0, without the place in this package that the words come from.

    Args:
        message: the words.
    """
    with bars_cleared(), replaced(warnings, "formatwarning", lambda words, *_, **__: f"Warning: {words}\n"):
        rank_zero_warn(message, stacklevel=3)


class _Screen(logging.StreamHandler[TextIO]):
    """Writes to standard output as it is now, unless the user's own logging writes to the console already."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stdout

    def filter(self, record: logging.LogRecord) -> Any:
        consoles = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        roots = (handler for handler in logging.root.handlers if isinstance(handler, logging.StreamHandler))
        return not any(handler.stream in consoles for handler in roots) and super().filter(record)


log.addHandler(_Screen())
if log.level == logging.NOTSET:
    log.setLevel(logging.INFO)


@contextmanager
def bars_cleared() -> Iterator[None]:
    """Within, a log line or a warning stands in lines of its own above the bars of tqdm and Rich.

    tqdm's bars are cleared and drawn anew. Rich moves its display below whatever goes through ``sys.stderr``, but a
    logging handler made before still holds the stream behind; for the while it writes through Rich too.
    """
    with ExitStack() as stack:
        tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)  # without it there is no bar of its kind
        if tqdm is not None:
            stack.enter_context(tqdm.external_write_mode(file=sys.stderr))
        behind = getattr(sys.stderr, "rich_proxied_file", None)
        for handler in _handlers() if behind is not None else ():
            if handler.stream is behind:
                handler.setStream(sys.stderr)
                stack.callback(handler.setStream, behind)
        yield


def _handlers() -> list[logging.StreamHandler[Any]]:
    named = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    handlers = {id(handler): handler for logger in (logging.root, *named) for handler in logger.handlers}
    return [handler for handler in handlers.values() if isinstance(handler, logging.StreamHandler)]
