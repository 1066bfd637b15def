"""The console tables: what each epoch's search found, and how several runs compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lightning_gammabo.records import EpochRecord, SearchHistory, TrialState
from lightning_gammabo.report.summary import count

__all__ = ["EPOCH_HEADER", "comparison_table", "epoch_cells", "history_table"]

EPOCH_HEADER = ("epoch", "rate", "kappa", "loss", "accuracy", "candidates", "passes", "seconds")

_NOTHING = "-"
"""stands where a value was not logged or no candidate was chosen"""


def history_table(history: SearchHistory) -> str:
    """One line for each searched epoch, and the whole cost below.

    Args:
        history: the records of one fit.

    Returns:
        Lines of plain text, as wide as their values need, without a newline at the end.

    Example:
        >>> from lightning_gammabo.records import Result
        >>> best = Result(number=0, lr=0.02, state=TrialState.COMPLETE, score=1.2, value=1.2, loss=0.5, accuracy=0.9)
        >>> cost = {"train_passes": 1.0, "val_passes": 2.0, "seconds": 3.0}
        >>> record = EpochRecord(epoch=0, results=(best,), chosen_number=0, reason="the only one", **cost)
        >>> print(history_table(SearchHistory([record])))
        epoch     rate  kappa   loss  accuracy  candidates  passes  seconds
            0  2.0e-02  1.200  0.500    90.0 %           1     1.0      3.0
        1 epoch searched with 1 candidate: 1.0 passes over the training data, 2.0 over the validation data, 3.0 seconds
    """
    if not history:
        return "No epoch was searched."
    candidates = sum(len(record.results) for record in history)
    summary = (
        f"{count(len(history), 'epoch')} searched with {count(candidates, 'candidate')}: "
        f"{sum(record.train_passes for record in history):.1f} passes over the training data, "
        f"{sum(record.val_passes for record in history):.1f} over the validation data, "
        f"{sum(record.seconds for record in history):.1f} seconds"
    )
    return "\n".join((*_aligned(EPOCH_HEADER, map(epoch_cells, history)), summary))


def comparison_table(runs: Mapping[str, Mapping[str, float | str | None]]) -> str:
    """Several runs beside each other, one line for each.

    Args:
        runs: a name for each run, with its values by column; a run may lack columns that others have.

    Returns:
        Lines of plain text: names on the left, values aligned on the right, numbers with four digits.

    Example:
        >>> print(comparison_table({"search": {"accuracy": 0.9712, "passes": 60}, "plain": {"accuracy": 0.95}}))
        run     accuracy  passes
        search    0.9712      60
        plain       0.95       -
    """
    columns = list(dict.fromkeys(column for values in runs.values() for column in values))
    width = max(len(name) for name in ("run", *runs))
    rows = ((name.ljust(width), *(_value(values.get(column)) for column in columns)) for name, values in runs.items())
    return "\n".join(_aligned(("run".ljust(width), *columns), rows))


def epoch_cells(record: EpochRecord) -> tuple[str, ...]:
    """One epoch's cells, below :data:`EPOCH_HEADER`.

    Args:
        record: the search of one epoch.

    Returns:
        A string for each column.
    """
    chosen = record.chosen
    states = Counter(result.state for result in record.results)
    lost = [f"{states[s]} {s.value}" for s in (TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED) if states[s]]
    return (
        str(record.epoch),
        f"{chosen.lr:.1e}" if chosen else _NOTHING,
        _format(chosen.value if chosen else None, "{:.3f}"),
        _format(chosen.loss if chosen else None, "{:#.3g}"),
        _format(chosen.accuracy if chosen else None, "{:.1%}").replace("%", " %"),
        f"{len(record.results)} ({', '.join(lost)})" if lost else str(len(record.results)),
        f"{record.train_passes:.1f}",
        f"{record.seconds:.1f}",
    )


def _format(value: float | None, form: str) -> str:
    return _NOTHING if value is None else form.format(value)


def _value(value: float | str | None) -> str:
    if value is None:
        return _NOTHING
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"


def _aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
