"""What all pictures share: where a figure is made, its colours, its legend.

matplotlib is an extra and is imported when a picture is asked for. A figure that a user asks for is pyplot's, so that
``plt.show()`` shows it. Reports and loggers draw within :func:`apart`: figures of their own that open no window.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from lightning_gammabo.records import TrialState
from lightning_gammabo.report.extras import check_extras

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from lightning_gammabo.records import EpochRecord, SearchHistory

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "apart",
    "by_epoch",
    "end_at_one",
    "how_lost",
    "ink",
    "legend_above",
    "log_scale",
    "panels",
    "plain",
    "scatter",
    "score_label",
    "value_label",
]

# three of the colours of Okabe and Ito, which stay apart for the colour-blind, and a grey that reads on light and dark
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8C8C8C"
_WIDTH = 7.0
_NARROW = 4.5
"""inches; axes below have room for two legend entries in a row, others for four"""
_LONGEST = 20
"""characters of a name that an axis has room for"""
_apart: ContextVar[float | None] = ContextVar("width of figures that are not pyplot's", default=None)


@contextmanager
def apart(width: float = _WIDTH) -> Iterator[None]:
    """Figures made inside are not pyplot's: no window opens, and nothing has to be closed.

    Args:
        width: of the figures, in inches; their heights keep the proportion as far as words allow.
    """
    token = _apart.set(width)
    try:
        yield
    finally:
        _apart.reset(token)


def panels(height: float, ratios: Sequence[float] = (1.0,)) -> tuple[Axes, ...]:
    """A new figure with panels below each other that share their x axis.

    Args:
        height: of the figure, in inches, where it is as wide as usual.
        ratios: heights of the panels among each other.

    Returns:
        The axes, from the top.

    Raises:
        ModuleNotFoundError: if matplotlib is not installed, with what to install.
    """
    check_extras("A picture", "matplotlib")
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    own = _apart.get()
    share = 1.0 if own is None else own / _WIDTH
    size = (_WIDTH * share, height * (1.0 + share) / 2.0)
    make = Figure if own is not None else plt.figure
    figure: Figure = make(figsize=size, layout="constrained")
    grid = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": list(ratios)})
    return tuple(grid[:, 0])


def ink() -> Any:
    """The colour of lines and words that stand for no data: that of the user's style.

    Returns:
        A colour of matplotlib's.
    """
    import matplotlib

    return matplotlib.rcParams["text.color"]


def scatter(axes: Axes, points: Sequence[tuple[float, float]], **style: Any) -> None:
    """Points, if there are any.

    Args:
        axes: where.
        points: pairs of x and y.
        **style: as ``Axes.scatter`` takes it.
    """
    if points:
        axes.scatter(*zip(*points, strict=True), **style)


def legend_above(axes: Axes, title: str = "") -> None:
    """Title and legend in lines of their own above the axes, where they cover no point.

    Args:
        axes: the top panel.
        title: its title.
    """
    entries = len(axes.get_legend_handles_labels()[0])
    columns = 4 if axes.bbox.width / axes.figure.dpi >= _NARROW else 2
    rows = math.ceil(entries / columns)
    axes.set_title(title, loc="left", fontsize="medium", pad=6.0 + 14.0 * rows, parse_math=False)
    at_top_left = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.2}
    if entries:
        axes.legend(frameon=False, ncols=columns, fontsize="small", **at_top_left)  # type: ignore[call-overload]


def log_scale(axis: Axis, low: float, high: float) -> None:
    """A logarithmic axis with plain numbers at its ticks: powers of ten, and more of them within two decades.

    Args:
        axis: of the axes.
        low: the least value shown, above zero.
        high: the greatest value shown.
    """
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    (axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1.0,) if high > 100.0 * low else (1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def score_label(record: EpochRecord) -> str:
    """The label of an axis of scores, of which greater ones are better.

    Args:
        record: the search whose scores are shown.

    Returns:
        Such as ``score (kappa)`` or, where the objective's own sign is turned round, ``score (-loss)``.
    """
    scored = [result for result in record.results if result.score and result.value is not None]
    turned = bool(scored) and all(result.value == -(result.score or 0.0) for result in scored)
    return f"score ({'-' * turned}{_shortened(record.ranked_by)})"


def value_label(name: str) -> str:
    """The label of an axis of values, under their own name.

    Args:
        name: ``loss``, ``accuracy`` or an objective's name; a user's metric may have a long one.

    Returns:
        Such as ``validation loss``.
    """
    named = {"loss": "validation loss", "accuracy": "validation accuracy"}
    return named.get(name, _shortened(name))


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..."


def end_at_one(axes: Axes) -> None:
    """Let an axis of shares end at 1 where the margin would show more.

    Args:
        axes: whose y axis it is.
    """
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, 0.0), min(top, 1.0))


def how_lost(records: Iterable[EpochRecord]) -> str:
    """How candidates ended that have no score.

    Args:
        records: the searches that are shown.

    Returns:
        Such as ``pruned or diverged``; empty where all have one.
    """
    states = {result.state for record in records for result in record.results}
    return " or ".join(s.value for s in (TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED) if s in states)


def by_epoch(axes: Axes, history: SearchHistory) -> None:
    """An x axis of epochs: whole numbers, with room for the first and the last.

    Args:
        axes: the lowest panel.
        history: the epochs that are shown.
    """
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    epochs = [*(record.epoch for record in history), *(end.epoch for end in history.trained)]
    # the way of a trained epoch's rate leads to where the next one begins
    axes.set_xlim(min(epochs) - 0.6, max(epochs) + (1.1 if history.trained else 0.6))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def plain(axes: Axes, *, keep_right: bool = False, grid: bool = True) -> None:
    """Without the lines that carry nothing.

    Args:
        axes: the axes.
        keep_right: whether the right one carries a scale.
        grid: whether lines help to read heights.
    """
    axes.spines["top"].set_visible(False)
    axes.spines["right"].set_visible(keep_right)
    if grid:
        axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)
