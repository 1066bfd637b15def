"""Pictures of a search: the schedule that it found, one epoch's landscape, what it cost.

matplotlib is an extra and is imported when a picture is asked for. Every function takes axes to draw on, or makes a
figure of its own, and returns the axes, so that the caller goes on with plain matplotlib::

    rate, value = plot_schedule(callback.history)
    rate.figure.savefig("schedule.png", dpi=150)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lightning_gammabo.records import EpochRecord, Result, SearchHistory, TrialState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_cost", "plot_landscape", "plot_schedule"]

# three of the colours of Okabe and Ito, which stay apart for the colour-blind, and a grey
_BLUE, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#BDBDBD"
_NAMES = {"score": "score", "kappa": "kappa", "accuracy": "validation accuracy", "loss": "validation loss"}
_WIDE = 20.0
"""losses further apart than this factor need a log scale: one rate that all but diverged hides all others"""


def plot_schedule(history: SearchHistory, ax: Axes | None = None) -> tuple[Axes, Axes]:
    """The rate that each epoch was committed with, among its candidates, and the objective that it reached.

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
    if ax is None:
        _, (rate, value) = _pyplot().subplots(
            2, 1, figsize=(7, 5), sharex=True, layout="constrained", height_ratios=(3, 2)
        )
    else:
        rate, value = ax, ax.twinx()
    chosen = [(record.epoch, record.chosen) for record in history if record.chosen is not None]
    epochs = [epoch for epoch, _ in chosen]

    tried = [(record.epoch, result.lr, result.state) for record in history for result in record.results]
    complete = [(epoch, lr) for epoch, lr, state in tried if state is TrialState.COMPLETE]
    lost = [(epoch, lr) for epoch, lr, state in tried if state is not TrialState.COMPLETE]
    _scatter(rate, complete, marker="o", s=14, color=_GREY, label="tried", zorder=1)
    _scatter(rate, lost, marker="x", s=20, color=_GREY, label=_how_lost(history), zorder=1)
    rate.plot(epochs, [result.lr for _, result in chosen], "o-", color=_BLUE, label="committed", zorder=3)
    if all(lr > 0.0 for _, lr, _ in tried):
        rate.set_yscale("log")
    rate.set_ylabel("learning rate", color="black" if ax is None else _BLUE)
    _legend_above(rate)

    name = _first_logged([result for _, result in chosen], ("kappa", "accuracy", "loss", "score"))
    value.plot(epochs, [getattr(result, name) for _, result in chosen], "s--", color=_ORANGE, markersize=5, zorder=2)
    value.set_ylabel(_NAMES[name], color="black" if ax is None else _ORANGE)
    _by_epoch(value if ax is None else rate, history)
    _plain(rate, keep_right=ax is not None)
    _plain(value, keep_right=ax is not None, grid=ax is None)
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
    if ax is None:
        size = (7, 1.2 + 1.9 * len(names))
        _, grid = _pyplot().subplots(len(names), 1, figsize=size, sharex=True, squeeze=False, layout="constrained")
        panels = tuple(grid[:, 0])
    else:
        panels = (ax,)
    for axes, name in zip(panels, names, strict=True):
        _draw_landscape(axes, record, name)
    panels[-1].set_xlabel("learning rate")
    noun = "candidate" if len(record.results) == 1 else "candidates"
    _legend_above(panels[0], f"epoch {record.epoch}: {len(record.results)} {noun}")
    return panels


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
    axes: Axes = _pyplot().subplots(figsize=(7, 3.5), layout="constrained")[1] if ax is None else ax
    epochs = [record.epoch for record in history]
    through = [_passes(record, lost=False) for record in history]
    short = [_passes(record, lost=True) for record in history]
    again = [max(0.0, r.train_passes - a - b) for r, a, b in zip(history, through, short, strict=True)]
    base = [0.0] * len(epochs)
    kinds = (("candidates", through, _BLUE), ("cut short", short, _ORANGE), ("trained again (replay)", again, _GREEN))
    for label, passes, colour in kinds:
        if any(passes):
            axes.bar(epochs, passes, bottom=base, color=colour, label=label, width=0.7)
            base = [low + high for low, high in zip(base, passes, strict=True)]
    axes.axhline(1.0, color="black", linewidth=1.0, linestyle=":", label="a plain run")
    axes.set_ylabel("passes over the training data")
    noun = "epoch" if len(epochs) == 1 else "epochs"
    _legend_above(axes, f"{sum(base):.1f} passes for {len(epochs)} {noun}")
    _by_epoch(axes, history)
    _plain(axes)
    return axes


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        message = "A picture needs matplotlib: pip install 'lightning_gammabo[demo]'"
        raise ModuleNotFoundError(message, name=error.name) from error
    return plt


def _draw_landscape(axes: Axes, record: EpochRecord, name: str) -> None:
    points = [(r.lr, getattr(r, name)) for r in record.results if getattr(r, name) is not None]
    lost = [result.lr for result in record.results if result.state is not TrialState.COMPLETE]
    if points:
        axes.plot(*zip(*sorted(points), strict=True), color=_GREY, linewidth=1.0, zorder=1)
    _scatter(axes, points, color=_BLUE, s=28, zorder=2)
    for k, lr in enumerate(lost):
        axes.axvline(
            lr, color=_ORANGE, linewidth=1.0, linestyle=":", zorder=1, label=None if k else _how_lost([record])
        )
    chosen = record.chosen
    if chosen is not None and getattr(chosen, name) is not None:
        best = [(chosen.lr, getattr(chosen, name))]
        _scatter(axes, best, marker="*", color=_ORANGE, edgecolor="white", s=220, zorder=3, label="committed")
    if all(result.lr > 0.0 for result in record.results):
        axes.set_xscale("log")
    values = [value for _, value in points]
    if name == "loss" and min(values) > 0.0 and max(values) > _WIDE * min(values):
        axes.set_yscale("log")
    axes.set_ylabel(f"{_NAMES[name]} ({record.objective})" if name == "score" else _NAMES[name])
    _plain(axes)


def _passes(record: EpochRecord, *, lost: bool) -> float:
    return sum(result.passes for result in record.results if (result.state is not TrialState.COMPLETE) == lost)


def _how_lost(records: Iterable[EpochRecord]) -> str:
    states = {result.state for record in records for result in record.results}
    return " or ".join(s.value for s in (TrialState.DIVERGED, TrialState.FAILED) if s in states)


def _first_logged(results: Sequence[Result], names: Sequence[str]) -> str:
    return next((name for name in names if any(getattr(result, name) is not None for result in results)), names[-1])


def _scatter(axes: Axes, points: Sequence[tuple[float, float]], **style: Any) -> None:
    if points:
        axes.scatter(*zip(*points, strict=True), **style)


# in a line of its own between title and plot, where it covers no point
def _legend_above(axes: Axes, title: str = "") -> None:
    axes.set_title(title, loc="left", fontsize="medium", pad=20.0)
    at_top_left = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.2}
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, ncols=4, fontsize="small", **at_top_left)  # type: ignore[call-overload]


def _by_epoch(axes: Axes, history: SearchHistory) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.set_xlim(history[0].epoch - 0.6, history[-1].epoch + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _plain(axes: Axes, *, keep_right: bool = False, grid: bool = True) -> None:
    axes.spines["top"].set_visible(False)
    axes.spines["right"].set_visible(keep_right)
    if grid:
        axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
