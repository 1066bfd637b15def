"""From noted runs to what is compared: one entry for each method and start, tuned ones made of a grid's runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import t

from benchmarks.training.methods import IGNORE_START, POLICIES
from benchmarks.training.workloads import GRID, WORKLOADS

Row = dict[str, Any]
Rows = dict[int, Row]
"""seed -> what was noted"""

ORACLE = "cosine, best of 8"
DEFAULT = "cosine"
TUNED = ("own", "constant", "cosine", "cosine-best-epoch", "linear", "onecycle")
OFF = {1.0: "", 0.01: ", start / 100", 100.0: ", start x 100"}


@dataclass(frozen=True)
class Entry:
    """One method on one workload.

    ``search`` is the cost of finding what was chosen, where that is more than the run itself.
    """

    label: str
    method: str
    start: float
    runs: Rows
    search: dict[int, float] = field(default_factory=dict)

    def values(self, name: str, seeds: Iterable[int]) -> np.ndarray:
        return np.array([self.runs[seed][name] for seed in seeds], dtype=float)

    def mean(self, name: str) -> float:
        return float(self.values(name, self.runs).mean())

    def deviation(self, name: str) -> float:
        values = self.values(name, self.runs)
        return float(values.std(ddof=1)) if len(values) > 1 else math.nan

    @property
    def ours(self) -> bool:
        return self.method in POLICIES

    @property
    def lost(self) -> int:
        """Runs that ended no better than guessing."""
        return sum(row["lost"] for row in self.runs.values())


def guessing(workload: str) -> float:
    """The loss of a network that has learnt nothing; a higher one, or none, counts as this."""
    return WORKLOADS[workload].guess


def bounded(row: Row) -> Row:
    most = guessing(row["workload"])
    lost = {name: row[name] is None or row[name] > most for name in ("val_loss", "test_loss")}
    losses = {name: most if lost[name] else row[name] for name in lost}
    return row | losses | {"lost": lost["test_loss"]}


def entries(rows: Iterable[Row]) -> dict[str, Entry]:
    """All entries of one workload and length, by label, in the order of the tables."""
    by_start: dict[tuple[str, float], Rows] = {}
    for row in map(bounded, rows):
        by_start.setdefault((row["method"], row["start"]), {})[row["seed"]] = row
    found = [best_of_grid(method, by_start) for method in TUNED]
    for (method, start), runs in by_start.items():
        if start in OFF:
            found.append(Entry(method + OFF[start], method, start, runs))
    kept = [entry for entry in found if entry.runs]
    return {entry.label: entry for entry in sorted(kept, key=place)}


def place(entry: Entry) -> tuple[int, int, float]:
    order = [*TUNED, "cosine-2x", "finder", "finder-minimum", "optuna-median", "optuna-hyperband", "autolrs", "pbt"]
    order += ["usual", "schedule-free", "prodigy", "d-adaptation", *POLICIES]
    return (not entry.search, order.index(entry.method) if entry.method in order else len(order), abs(entry.start - 1))


def best_of_grid(method: str, by_start: dict[tuple[str, float], Rows]) -> Entry:
    """Of each seed's eight runs the one with the least validation loss."""
    grid = [by_start.get((method, start), {}) for start in GRID]
    seeds = set.intersection(*map(set, grid))
    runs = {seed: min((rows[seed] for rows in grid), key=lambda row: row["val_loss"]) for seed in sorted(seeds)}
    search = {seed: sum(rows[seed]["passes_all"] for rows in grid) for seed in runs}
    return Entry(best_of(method), method, 1.0, runs, search)


def tuned(here: dict[str, Entry]) -> Entry | None:
    """What all is compared with: the tuned schedule of the task's own, or the tuned cosine."""
    return here.get(best_of("own")) or here.get(ORACLE)


def untouched(here: dict[str, Entry]) -> Entry | None:
    """The configured rate with the task's own schedule, or a cosine."""
    return here.get("own") or here.get(DEFAULT)


def best_of(method: str) -> str:
    return f"{method}, best of 8"


@dataclass(frozen=True)
class Difference:
    """A paired difference of two entries: its mean, and half the width of the 95 % interval over seeds."""

    mean: float
    half: float
    seeds: int

    def __str__(self) -> str:
        if math.isnan(self.half):
            return f"{self.mean:+.2f}"
        return f"{self.mean:+.2f} ± {self.half:.2f}"


def shared(one: Entry, other: Entry) -> list[int]:
    """The seeds that both have."""
    return sorted(one.runs.keys() & other.runs.keys())


def paired(one: Entry, other: Entry, name: str) -> tuple[np.ndarray, np.ndarray]:
    """What both noted, seed by seed."""
    seeds = shared(one, other)
    return one.values(name, seeds), other.values(name, seeds)


def difference(one: Entry, other: Entry, kind: str) -> Difference | None:
    """Accuracy in points, or loss in per cent of the other's, over the seeds that both have."""
    seeds = shared(one, other)
    name = {"accuracy": "test_acc", "loss": "test_loss"}[kind]
    if not seeds or name not in one.runs[seeds[0]]:
        return None
    mine, theirs = paired(one, other, name)
    values = 100 * (mine - theirs if kind == "accuracy" else mine / theirs - 1)
    n = len(values)
    half = float(t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return Difference(float(values.mean()), half, n)


def untuned(found: dict[str, Entry], start: float) -> list[Entry]:
    """Peers that a user has who does not tune: at this start, or without looking at one."""
    names = {*TUNED, "cosine-for-length", *IGNORE_START} - {"optuna-median", "optuna-hyperband", "pbt"}
    return [
        entry
        for entry in found.values()
        if entry.method in names and not entry.search and (entry.start == start or entry.method in IGNORE_START)
    ]


def within(entry: Entry, oracle: Entry, name: str, better: Callable[[float, float], bool]) -> bool:
    """Whether the mean is not worse than the oracle's by more than the oracle's deviation over seeds."""
    mine, theirs = paired(entry, oracle, name)
    spread = float(theirs.std(ddof=1)) if len(theirs) > 1 else 0.0
    sign = 1 if better(1.0, 0.0) else -1
    return bool(sign * (mine.mean() - theirs.mean()) >= -spread)
