"""One door to all pictures, by the kind's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from lightning_gammabo.records import EpochRecord, SearchHistory
from lightning_gammabo.report.heatmap import plot_confusion
from lightning_gammabo.report.landscape import plot_landscape
from lightning_gammabo.report.plots import plot_cost, plot_schedule
from lightning_gammabo.report.surrogate import plot_surrogate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Confusion", "Kind", "plot"]

Kind = Literal["surrogate", "landscape", "schedule", "cost", "confusion"]
Confusion = Mapping[int, Mapping[str, Sequence[Sequence[float]]]]
"""by epoch and name of the metric: confusion matrices, a row for each true class"""


def plot(
    history: SearchHistory,
    kind: Kind = "schedule",
    epoch: int | None = None,
    ax: Axes | None = None,
    *,
    confusion: Confusion | None = None,
) -> Axes:
    """A picture of a search.

    Args:
        history: the records of one fit.
        kind: ``surrogate`` (belief and acquisition over the rate, in one epoch), ``landscape`` (score, accuracy and
            loss over the rate, in one epoch), ``schedule`` (rates by epoch, and what each ended with), ``cost``
            (passes by epoch), ``confusion`` (errors by class after one epoch, the diagonal left out).
        epoch: which epoch's, for the kinds of one epoch; None for the last one that there is.
        ax: draw here; None for a figure of its own.
        confusion: what ``confusion`` draws; the first matrix of the epoch.

    Returns:
        The main axes; ``axes.figure`` has the others.

    Raises:
        ValueError: if the kind is unknown, the history has no such epoch, or there is nothing to draw.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"plot({kind!r}): the kinds are {', '.join(get_args(Kind))}")
    if kind == "confusion":
        return _plot_confusion(confusion or {}, epoch, ax)
    if kind in ("schedule", "cost") and epoch is not None:
        raise ValueError(f"plot({kind!r}, epoch={epoch!r}): this picture shows all epochs; leave epoch out")
    if kind == "schedule":
        return plot_schedule(history, ax)[0]
    if kind == "cost":
        return plot_cost(history, ax)
    draw = plot_surrogate if kind == "surrogate" else plot_landscape
    return draw(_record(history, kind, epoch), ax)[0]


def _record(history: SearchHistory, kind: str, epoch: int | None) -> EpochRecord:
    records = {record.epoch: record for record in history}
    if not records:
        raise ValueError(f"plot({kind!r}): the history has no epochs")
    if epoch is not None and epoch not in records:
        raise ValueError(f"plot({kind!r}, epoch={epoch!r}): searched were the epochs {_list(records)}")
    return records[max(records) if epoch is None else epoch]


def _plot_confusion(confusion: Confusion, epoch: int | None, ax: Axes | None) -> Axes:
    if not confusion:
        raise ValueError(
            "plot('confusion'): no confusion matrix was seen; give the module a torchmetrics ConfusionMatrix that "
            "validation_step updates, or hand a matrix to lightning_gammabo.report.heatmap.plot_confusion"
        )
    if epoch is not None and epoch not in confusion:
        raise ValueError(f"plot('confusion', epoch={epoch!r}): matrices were seen in the epochs {_list(confusion)}")
    epoch = max(confusion) if epoch is None else epoch
    matrix = next(iter(confusion[epoch].values()))
    return plot_confusion(matrix, ax, title=f"epoch {epoch}")


def _list(epochs: Mapping[int, object]) -> str:
    shown = [str(epoch) for epoch in sorted(epochs)]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:3], "...", *shown[-3:]])
