"""Pictures of a search: the schedule that it found, one epoch's landscape, what it cost.

matplotlib is an extra and is imported when a picture is asked for. Every function takes axes to draw on, or makes a
figure of its own, and returns the axes, so that the caller goes on with plain matplotlib::

    rate, value = plot_schedule(callback.history)
    rate.figure.savefig("schedule.png", dpi=150)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lightning_gammabo.records import EpochRate, EpochRecord, Result, SearchHistory, TrialState
from lightning_gammabo.report.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    by_epoch,
    ink,
    legend_above,
    log_scale,
    panels,
    plain,
    scatter,
    score_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_cost", "plot_landscape", "plot_schedule"]

_NAMES = {"value": "kappa", "score": "score", "accuracy": "validation accuracy", "loss": "validation loss"}
_BELOW = 3.0
"""how far below the lowest rate tried a rate is still shown"""
_WIDE = 20.0
"""losses further apart than this factor need a log scale: one rate that all but diverged hides all others"""


def plot_schedule(
    history: SearchHistory, ax: Axes | None = None, *, rates: Sequence[EpochRate] = ()
) -> tuple[Axes, Axes]:
    """The rate that each epoch was committed with, among its candidates, and the objective that it reached.

    Args:
        history: the records of one fit.
        ax: draw the rate here, and the objective on an axis of its own at the right; None for a figure of two panels.
        rates: what each epoch was trained with, searched or not (``callback.rates``); empty to show searches alone.

    Returns:
        The axes of the rate and those of the objective.

    Raises:
        ValueError: if the history has no epochs.
    """
    if not history:
        raise ValueError("plot_schedule: the history has no epochs")
    rate, value = panels(5.0, (3, 2)) if ax is None else (ax, ax.twinx())
    chosen = [(record.epoch, record.chosen) for record in history if record.chosen is not None]
    epochs = [epoch for epoch, _ in chosen]

    tried = [(record.epoch, result.lr, result.state) for record in history for result in record.results]
    complete = [(epoch, lr) for epoch, lr, state in tried if state is TrialState.COMPLETE]
    lost = [(epoch, lr) for epoch, lr, state in tried if state is not TrialState.COMPLETE]
    scatter(rate, complete, marker="o", s=14, color=GREY, alpha=0.7, label="tried", zorder=1)
    scatter(rate, lost, marker="x", s=20, color=GREY, label=_how_lost(history), zorder=1)
    rate.plot(
        epochs, [result.lr for _, result in chosen], "o" if rates else "o-", color=BLUE, label="committed", zorder=3
    )
    _draw_rates(rate, rates)
    shown = [*(lr for _, lr, _ in tried), *(lr for r in rates for lr in (r.start, r.end))]
    if min(shown) > 0.0:
        log_scale(rate.yaxis, min(shown), max(shown))
        # a schedule that ends near zero would squeeze all others
        rate.set_ylim(bottom=max(min(shown), min(lr for _, lr, _ in tried) / _BELOW) / 1.5)
    rate.set_ylabel("learning rate", color=ink() if ax is None else BLUE)
    legend_above(rate)

    name = _first_logged([result for _, result in chosen], ("value", "accuracy", "loss", "score"))
    value.plot(epochs, [getattr(result, name) for _, result in chosen], "s--", color=ORANGE, markersize=5, zorder=2)
    value.set_ylabel(_NAMES[name], color=ink() if ax is None else ORANGE)
    by_epoch(value if ax is None else rate, history)
    if rates:
        rate.set_xlim(min(history[0].epoch, rates[0].epoch) - 0.6, max(history[-1].epoch, rates[-1].epoch) + 1.1)
    plain(rate, keep_right=ax is not None)
    plain(value, keep_right=ax is not None, grid=ax is None)
    return rate, value


def plot_landscape(record: EpochRecord, ax: Axes | None = None) -> tuple[Axes, ...]:
    """What each learning rate came to in one epoch; the winner is marked.

    Args:
        record: the search of one epoch.
        ax: draw the score here; None for a figure with a panel each for score, accuracy and loss, as far as logged.

    Returns:
        The axes, the score's first.
    """
    complete = [result for result in record.results if result.state is TrialState.COMPLETE]
    names = [name for name in ("score", "accuracy", "loss") if any(getattr(r, name) is not None for r in complete)]
    names = names[: 1 if ax is not None else None] or ["score"]
    drawn = panels(1.2 + 1.9 * len(names), [1.0] * len(names)) if ax is None else (ax,)
    for axes, name in zip(drawn, names, strict=True):
        _draw_landscape(axes, record, name)
    drawn[-1].set_xlabel("learning rate")
    noun = "candidate" if len(record.results) == 1 else "candidates"
    legend_above(drawn[0], f"epoch {record.epoch}: {len(record.results)} {noun}")
    return drawn


def plot_cost(history: SearchHistory, ax: Axes | None = None) -> Axes:
    """Passes over the training data by epoch, against the one pass of a plain run.

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
    epochs = [record.epoch for record in history]
    through = [_passes(record, lost=False) for record in history]
    short = [_passes(record, lost=True) for record in history]
    left = [max(0.0, r.train_passes - a - b) for r, a, b in zip(history, through, short, strict=True)]
    rest = [passes * (record.commit == "copy") for passes, record in zip(left, history, strict=True)]
    again = [passes * (record.commit != "copy") for passes, record in zip(left, history, strict=True)]
    base = [0.0] * len(epochs)
    kinds = (
        ("candidates", through, BLUE),
        ("cut short", short, ORANGE),
        ("rest of the kept epoch", rest, GREEN),
        ("trained again", again, GREY),
    )
    for label, passes, colour in kinds:
        if any(passes):
            axes.bar(epochs, passes, bottom=base, color=colour, label=label, width=0.7)
            base = [low + high for low, high in zip(base, passes, strict=True)]
    axes.axhline(1.0, color=ink(), linewidth=1.0, linestyle=":", label="a plain run")
    axes.set_ylabel("passes over the training data")
    noun = "epoch" if len(epochs) == 1 else "epochs"
    legend_above(axes, f"{sum(base):.1f} passes for {len(epochs)} {noun}")
    by_epoch(axes, history)
    plain(axes)
    return axes


