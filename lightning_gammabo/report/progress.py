"""The progress of one search, under Lightning's own bars.

The search runs while Lightning's bars stand still: the epoch has not begun for them. :func:`make_progress` looks at the
user's progress bar and shows the candidates in the same way (Rich or tqdm), or not at all where the user wants no bars.
Nothing here raises into a training: a display that fails is given up.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from lightning_gammabo.records import Result

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

__all__ = ["SearchProgress", "make_progress", "shielded"]

log = logging.getLogger(__name__)


class _Trainer(Protocol):
    """What is read of a Trainer, of ``lightning.pytorch`` or of ``pytorch_lightning``."""

    @property
    def is_global_zero(self) -> bool: ...

    @property
    def progress_bar_callback(self) -> Any: ...


class SearchProgress:
    """Shows the candidates of a search, one search after the other; this base class is silent.

    A display overrides ``_open``, ``_show`` and ``_close``. ``finish`` may be called twice or without ``start``, and an
    exception of the display (a closed stream, another live display) ends the display, not the training.
    """

    def __init__(self) -> None:
        self._epoch = 0
        self._total = 0
        self._fraction = 1.0
        self._began = 0.0
        self._open_now = False

    def start(self, epoch: int, total: int, fraction: float = 1.0) -> None:
        """Begin the search of an epoch; a search that was not finished is finished first.

        To be called before the user's callbacks are set aside; until ``finish`` the user's own display bears that.

        Args:
            epoch: ``trainer.current_epoch``, from 0.
            total: candidates that will be trained.
            fraction: share of the epoch that each of them trains.
        """
        self.finish()
        self._epoch, self._total, self._fraction = epoch, total, fraction
        self._began = time.monotonic()
        self._open_now = True
        self._safely(self._open)

    def candidate(self, number: int, lr: float, leader: Result | None) -> None:
        """Show that a candidate is about to train.

        Args:
            number: the candidate's number, from 0; as many are done.
            lr: its learning rate.
            leader: the best result so far, if there is one.
        """
        if self._open_now:
            self._safely(lambda: self._show(number, lr, leader))

    def finish(self) -> None:
        """Take the display away."""
        if self._open_now:
            self._safely(self._close)
            self._open_now = False

    def _text(self, number: int, lr: float, leader: Result | None) -> str:
        share = f" of {self._fraction:.0%} epoch" if self._fraction < 1.0 else ""
        text = f"epoch {self._epoch}: candidate {number + 1}/{self._total}{share}  lr {lr:.1e}"
        if leader is None:
            return text
        text += f"  leader {leader.lr:.1e}"
        values = ((name, getattr(leader, name)) for name in ("value", "loss", "score"))
        return next((f"{text} ({name} {value:.4g})" for name, value in values if value is not None), text)

    # seconds that the search will still take, going by the candidates that are done
    def _left(self, number: int) -> float | None:
        passed = time.monotonic() - self._began
        return passed / number * (self._total - number) if number else None

    def _safely(self, show: Callable[[], None]) -> None:
        try:
            show()
        except Exception:
            log.debug("The progress of the search cannot be shown", exc_info=True)
            if show != self._close:
                self.finish()

    def _open(self) -> None: ...

    def _show(self, number: int, lr: float, leader: Result | None) -> None: ...

    def _close(self) -> None: ...


class _TqdmProgress(SearchProgress):
    """One bar in the line below Lightning's training bar; it leaves nothing behind."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self._position = position
        self._bar: Any = None

    def _open(self) -> None:
        # in a notebook without ipywidgets tqdm.auto fails where plain tqdm does its work; Lightning chooses alike
        if importlib.util.find_spec("ipywidgets") is not None:
            from tqdm.auto import tqdm
        else:
            from tqdm import tqdm
        self._bar = tqdm(
            desc=f"epoch {self._epoch}: search",
            total=self._total,
            position=self._position,
            leave=False,
            dynamic_ncols=True,
            file=sys.stdout,  # Lightning's bars are there; positions count within one stream
            bar_format="{desc} {bar} {elapsed}{postfix}",
        )

    def _show(self, number: int, lr: float, leader: Result | None) -> None:
        self._bar.n = number
        left = self._left(number)
        self._bar.set_postfix_str("" if left is None else f"{_clock(left)} left", refresh=False)
        self._bar.set_description_str(self._text(number, lr, leader), refresh=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _RichProgress(SearchProgress):
    """One line below the rows of Lightning's ``RichProgressBar``; a display of its own where that has none.

    Two live displays on one console disturb each other, so the line is drawn within the user's. It is no task of the
    user's ``Progress``: the rows share their columns, and our text would squeeze Lightning's bar.
    """

    def __init__(self, callback: Any) -> None:
        super().__init__()
        self._callback = callback
        self._line: Progress | None = None
        self._task: TaskID | None = None
        self._theirs: Progress | None = None
        self._undo: Callable[[], None] = lambda: None

    def _open(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        text, left = (TextColumn(f"{{task.{name}}}", markup=False) for name in ("description", "fields[left]"))
        columns = (text, BarColumn(bar_width=None), TimeElapsedColumn(), left)
        self._line = Progress(*columns, transient=True, expand=True)
        self._task = self._line.add_task(f"epoch {self._epoch}: search", total=self._total, left="")
        theirs = getattr(self._callback, "progress", None)  # made when the fit starts, and anew for some epochs
        if isinstance(theirs, Progress) and theirs.live.is_started:
            self._theirs = theirs
            self._undo = _replace_rows(theirs, _with_line(theirs, self._line))
            theirs.refresh()
        else:
            self._line.start()

    def _show(self, number: int, lr: float, leader: Result | None) -> None:
        if self._line is not None and self._task is not None:
            left = self._left(number)
            words = "" if left is None else f"{_clock(left)} left"
            self._line.update(self._task, completed=number, description=self._text(number, lr, leader), left=words)
            (self._theirs or self._line).refresh()

    def _close(self) -> None:
        line, theirs = self._line, self._theirs
        self._line = self._task = self._theirs = None
        if line is not None:
            line.stop()
        if line is not None and theirs is not None:
            line.columns = ()  # the last drawing is without our line, and still shielded
            theirs.refresh()
            self._undo()


@contextlib.contextmanager
def shielded(trainer: _Trainer) -> Iterator[None]:
    """Let Rich's display bear that the user's callbacks are set aside, whatever is trained or validated within.

    Args:
        trainer: the running Trainer.
    """
    theirs = getattr(trainer.progress_bar_callback, "progress", None)
    if theirs is None or not hasattr(theirs, "get_renderables"):
        yield
        return
    undo = _replace_rows(theirs, _with_line(theirs, None))
    try:
        yield
    finally:
        undo()


def make_progress(trainer: _Trainer) -> SearchProgress:
    """The display that suits the user's own progress bar.

    Args:
        trainer: the running Trainer, of ``lightning.pytorch`` or of ``pytorch_lightning``.

    Returns:
        A silent one on other ranks than the first and where there is no bar or a disabled one; a row in the user's
        display for a ``RichProgressBar``; else a tqdm bar.
    """
    callback = trainer.progress_bar_callback
    if not trainer.is_global_zero or callback is None or getattr(callback, "is_disabled", False):
        return SearchProgress()
    # by name: each namespace has a class of its own, and importing either only to compare would cost seconds
    if any(base.__name__ == "RichProgressBar" for base in type(callback).__mro__):
        return _RichProgress(callback)
    # Lightning's formula, then one line further down, where its validation bar stands at other times
    return _TqdmProgress(position=2 * getattr(callback, "process_position", 0) + 1)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def _replace_rows(theirs: Progress, rows: Callable[[], Iterable[RenderableType]]) -> Callable[[], None]:
    before = vars(theirs).get("get_renderables")  # a shield further out
    theirs.get_renderables = rows  # type: ignore[method-assign]

    def undo() -> None:
        if before is None:
            del theirs.get_renderables
        else:
            theirs.get_renderables = before  # type: ignore[method-assign]

    return undo


def _with_line(theirs: Progress, line: Progress | None) -> Callable[[], Iterable[RenderableType]]:
    """The user's rows, made to bear a search, with our line below them.

    While a candidate trains, the user's callbacks are set aside, and Lightning's column of metrics fails without its
    progress bar. That would end the refreshing thread, or raise from a user's ``print``, which draws the rows anew.

    Returns:
        What stands in for ``theirs.get_renderables``; rows that cannot be drawn stay as they last were.
    """
    draw = theirs.get_renderables
    rows: tuple[RenderableType, ...] = ()

    def renderables() -> Iterable[RenderableType]:
        nonlocal rows
        with contextlib.suppress(Exception):
            rows = tuple(draw())
        return (*rows, line.get_renderable()) if line is not None and line.columns else rows

    return renderables
