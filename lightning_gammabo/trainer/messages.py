"""What a fit says to its user: each thing once, on rank 0."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

__all__ = ["Voice", "beside_bars"]


class Voice:
    """Says each message once in a fit."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def inform(self, message: str) -> None:
        """Say what a user may want to question.

        Args:
            message: the words.
        """
        if self._is_new(message):
            with beside_bars():
                rank_zero_info(f"GammaLRSearch: {message}")

    def warn(self, message: str) -> None:
        """Say what a user should look at.

        Args:
            message: the words.
        """
        if self._is_new(message):
            with beside_bars():
                rank_zero_warn(f"GammaLRSearch: {message}")

    def _is_new(self, message: str) -> bool:
        new = message not in self._said
        self._said.add(message)
        return new


@contextmanager
def beside_bars() -> Iterator[None]:
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