def _draw_landscape(axes: Axes, record: EpochRecord, name: str) -> None:
    points = [(r.lr, getattr(r, name)) for r in record.results if getattr(r, name) is not None]
    lost = [result.lr for result in record.results if result.state is not TrialState.COMPLETE]
    if points:
        axes.plot(*zip(*sorted(points), strict=True), color=GREY, linewidth=1.0, zorder=1)
    scatter(axes, points, color=BLUE, s=28, zorder=2)
    for k, lr in enumerate(lost):
        axes.axvline(lr, color=ORANGE, linewidth=1.0, linestyle=":", zorder=1, label=None if k else _how_lost([record]))
    chosen = record.chosen
    if chosen is not None and getattr(chosen, name) is not None:
        best = [(chosen.lr, getattr(chosen, name))]
        scatter(
            axes, best, marker="*", color=ORANGE, edgecolor="white", linewidth=0.8, s=220, zorder=3, label="committed"
        )
    lrs = [result.lr for result in record.results]
    if min(lrs) > 0.0:
        log_scale(axes.xaxis, min(lrs), max(lrs))
    values = [value for _, value in points]
    if name == "loss" and min(values) > 0.0 and max(values) > _WIDE * min(values):
        log_scale(axes.yaxis, min(values), max(values))
    axes.set_ylabel(score_label(record.objective) if name == "score" else _NAMES[name], parse_math=False)
    plain(axes)


def _passes(record: EpochRecord, *, lost: bool) -> float:
    return sum(result.passes for result in record.results if (result.state is not TrialState.COMPLETE) == lost)


def _how_lost(records: Iterable[EpochRecord]) -> str:
    states = {result.state for record in records for result in record.results}
    return " or ".join(s.value for s in (TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED) if s in states)


def _first_logged(results: Sequence[Result], names: Sequence[str]) -> str:
    return next((name for name in names if any(getattr(result, name) is not None for result in results)), names[-1])


def _draw_rates(axes: Axes, rates: Sequence[EpochRate]) -> None:
    # an epoch e lies between e and e + 1; so does the way of its rate
    x = [at for rate in rates for at in (rate.epoch, rate.epoch + 1, math.nan)]
    y = [lr for rate in rates for lr in (rate.start, rate.end, math.nan)]
    if rates:
        axes.plot(x, y, color=BLUE, linewidth=1.5, alpha=0.8, label="trained with", zorder=2)
