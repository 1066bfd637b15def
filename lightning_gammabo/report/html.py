"""The report: one HTML file, complete in itself, that opens anywhere and asks no network.

Jinja2 is an extra, as matplotlib is; both are imported when a report is asked for.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_gammabo.records import EpochRecord, Result, SearchHistory
from lightning_gammabo.records.table import NOTHING
from lightning_gammabo.records.words import percent
from lightning_gammabo.report.extras import check_extras
from lightning_gammabo.report.figures import Confusion, Kind, plot
from lightning_gammabo.report.glossary import GLOSSARY
from lightning_gammabo.report.summary import summary
from lightning_gammabo.report.svg import inline_svg, page_style

__all__ = ["write_report"]

_MOST_EPOCHS = 8
"""epochs with pictures of their own: the first, the last, and others evenly between; a file of many MB opens nowhere"""
_WIDTH = 4.6


@dataclass(frozen=True)
class _Picture:
    svg: str
    caption: str


@dataclass(frozen=True)
class _Cell:
    text: str
    key: str = ""
    """what is sorted by; empty where there is nothing, which goes last"""
    number: bool = True
    kept: bool = False
    """whether its row is that of a committed candidate"""


def write_report(
    history: SearchHistory,
    path: str | Path,
    *,
    title: str = "Learning rates found while training",
    cost: Mapping[str, float | str] | None = None,
    notes: Sequence[str] = (),
    confusion: Confusion | None = None,
) -> Path:
    """Write what a search did: in words, in pictures, and every candidate in a table.

    Args:
        history: the records of one fit.
        path: file to write; folders that are not there are made.
        title: of the report.
        cost: further lines on what was paid, by name, such as ``{"seconds of the whole fit": 81.5}``.
        notes: sentences of your own below the summary.
        confusion: confusion matrices by epoch and name (``callback.confusion``).

    Returns:
        The path.

    Raises:
        ModuleNotFoundError: if matplotlib or Jinja2 is not installed, with what to install.
    """
    check_extras("A report", "matplotlib", "jinja2")
    with page_style(_WIDTH):
        overview = list(_overview(history, confusion or {}))
        epochs = [(record, list(_of_epoch(history, record))) for record in _spread(history)]
    page = _render(
        title=title,
        summary=summary(history),
        run=_run(history),
        glossary=GLOSSARY,
        cost={name: value if isinstance(value, str) else f"{value:.4g}" for name, value in (cost or {}).items()},
        notes=list(notes),
        overview=overview,
        epochs=epochs,
        epochs_left=len(history) - len(epochs),
        epoch_table=history.table if history else None,
        **_table(history),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _render(**values: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("lightning_gammabo.report")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    script = loader.get_source(environment, "sort.js")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return environment.get_template("report.html.j2").render(script=script, script_hash=digest, **values)


def _run(history: SearchHistory) -> dict[str, str]:
    # date, versions and settings, by name
    run = history.run
    if run is None:
        return {}
    settings = {name: str(value) for name, value in run.settings.items() if value is not None}
    return {"started": run.started, **{f"{name} version": text for name, text in run.versions.items()}, **settings}


def _overview(history: SearchHistory, confusion: Confusion) -> Iterator[_Picture]:
    if history:
        words = (
            "Rates that were tried, committed and trained with; below, what epochs ended with and the search scores."
        )
        yield _picture(history, "schedule", None, words)
        yield _picture(history, "cost", None, "Passes over the training data by epoch, against a plain fit's one.")
    for epoch in sorted({min(confusion), max(confusion)}) if confusion else ():
        words = f"Which classes were taken for which others after epoch {epoch}; right answers are left out."
        yield _picture(history, "confusion", epoch, words, confusion=confusion)


def _of_epoch(history: SearchHistory, record: EpochRecord) -> Iterator[_Picture | str]:
    words = f"Epoch {record.epoch}: what the surrogate came to believe of each rate, and what was worth trying next."
    try:
        yield _picture(history, "surrogate", record.epoch, words)
    except ValueError as error:  # a search without a surrogate says so
        yield str(error)
    words = f"Epoch {record.epoch}: what each rate came to in the search; bars are the noise beside the committed one."
    yield _picture(history, "landscape", record.epoch, words)


def _picture(history: SearchHistory, kind: Kind, epoch: int | None, caption: str, **more: Any) -> _Picture:
    axes = plot(history, kind, epoch, **more)
    name = kind if epoch is None else f"{kind}-{epoch}"
    return _Picture(svg=inline_svg(axes.figure, name, caption), caption=caption)  # type: ignore[arg-type]


def _spread(history: SearchHistory) -> list[EpochRecord]:
    n = len(history)
    if n <= _MOST_EPOCHS:
        return list(history)
    return [history[round(k * (n - 1) / (_MOST_EPOCHS - 1))] for k in range(_MOST_EPOCHS)]


def _table(history: SearchHistory) -> dict[str, Any]:
    named = _metric_names(history)
    objective = history[-1].ranked_by if history else "objective"
    header = (
        "epoch", "candidate", "committed", "rate", "state", "score", objective, "loss", "accuracy", "passes", "seconds",
        "origin", "message", *named,
    )  # fmt: skip
    rows = [_row(record, result, named, history.lost) for record in history for result in record.results]
    # a column in which nothing stands says nothing, nor does one that stands there under its name already
    told = [k for k in range(len(header)) if any(row[k].key for row in rows) and header[k] not in header[k + 1 :]]
    return {"header": [header[k] for k in told], "rows": [[row[k] for k in told] for row in rows]}


def _row(record: EpochRecord, result: Result, named: Sequence[str], lost: frozenset[int]) -> list[_Cell]:
    chosen, given_up = result.number == record.chosen_number, record.epoch in lost
    return [
        _Cell(str(record.epoch), str(record.epoch), kept=chosen and not given_up),
        _Cell(str(result.number), str(result.number)),
        _Cell(("lost" if given_up else "committed") if chosen else "", "0" if chosen else "", number=False),
        _number(result.lr, "{:.2e}"),
        _Cell(result.state.value, result.state.value, number=False),
        _number(result.score),
        _number(result.value),
        _number(result.loss),
        _Cell(percent(result.accuracy), repr(result.accuracy)) if result.accuracy is not None else _Cell(NOTHING),
        _number(result.passes, "{:.2f}"),
        _number(result.seconds, "{:.2f}"),
        _Cell(result.origin, result.origin, number=False),
        _Cell(result.message, result.message, number=False),
        *(_number(result.metrics.get(name)) for name in named),
    ]


def _number(value: float | None, form: str = "{:.4g}") -> _Cell:
    if value is None or not math.isfinite(value):
        return _Cell(NOTHING)
    return _Cell(form.format(value), repr(float(value)))


# logged metrics that say no more than the columns of loss and accuracy have no column of their own
def _metric_names(history: SearchHistory) -> list[str]:
    results = [result for record in history for result in record.results]
    names = dict.fromkeys(name for result in results for name in result.metrics)
    said = ("loss", "accuracy", "value")
    return [
        name
        for name in names
        if not any(all(r.metrics.get(name) == getattr(r, field) for r in results if r.metrics) for field in said)
    ]
