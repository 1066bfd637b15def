"""What each learning rate came to in one epoch, and how much of it is noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_gammabo.records import EpochRecord, TrialState, paired_error
from lightning_gammabo.records.words import count
from lightning_gammabo.report.style import (
    BLUE,
    GREY,
    ORANGE,
    end_at_one,
    how_lost,
    legend_above,
    log_scale,
    panels,
    plain,
    scatter,
    score_label,
    value_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_landscape"]

_WIDE = 20.0
"""losses further apart than this factor need a log scale: one rate that all but diverged hides all others"""


def plot_landscape(record: EpochRecord, ax: Axes | None = None) -> tuple[Axes, ...]:
    """What each learning rate came to in one epoch; the winner is marked.

    Bars at the scores are the noise of their difference to the winner's: paired standard errors, as many as the rule
    of choice counts (:func:`~lightning_gammabo.records.paired_error`).

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
        _draw(axes, record, name)
    drawn[-1].set_xlabel("learning rate")
    legend_above(drawn[0], f"epoch {record.epoch}: {count(len(record.results), 'candidate')}")
    return drawn


def _draw(axes: Axes, record: EpochRecord, name: str) -> None:
    points = [(r.lr, getattr(r, name)) for r in record.results if getattr(r, name) is not None]
    lost = [result.lr for result in record.results if result.state is not TrialState.COMPLETE]
    if points:
        axes.plot(*zip(*sorted(points), strict=True), color=GREY, linewidth=1.0, zorder=1)
    if name == "score":
        _draw_noise(axes, record)
    scatter(axes, points, color=BLUE, s=28, zorder=2)
    for k, lr in enumerate(lost):
        axes.axvline(lr, color=ORANGE, linewidth=1.0, linestyle=":", zorder=1, label=None if k else how_lost([record]))
    chosen = record.chosen
    if chosen is not None and getattr(chosen, name) is not None:
        best = [(chosen.lr, getattr(chosen, name))]
        star = {"marker": "*", "s": 220, "edgecolor": "white", "linewidth": 0.8}
        scatter(axes, best, color=ORANGE, zorder=3, label="committed", **star)
    lrs = [result.lr for result in record.results]
    if min(lrs) > 0.0:
        log_scale(axes.xaxis, min(lrs), max(lrs))
    values = [value for _, value in points]
    if name == "loss" and min(values) > 0.0 and max(values) > _WIDE * min(values):
        log_scale(axes.yaxis, min(values), max(values))
    axes.set_ylabel(score_label(record) if name == "score" else value_label(name), parse_math=False)
    if name == "accuracy":
        end_at_one(axes)
    plain(axes)


def _draw_noise(axes: Axes, record: EpochRecord) -> None:
    chosen = record.chosen
    errors = [] if chosen is None else [(r, paired_error(r, chosen)) for r in record.results if r is not chosen]
    bars = [(r.lr, r.score, record.n_sigma * e) for r, e in errors if e is not None and r.score is not None]
    if bars:
        lrs, scores, sizes = zip(*bars, strict=True)
        label = "noise" if record.n_sigma == 1.0 else f"{record.n_sigma:g} x noise"
        axes.errorbar(lrs, scores, sizes, fmt="none", ecolor=BLUE, elinewidth=1.2, capsize=3, alpha=0.6, label=label)
