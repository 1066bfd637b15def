"""Pictures of a whole run: the schedule that it found, what it cost.

matplotlib is an extra and is imported when a picture is asked for. Every function takes axes to draw on, or makes a
figure of its own, and returns the axes, so that the caller goes on with plain matplotlib::

    rate, value = plot_schedule(callback.history)
    rate.figure.savefig("schedule.png", dpi=150)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_gammabo.records import EpochRate, EpochRecord, SearchHistory, TrialState
from lightning_gammabo.records.words import count
from lightning_gammabo.report.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    by_epoch,
    end_at_one,
    how_lost,
    ink,
    legend_above,
    log_scale,
    panels,
    plain,
    scatter,
    value_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_cost", "plot_schedule"]

_BELOW = 3.0
"""how far below the lowest rate tried a rate is still shown"""


def plot_schedule(history: SearchHistory, ax: Axes | None = None) -> tuple[Axes, Axes]:
    """The rate that each epoch was trained with, among its candidates, and what it ended with.

    Args:
        history: the records of one fit.
        ax: draw the rate here, and the objective on an axis of its own at the right; None for a figure of two panels.

    Returns:
        The axes of the rate and those of the objective.

    Raises:
        ValueError: if the history has no epochs.
    """
    if not history:
        raise ValueError("plot_schedule: the history has no epochs")
    rate, value = panels(5.0, (3, 2)) if ax is None else (ax, ax.twinx())
    _draw_candidates(rate, history)
    _draw_rates(rate, history)
    _scale_rates(rate, history)
    rate.set_ylabel("learning rate", color=ink() if ax is None else BLUE)
    _draw_values(value, history)
    value.set_ylabel(value_label(history[-1].ranked_by), color=ink() if ax is None else ORANGE, parse_math=False)
    _draw_recoveries(rate, history, label="went back")
    if ax is None:
        _draw_recoveries(value, history)
        value.legend(frameon=False, fontsize="small", loc="best")
    by_epoch(value if ax is None else rate, history)
    legend_above(rate)
    plain(rate, keep_right=ax is not None)
    plain(value, keep_right=ax is not None, grid=ax is None)
    return rate, value


def plot_cost(history: SearchHistory, ax: Axes | None = None) -> Axes:
    """Passes over the training data by epoch, searched or not, against the one pass of a plain fit.

    Args:
        history: the records of one fit.
        ax: draw here; None for a figure of its own.

    Returns:
        The axes.

    Raises:
        ValueError: if the history has no epochs.
    """
    if not history:
        raise ValueError("plot_cost: the history has no epochs")
    axes = panels(3.5)[0] if ax is None else ax
    searched = {record.epoch: record for record in history}
    epochs = sorted({*searched, *(end.epoch for end in history.trained)})
    again = {end.epoch: float(end.retrained) for end in history.trained}
    parts = [_parts(searched.get(epoch), again.get(epoch, 0.0)) for epoch in epochs]
    base = [0.0] * len(epochs)
    kinds = (("candidates", BLUE), ("cut short", ORANGE), ("the epoch itself", GREEN), ("trained again", GREY))
    for kind, (label, colour) in enumerate(kinds):
        passes = [part[kind] for part in parts]
        if any(passes):
            axes.bar(epochs, passes, bottom=base, color=colour, label=label, width=0.7)
            base = [low + high for low, high in zip(base, passes, strict=True)]
    lost = [(epoch, height) for epoch, height in zip(epochs, base, strict=True) if epoch in history.lost]
    if lost:
        at, heights = zip(*lost, strict=True)
        axes.bar(at, heights, width=0.7, fill=False, edgecolor=ink(), hatch="//", label="lost")
    axes.axhline(1.0, color=ink(), linewidth=1.0, linestyle=":", label="a plain fit")
    axes.set_ylabel("passes over the training data")
    legend_above(axes, f"{sum(base):.1f} passes for {count(len(epochs), 'epoch')}")
    by_epoch(axes, history)
    plain(axes)
    return axes


def _draw_candidates(axes: Axes, history: SearchHistory) -> None:
    tried = [(record.epoch, result.lr, result.state) for record in history for result in record.results]
    complete = [(epoch, lr) for epoch, lr, state in tried if state is TrialState.COMPLETE]
    lost = [(epoch, lr) for epoch, lr, state in tried if state is not TrialState.COMPLETE]
    scatter(axes, complete, marker="o", s=14, color=GREY, alpha=0.7, label="tried", zorder=1)
    scatter(axes, lost, marker="x", s=20, color=GREY, label=how_lost(history), zorder=1)
    chosen = [(record.epoch, record.chosen.lr, record.epoch in history.lost) for record in history if record.chosen]
    kept = [(epoch, lr) for epoch, lr, gone in chosen if not gone]
    gone = [(epoch, lr) for epoch, lr, gone in chosen if gone]
    # between searches that are not known to be all of the run, a line leads from one to the next
    line = "o" if history.trained else "o-"
    axes.plot([e for e, _ in kept], [lr for _, lr in kept], line, color=BLUE, label="committed", zorder=3)
    scatter(axes, gone, marker="o", s=30, facecolor="none", edgecolor=BLUE, label="lost", zorder=3)


def _draw_rates(axes: Axes, history: SearchHistory) -> None:
    rates = [end.rate for end in history.trained if end.rate is not None]
    if not rates:
        return
    kept = [rate for rate in rates if rate.epoch not in history.lost]
    gone = [rate for rate in rates if rate.epoch in history.lost]
    axes.plot(*_path(kept), color=BLUE, linewidth=1.5, alpha=0.8, label="trained with", zorder=2)
    if gone:
        axes.plot(*_path(gone), color=GREY, linewidth=1.5, linestyle="--", label="trained and lost", zorder=2)
    if any(rate.peak != rate.start for rate in rates):
        x = [at for rate in rates for at in (rate.epoch, rate.epoch + 1)]
        peaks = [rate.peak for rate in rates for _ in range(2)]
        axes.plot(x, peaks, color=GREEN, linewidth=1.0, linestyle=":", label="peak of the schedule", zorder=2)


def _path(rates: Sequence[EpochRate]) -> tuple[list[float], list[float]]:
    # an epoch e lies between e and e + 1; so does the way of its rate
    x = [at for rate in rates for at in (rate.epoch, rate.epoch + 1, math.nan)]
    return x, [lr for rate in rates for lr in (rate.start, rate.end, math.nan)]


def _scale_rates(axes: Axes, history: SearchHistory) -> None:
    tried = [result.lr for record in history for result in record.results]
    trained = [lr for end in history.trained if end.rate is not None for lr in (end.rate.start, end.rate.end)]
    shown = [*tried, *trained]
    if min(shown) > 0.0:
        log_scale(axes.yaxis, min(shown), max(shown))
        # a schedule that ends near zero would squeeze all others
        axes.set_ylim(bottom=max(min(shown), min(tried) / _BELOW) / 1.5)


def _draw_values(axes: Axes, history: SearchHistory) -> None:
    ranked_by = history[-1].ranked_by
    name = ranked_by if ranked_by in ("loss", "accuracy") else "value"
    ended = [(end.epoch, getattr(end, name)) for end in history.trained if getattr(end, name) is not None]
    kept = [(epoch, value) for epoch, value in ended if epoch not in history.lost]
    if kept:
        axes.plot(*zip(*kept, strict=True), "s-", color=ORANGE, markersize=5, label="epoch's end", zorder=3)
    lost = [(epoch, value) for epoch, value in ended if epoch in history.lost]
    scatter(axes, lost, marker="s", s=25, facecolor="none", edgecolor=ORANGE, label="lost", zorder=3)
    chosen = [(record.epoch, getattr(record.chosen, name)) for record in history if record.chosen is not None]
    scores = [(epoch, value) for epoch, value in chosen if value is not None]
    if ended:
        scatter(axes, scores, marker="+", s=45, color=GREY, label="search score", zorder=2)
    elif scores:
        axes.plot(*zip(*scores, strict=True), "s--", color=ORANGE, markersize=5, label="search score", zorder=2)
    if ranked_by == "accuracy":
        end_at_one(axes)


def _draw_recoveries(axes: Axes, history: SearchHistory, label: str | None = None) -> None:
    for end in history.trained:
        if end.returned_to is not None:
            axes.axvline(end.epoch, color=ORANGE, linewidth=1.2, linestyle="--", label=label, zorder=1)
            label = None  # one entry in the legend


def _parts(record: EpochRecord | None, again: float) -> tuple[float, float, float, float]:
    # passes: through to a score, cut short, the committed epoch's own, trained again
    if record is None:
        return 0.0, 0.0, 1.0, again
    through = sum(result.passes for result in record.results if result.state is TrialState.COMPLETE)
    short = sum(result.passes for result in record.results if result.state is not TrialState.COMPLETE)
    rest = max(0.0, record.train_passes - through - short)
    return (through, short, rest, 0.0) if record.commit == "copy" else (through, short, 0.0, rest)
