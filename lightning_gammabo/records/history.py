"""The records of a fit, in memory and on disk."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from lightning_gammabo.records.cost import RunCost, cost_of
from lightning_gammabo.records.epoch import EpochRecord, TrainedEpoch, lost_epochs
from lightning_gammabo.records.json_lines import from_lines, to_lines, write_whole
from lightning_gammabo.records.run import RunInfo
from lightning_gammabo.records.table import EpochTable, epoch_table, table_html, table_text
from lightning_gammabo.records.trial import Result
from lightning_gammabo.records.words import count

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["SearchHistory"]


class SearchHistory(Sequence[EpochRecord]):
    """The records of one fit, in order of epochs: a sequence of the searched epochs' :class:`EpochRecord`.

    ``print(history)`` shows it as a table. It grows by :meth:`append` and :meth:`note_epoch` and is otherwise read
    only.

    Args:
        records: one for each searched epoch.
        trained: one for each trained epoch, searched or not.
        run: what is known of the run; None where nothing is.

    Attributes:
        run: as given.
    """

    def __init__(
        self,
        records: Iterable[EpochRecord] = (),
        trained: Iterable[TrainedEpoch] = (),
        run: RunInfo | None = None,
    ) -> None:
        self._records = list(records)
        self._trained = {epoch.epoch: epoch for epoch in trained}
        self.run = run

    @property
    def trained(self) -> tuple[TrainedEpoch, ...]:
        """What each trained epoch ended with, searched or not, in order."""
        return tuple(self._trained[epoch] for epoch in sorted(self._trained))

    @property
    def lost(self) -> frozenset[int]:
        """Epochs whose training was given up, because recovery put the weights of an earlier one back."""
        return lost_epochs(self.trained)

    @property
    def cost(self) -> RunCost:
        """What the run cost so far, all epochs counted."""
        return cost_of(self, self.trained, self.run)

    @property
    def table(self) -> EpochTable:
        """What each epoch ended with, beside what its search found."""
        return epoch_table(self, self.trained, self.run)

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> EpochRecord: ...

    @overload
    def __getitem__(self, index: slice) -> list[EpochRecord]: ...

    def __getitem__(self, index: int | slice) -> EpochRecord | list[EpochRecord]:
        return self._records[index]

    def __iter__(self) -> Iterator[EpochRecord]:
        return iter(self._records)

    def __eq__(self, other: object) -> bool:
        # when it ran, and with what versions, does not count
        if not isinstance(other, SearchHistory):
            return False
        return self._records == other._records and self._trained == other._trained

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"SearchHistory({count(len(self), 'searched epoch')})"

    def __str__(self) -> str:
        return table_text(self.table)

    def _repr_html_(self) -> str:
        return table_html(self.table)

    def append(self, record: EpochRecord) -> None:
        """Add the newest record.

        Args:
            record: the record of the epoch that was just searched.
        """
        self._records.append(record)

    def note_epoch(self, trained: TrainedEpoch) -> None:
        """Note what an epoch ended with, in place of an older note of the same epoch.

        Args:
            trained: the epoch.
        """
        self._trained[trained.epoch] = trained

    def note_validation(self, price: float) -> None:
        """Note what one scoring of a candidate costs, once that is known.

        Args:
            price: in passes over the training data.
        """
        if self.run is not None:
            self.run = replace(self.run, validation=price)

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

    def to_pandas(self) -> DataFrame:
        """The :meth:`rows` as a data frame.

        Returns:
            One row for each candidate.

        Raises:
            ModuleNotFoundError: if pandas is not installed, with what to install.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("history.to_pandas() needs pandas: pip install pandas", name="pandas") from error
        return pandas.DataFrame(self.rows())

    def to_dicts(self) -> list[dict[str, Any]]:
        """All of the history as plain values: what a line of the file and a checkpoint hold.

        Returns:
            Dictionaries whose ``kind`` is ``run`` (at most one), ``search`` or ``epoch``.
        """
        run = [] if self.run is None else [{"kind": "run", **self.run.to_dict()}]
        searches = [{"kind": "search", **record.to_dict()} for record in self]
        return [*run, *searches, *({"kind": "epoch", **epoch.to_dict()} for epoch in self.trained)]

    @classmethod
    def from_dicts(cls, plain: Iterable[Mapping[str, Any]]) -> SearchHistory:
        """The history that :meth:`to_dicts` described.

        Args:
            plain: what :meth:`to_dicts` gave.

        Returns:
            An equal history; kinds that this version does not know are left out.
        """
        of: dict[str, list[Mapping[str, Any]]] = {"run": [], "search": [], "epoch": []}
        for one in plain:
            of.setdefault(one["kind"], []).append(one)
        return cls(
            [EpochRecord.from_dict(one) for one in of["search"]],
            [TrainedEpoch.from_dict(one) for one in of["epoch"]],
            RunInfo.from_dict(of["run"][-1]) if of["run"] else None,
        )

    def to_jsonl(self) -> str:
        """JSON lines: the run, each search, each trained epoch.

        Returns:
            The text; empty for no records.
        """
        return to_lines(self.to_dicts())

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
            return cls.from_dicts(_nan(plain) for plain in from_lines(text))
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
    # JSON has no NaN: what is null among metrics was one
    for one in [plain, *plain.get("results", ())]:
        if "metrics" in one:
            one["metrics"] = {k: math.nan if v is None else v for k, v in one["metrics"].items()}
    return plain
