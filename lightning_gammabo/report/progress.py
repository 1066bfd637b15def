"""The progress of one search, under Lightning's own bars.

The search runs while Lightning's bars stand still: the epoch has not begun for them. :func:`make_progress` looks at the
user's progress bar and shows the candidates in the same way (Rich or tqdm), or not at all where the user wants no bars.
Nothing here raises into a training: a display that fails is given up.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from lightning_gammabo.records import Result
from lightning_gammabo.records.epoch import ranked_by
from lightning_gammabo.records.words import short_time

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

__all__ = ["SearchProgress", "make_progress", "shielded"]

log = logging.getLogger(__name__)

_PAUSE = 0.2
"""seconds between two drawings while a candidate trains"""
_PARTS = 100
"""steps of a bar for each candidate: in a notebook a bar moves by whole numbers"""
_LONGEST = 12
"""characters of an objective's name that a line of 80 has room for"""


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

    Args:
        batches: batches that each candidate trains; None, or infinite, where that is not known.
        objective: name of what candidates are ranked by.
    """

    def __init__(self, batches: float | None = None, objective: str = "score") -> None:
        self._batches = batches if batches is not None and 0 < batches < math.inf else None
        self._objective = objective
        self._epoch = 0
        self._total = 0
        self._text = ""
        self._number = 0
        self._began = self._drawn = 0.0
        self._open_now = False

    def start(self, epoch: int, total: int) -> None:
        """Begin the search of an epoch; a search that was not finished is finished first.

        To be called before the user's callbacks are set aside; until ``finish`` the user's own display bears that.

        Args:
            epoch: ``trainer.current_epoch``, from 0.
            total: candidates that will be trained.
        """
        self.finish()
        self._epoch, self._total, self._number = epoch, total, 0
        self._text = f"search epoch {epoch}"
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
        self._number = number
        self._text = f"search epoch {self._epoch}: {number + 1}/{self._total} lr {lr:.1e}{self._best(leader)}"
        self._draw(float(number))

    def batch(self, trained: int) -> None:
        """Show that the present candidate has trained a batch; drawn a few times a second.

        Args:
            trained: how many it has trained.
        """
        if self._batches is not None and time.monotonic() - self._drawn >= _PAUSE:
            self._draw(self._number + min(trained / self._batches, 1.0))

    def finish(self) -> None:
        """Take the display away."""
        if self._open_now:
            self._safely(self._close)
            self._open_now = False

    def _best(self, leader: Result | None) -> str:
        if leader is None:
            return ""
        name = ranked_by(self._objective, [leader])
        value = leader.value if leader.value is not None else leader.score
        return f" (best {leader.lr:.1e}: {name[:_LONGEST]} {value:.3g})"

    def _draw(self, done: float) -> None:
        if self._open_now:
            self._drawn = time.monotonic()
            self._safely(lambda: self._show(done, self._text, self._left(done)))

    # time that the search will still take, going by the candidates and the batches that are done
    def _left(self, done: float) -> str:
        passed = time.monotonic() - self._began
        if done <= 0.0 or passed < _PAUSE:
            return ""
        return f"{short_time(passed / done * (self._total - done))} left"

    def _safely(self, show: Callable[[], None]) -> None:
        try:
            show()
        except Exception:
            log.debug("The progress of the search cannot be shown", exc_info=True)
            if show != self._close:
                self.finish()

    def _open(self) -> None: ...

    def _show(self, done: float, text: str, left: str) -> None: ...

    def _close(self) -> None: ...


class _TqdmProgress(SearchProgress):
    """One bar in the line below Lightning's training bar; it leaves nothing behind."""

    def __init__(self, position: int, **options: Any) -> None:
        super().__init__(**options)
        self._position = position
        self._bar: Any = None

    def _open(self) -> None:
        # in a notebook without ipywidgets tqdm.auto fails where plain tqdm does its work; Lightning chooses alike
        if importlib.util.find_spec("ipywidgets") is not None:
            from tqdm.auto import tqdm
        else:
            from tqdm import tqdm
        self._bar = tqdm(
            desc=self._text,
            total=_PARTS * self._total,
            position=self._position,
            leave=False,
            dynamic_ncols=True,
            file=sys.stdout,  # Lightning's bars are there; positions count within one stream
            unit="",
            bar_format="{desc} {bar}{unit}",  # a postfix would begin with a comma
        )

    def _show(self, done: float, text: str, left: str) -> None:
        self._bar.n = round(_PARTS * done)
        self._bar.unit = f" {left}"
        self._bar.set_description_str(text, refresh=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _RichProgress(SearchProgress):
    """One line below the rows of Lightning's ``RichProgressBar``; a display of its own where that has none.

    Two live displays on one console disturb each other, so the line is drawn within the user's. It is no task of the
    user's ``Progress``: the rows share their columns, and our text would squeeze Lightning's bar.
    """

    def __init__(self, callback: Any, **options: Any) -> None:
        super().__init__(**options)
        self._callback = callback
        self._line: Progress | None = None
        self._task: TaskID | None = None
        self._theirs: Progress | None = None
        self._undo: Callable[[], None] = lambda: None

    def _open(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        text, left = (TextColumn(f"{{task.{name}}}", markup=False) for name in ("description", "fields[left]"))
        columns = (text, BarColumn(bar_width=None), left)
        self._line = Progress(*columns, transient=True, expand=True)
        self._task = self._line.add_task(self._text, total=self._total, left="")
        theirs = getattr(self._callback, "progress", None)  # made when the fit starts, and anew for some epochs
        if isinstance(theirs, Progress) and theirs.live.is_started:
            self._theirs = theirs
            self._undo = _replace_rows(theirs, _with_line(theirs, self._line))
            theirs.refresh()
        else:
            self._line.start()

    def _show(self, done: float, text: str, left: str) -> None:
        if self._line is not None and self._task is not None:
            self._line.update(self._task, completed=done, description=text, left=left)
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


def make_progress(trainer: _Trainer, **options: Any) -> SearchProgress:
    """The display that suits the user's own progress bar.

    Args:
        trainer: the running Trainer, of ``lightning.pytorch`` or of ``pytorch_lightning``.
        **options: arguments of :class:`SearchProgress`.

    Returns:
        A silent one on other ranks than the first and where there is no bar or a disabled one; a row in the user's
        display for a ``RichProgressBar``; else a tqdm bar.
    """
    callback = trainer.progress_bar_callback
    if not trainer.is_global_zero or callback is None or getattr(callback, "is_disabled", False):
        return SearchProgress()
    # by name: each namespace has a class of its own, and importing either only to compare would cost seconds
    if any(base.__name__ == "RichProgressBar" for base in type(callback).__mro__):
        return _RichProgress(callback, **options)
    # Lightning's formula, then one line further down, where its validation bar stands at other times
    return _TqdmProgress(position=2 * getattr(callback, "process_position", 0) + 1, **options)


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
