"""The records of a fit, in memory and on disk."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from lightning_gammabo.records.json_lines import from_lines, to_lines, write_whole
from lightning_gammabo.records.trial import EpochRecord, Result

__all__ = ["SearchHistory"]


class SearchHistory(Sequence[EpochRecord]):
    """The records of one fit, in order of epochs; grows by :meth:`append` and is otherwise read only."""

    def __init__(self, records: Iterable[EpochRecord] = ()) -> None:
        self._records = list(records)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: Any) -> Any:
        return self._records[index]

    def __iter__(self) -> Iterator[EpochRecord]:
        return iter(self._records)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchHistory) and self._records == other._records

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"SearchHistory({len(self)} epochs)"

    def append(self, record: EpochRecord) -> None:
        """Add the newest record.

        Args:
            record: the record of the epoch that was just searched.
        """
        self._records.append(record)

    def replace(self, records: Iterable[EpochRecord]) -> None:
        """Have these records instead.

        Args:
            records: in order of epochs.
        """
        self._records[:] = records

    def rows(self) -> list[dict[str, Any]]:
        """One flat row for each candidate, ready for ``pandas.DataFrame``.

        Returns:
            Rows with the epoch's and the candidate's plain fields, ``chosen`` and one ``metrics/NAME`` for each metric.
        """
        rows = []
        for record in self:
            for result in record.results:
                row: dict[str, Any] = {"epoch": record.epoch, "chosen": result.number == record.chosen_number}
                row |= {f.name: getattr(result, f.name) for f in fields(Result) if f.name not in ("metrics", "parts")}
                row["state"] = result.state.value
                row |= {f"metrics/{name}": value for name, value in result.metrics.items()}
                rows.append(row)
        return rows

    def to_jsonl(self) -> str:
        """JSON lines, one record a line.

        Returns:
            The text; empty for no records.
        """
        return to_lines(record.to_dict() for record in self)

    @classmethod
    def from_jsonl(cls, text: str) -> SearchHistory:
        """Read :meth:`to_jsonl` back; a torn last line, as a crash may leave, is dropped with a warning.

        Args:
            text: JSON lines.

        Returns:
            An equal history (metrics that were not finite come back as NaN).

        Raises:
            ValueError: if a line is no record of a search.
        """
        try:
            return cls(EpochRecord.from_dict(_nan(plain)) for plain in from_lines(text))
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"no history of a search: a record has no fitting {error}") from error

    @classmethod
    def load(cls, path: str | Path) -> SearchHistory:
        """Read what :meth:`save` wrote as JSON lines.

        Args:
            path: the file.

        Returns:
            An equal history, as :meth:`from_jsonl` reads it.

        Raises:
            ValueError: naming the file, if it is a CSV file or holds something else.
        """
        path = Path(path)
        if path.suffix == ".csv":
            raise ValueError(f"{path}: a CSV file lacks half of each record; save the history as .jsonl to load it")
        try:
            return cls.from_jsonl(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def to_csv(self) -> str:
        """The :meth:`rows` as comma-separated values with a header.

        Returns:
            The text; empty for no records.
        """
        rows = self.rows()
        names = list(dict.fromkeys(name for row in rows for name in row))
        out = io.StringIO()
        if rows:
            writer = csv.DictWriter(out, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return out.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write the history, by the ending of its name: ``.csv`` as CSV, else JSON lines; whole or not at all.

        Args:
            path: file to write; folders on the way are made.

        Returns:
            The path.
        """
        path = Path(path)
        write_whole(path, self.to_csv() if path.suffix == ".csv" else self.to_jsonl())
        return path


def _nan(plain: dict[str, Any]) -> dict[str, Any]:
    for result in plain["results"]:
        result["metrics"] = {k: math.nan if v is None else v for k, v in result["metrics"].items()}
    return plain
