"""The records of a fit as a table in plain text or HTML: what each epoch ended with, and what searching cost."""

from __future__ import annotations

import html
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lightning_gammabo.records.cost import cost_of
from lightning_gammabo.records.epoch import EpochRecord, TrainedEpoch, lost_epochs
from lightning_gammabo.records.run import RunInfo
from lightning_gammabo.records.trial import TrialState
from lightning_gammabo.records.words import count, percent, short_time

__all__ = [
    "NOTHING",
    "EpochTable",
    "epoch_table",
    "lost_candidates",
    "search_line",
    "table_html",
    "table_text",
]

NOTHING = "-"
"""stands where a value was not logged or no candidate was chosen"""
_MOST_ROWS = 40
"""epochs up to which each has a row; of more, those that were searched or went back, the first and the last"""
_WIDEST = 12
"""characters of a metric's name that a column has room for"""
_WIDTH = 80
"""characters of a line of notes"""
_LOST = (TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED)


@dataclass(frozen=True)
class EpochTable:
    """A table of the epochs of one fit.

    Args:
        header: names of the columns that have a value in some row.
        rows: one for each epoch shown, a cell for each column.
        notes: sentences that belong below it.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def epoch_table(
    records: Sequence[EpochRecord], trained: Sequence[TrainedEpoch] = (), run: RunInfo | None = None
) -> EpochTable:
    """What each epoch ended with, beside what its search found.

    Args:
        records: one for each searched epoch.
        trained: one for each trained epoch; empty where only the searches are known.
        run: what is known of the run.

    Returns:
        The table. Its column ``score`` is the search's; ``loss``, ``accuracy`` and the objective are the epoch's end.
    """
    if not (records or trained):
        return EpochTable((), (), ("No epoch was searched.",))
    searched, ended, lost = {r.epoch: r for r in records}, {t.epoch: t for t in trained}, lost_epochs(trained)
    objective = records[-1].ranked_by if records else ""
    named = [] if objective in ("loss", "accuracy", "") else [objective[:_WIDEST]]
    header = ("epoch", "peak", "rate", "loss", "accuracy", *named, "score", "tried", "passes", "time")
    rows: list[tuple[str, ...]] = []
    for epoch in _shown(searched, ended):
        if epoch is None:
            rows.append(("..", *[""] * (len(header) - 1)))
            continue
        end, record = ended.get(epoch), searched.get(epoch)
        values = [_short(end.value if end else None)] if named else []
        accuracy = NOTHING if end is None or end.accuracy is None else percent(end.accuracy)
        loss = _short(end.loss if end else None)
        cells = _marked(epoch, end, lost), *_rates(end, record), loss, accuracy, *values, *_search_cells(record, end)
        rows.append(cells)
    kept = [k for k in range(len(header)) if any(row[k] not in ("", NOTHING) for row in rows)]
    if all(row[1] == row[2] for row in rows):
        kept = [index for index in kept if index != 1]  # the peak is the rate itself
    notes = (*_legend(records, trained, run), *_recovery(trained), *_cost(records, trained, run))
    return EpochTable(tuple(header[k] for k in kept), tuple(tuple(row[k] for k in kept) for row in rows), notes)


def table_text(table: EpochTable) -> str:
    """A table as lines of plain text.

    Args:
        table: the table.

    Returns:
        Columns aligned on the right, the notes below, without a newline at the end.
    """
    notes = (line for note in table.notes for line in textwrap.wrap(note, _WIDTH))
    return "\n".join((*_aligned(table.header, table.rows), *notes))


def table_html(table: EpochTable) -> str:
    """A table for a notebook.

    Args:
        table: the table.

    Returns:
        An HTML table and paragraphs; all text is escaped.
    """

    def line(cells: Iterable[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in table.rows)
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in table.notes)
    return f"<table><thead>{line(table.header, 'th')}</thead><tbody>{body}</tbody></table>{notes}"


def search_line(record: EpochRecord) -> str:
    """One search in one line, as it is said when the search ends.

    Args:
        record: the search of one epoch.

    Returns:
        Such as ``epoch 0: peak 3.1e-02 of 7 candidates, 4 pruned, 10 s``.
    """
    peak = "no rate chosen" if record.peak is None else f"peak {record.peak:.1e}"
    lost = "".join(f", {number} {state}" for state, number in lost_candidates(record).items())
    return (
        f"epoch {record.epoch}: {peak} of {count(len(record.results), 'candidate')}{lost}, {short_time(record.seconds)}"
    )


def lost_candidates(record: EpochRecord) -> dict[str, int]:
    """Candidates that came to no score.

    Args:
        record: the search of one epoch.

    Returns:
        How many, by the name of their state.
    """
    states = Counter(result.state for result in record.results)
    return {state.value: states[state] for state in _LOST if states[state]}


def _aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    # lines whose columns are aligned on the right; none for no columns
    lines = [header, *rows] if header else []
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]


def _shown(searched: dict[int, EpochRecord], ended: dict[int, TrainedEpoch]) -> list[int | None]:
    # the epochs that have a row; None where some are left out
    epochs = sorted({*searched, *ended})
    if len(epochs) <= _MOST_ROWS:
        return list(epochs)
    back = {epoch for epoch, end in ended.items() if end.returned_to is not None}
    kept = sorted({epochs[0], epochs[-1], *searched, *back})
    shown: list[int | None] = []
    for before, epoch in zip([None, *kept], kept, strict=False):
        shown += [None] if before is not None and epoch > before + 1 else []
        shown.append(epoch)
    return shown


def _marked(epoch: int, end: TrainedEpoch | None, lost: frozenset[int]) -> str:
    back = "" if end is None or end.returned_to is None else f"<{end.returned_to}"
    again = "r" if end is not None and end.retrained else ""
    return f"{epoch}{back}{again}{'x' if epoch in lost else ''}"


def _rates(end: TrainedEpoch | None, record: EpochRecord | None) -> tuple[str, str]:
    if end is not None and end.rate is not None:
        return f"{end.rate.peak:.1e}", f"{end.rate.start:.1e}"
    if record is None or record.chosen is None or record.peak is None:
        return NOTHING, NOTHING
    return f"{record.peak:.1e}", f"{record.chosen.lr:.1e}"


def _search_cells(record: EpochRecord | None, end: TrainedEpoch | None) -> tuple[str, ...]:
    if record is None:
        return NOTHING, NOTHING, f"{1.0 + (end.retrained if end else 0):.1f}", NOTHING
    chosen, lost = record.chosen, sum(lost_candidates(record).values())
    value = None if chosen is None else chosen.accuracy if record.ranked_by == "accuracy" else chosen.value
    score = percent(value) if value is not None and record.ranked_by == "accuracy" else _short(value)
    tried = f"{len(record.results)} ({lost})" if lost else str(len(record.results))
    return score, tried, f"{record.train_passes:.1f}", short_time(record.seconds)


def _short(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.1e}" if 0.0 < abs(value) < 1e-3 else f"{value:#.3g}"


def _legend(records: Sequence[EpochRecord], trained: Sequence[TrainedEpoch], run: RunInfo | None) -> list[str]:
    notes = []
    if records:
        samples = sorted({record.score_samples for record in records}, key=lambda number: number or 0)
        some = " or ".join("all" if number is None else str(number) for number in samples)
        where = "in its last training steps" if samples == [0] else f"on {some} validation samples"
        notes.append(f"score: search score, {records[-1].ranked_by} of the chosen candidate {where}")
        if any(lost_candidates(record) for record in records):
            notes.append("tried: candidates (in brackets: pruned, diverged or failed)")
    if any(end.loss is not None or end.metrics for end in trained):
        notes.append("all other values are what the epoch ended with, as the Trainer logged them")
    if run is not None and run.group:
        notes.append(f"rates are those of {run.group}; the other groups keep their ratio to it")
    return notes


def _recovery(trained: Sequence[TrainedEpoch]) -> list[str]:
    diverged = ["an epoch marked r diverged and was trained again from its start at the rate shown"]
    return (diverged if any(end.retrained for end in trained) else []) + [
        f"epoch {end.epoch} went back to the end of epoch {end.returned_to}: "
        f"{count(end.epoch - 1 - end.returned_to, 'epoch')} lost (x)"
        for end in trained
        if end.returned_to is not None and end.returned_to + 1 < end.epoch
    ]


def _cost(records: Sequence[EpochRecord], trained: Sequence[TrainedEpoch], run: RunInfo | None) -> list[str]:
    cost = cost_of(records, trained, run)
    candidates = count(sum(len(record.results) for record in records), "candidate")
    words = f"{count(cost.epochs, 'epoch')} trained, {len(records)} searched with {candidates}: "
    words += f"{cost.train_passes:.1f} passes over the training data, {cost.val_passes:.1f} over the validation data, "
    return [f"{words}{short_time(cost.seconds)} of search", *([cost.in_words()] if run is not None else [])]
