"""From the noted runs to the tables and pictures of ``docs/results.md`` and ``docs/results_tables.md``; none is typed.

python -m benchmarks.training.report
"""

from __future__ import annotations

import argparse
import json
import operator
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from benchmarks.pages import table, write_between
from benchmarks.training.entries import (
    Entry,
    difference,
    entries,
    paired,
    shared,
    tuned,
    untouched,
    untuned,
    within,
)
from benchmarks.training.methods import NO_RECOVERY, POLICIES
from benchmarks.training.pictures import draw_costs, draw_rates
from benchmarks.training.run import RESULTS, read
from benchmarks.training.workloads import FAMILIAR, OTHER_KINDS, WORKLOADS

DOCS = RESULTS.parent
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
SUMMARY = "<!-- summary: begin -->", "<!-- summary: end -->"
Found = dict[str, dict[str, Entry]]
"""workload -> label -> entry"""


class Length(NamedTuple):
    """A length of run, and whether its tasks are those of other kinds, with longer epochs."""

    epochs: int
    other: bool = False

    def __str__(self) -> str:
        return f"{self.epochs} epochs of {'500' if self.other else '25 to 100'} steps"

    @property
    def picture(self) -> str:
        return f"benchmarks-{self.epochs}{'-other-kinds' if self.other else ''}.svg"


STARTS = {1.0: "right", 0.01: "100x too small", 100.0: "100x too large"}

ELSEWHERE = ("constant", "linear", "onecycle")
"""schedules that only the page of all tables shows"""

PARTS = ("once", NO_RECOVERY)
"""the default without one of its parts"""

UNSEEN = 5
"""Seeds from here on were first run when the rules that are reported on had been settled on the others."""


def percent(entry: Entry) -> str:
    if "test_acc" not in next(iter(entry.runs.values())):
        return "-"
    return f"{100 * entry.mean('test_acc'):.2f} ± {100 * entry.deviation('test_acc'):.2f}"


def cost(entry: Entry) -> tuple[str, str]:
    """Training alone and with validation; of a tuned entry also what finding it cost."""
    total = f"{entry.mean('passes_all'):.2f}"
    if entry.search:
        total += f" ({sum(entry.search.values()) / len(entry.search):.1f} to find)"
    return f"{entry.mean('passes'):.2f}", total


def workload_table(found: dict[str, Entry]) -> str:
    header = ["method", "seeds", "passes", "with validation", "test accuracy %", "test loss"]
    header += [f"{kind} against {who}" for who in ("tuned", "untouched") for kind in ("accuracy", "loss %")]
    rows = []
    for entry in found.values():
        name = f"**{entry.label}**" if entry.ours else entry.label
        lost = f" ({entry.lost} lost)" if entry.lost else ""
        row = [name, f"{len(entry.runs)}{lost}", *cost(entry), percent(entry)]
        row.append(f"{entry.mean('test_loss'):.3f} ± {entry.deviation('test_loss'):.3f}")
        for other in (tuned(found), untouched(found)):
            for kind in ("accuracy", "loss"):
                gap = difference(entry, other, kind) if other is not None and other is not entry else None
                row.append(str(gap) if gap else "-")
        rows.append(row)
    return table(header, rows)


def pooled(found: Found, label: str, kind: str, of: Callable[[dict[str, Entry]], Entry | None]) -> str:
    """Mean over workloads of the mean differences, and their median."""
    gaps = [
        gap.mean
        for here in found.values()
        if label in here and (other := of(here)) and (gap := difference(here[label], other, kind))
    ]
    return f"{mean(gaps):+.2f} ({median(gaps):+.2f})" if gaps else "-"


def summary_table(found: Found) -> str:
    """All methods over all workloads on which each was run."""
    header = [
        "method",
        "workloads",
        "passes",
        "with validation",
        *(f"{kind} against {who}" for who in ("tuned", "untouched") for kind in ("points", "loss %")),
    ]
    header += ["loss within the oracle's spread", "accuracy within it"]
    rows = []
    for label in dict.fromkeys(label for here in found.values() for label in here):
        here = [entries_[label] for entries_ in found.values() if label in entries_]
        oracles = [tuned(entries_) for entries_ in found.values() if label in entries_]
        passes = sum(entry.mean("passes") for entry in here) / len(here)
        total = sum(entry.mean("passes_all") for entry in here) / len(here)
        gaps = [pooled(found, label, kind, who) for who in (tuned, untouched) for kind in ("accuracy", "loss")]
        row = [f"**{label}**" if here[0].ours else label, str(len(here)), f"{passes:.2f}", f"{total:.2f}"]
        row += gaps
        pairs = [(one, oracle) for one, oracle in zip(here, oracles, strict=True) if oracle]
        good = [within(*pair, "test_loss", operator.lt) for pair in pairs]
        row.append(f"{sum(good)} of {len(good)}")
        scored = [pair for pair in pairs if "test_acc" in next(iter(pair[0].runs.values()))]
        row.append(f"{sum(within(*pair, 'test_acc', operator.gt) for pair in scored)} of {len(scored)}")
        rows.append(row)
    return table(header, rows)


def gap(mine: Entry, peer: Entry, name: str) -> float:
    """Mean difference over the seeds that both have."""
    ours, theirs = paired(mine, peer, name)
    return float((ours - theirs).mean())


def of_unseen_seeds(found: Found) -> Found:
    return {
        workload: {
            label: replace(entry, **{part: from_unseen(getattr(entry, part)) for part in ("runs", "search")})
            for label, entry in here.items()
            if from_unseen(entry.runs)
        }
        for workload, here in found.items()
    }


def from_unseen(by_seed: dict[int, Any]) -> dict[int, Any]:
    return {seed: value for seed, value in by_seed.items() if seed >= UNSEEN}


def standing_table(found: Found) -> str:
    """On how many workloads a policy's mean beats every peer that a user has who does not tune."""
    rows = []
    for policy in POLICIES:
        for start, words in STARTS.items():
            ahead: dict[str, int] = {"test_loss": 0, "test_acc": 0}
            asked = dict(ahead)
            for here in found.values():
                mine = next((e for e in here.values() if e.method == policy and e.start == start), None)
                peers = [peer for peer in untuned(here, start) if mine and shared(mine, peer)]
                for name in ahead if mine and peers else ():
                    if name in next(iter(mine.runs.values())):
                        sign = -1 if name == "test_loss" else 1
                        asked[name] += 1
                        ahead[name] += all(sign * gap(mine, peer, name) > 0 for peer in peers)
            if asked["test_loss"]:
                shown = [f"{ahead[name]} of {asked[name]}" for name in ahead]
                rows.append([policy, words, *shown])
    return table(["policy", "configured rate", "ahead of all untuned peers in loss", "in accuracy"], rows)


def parts_table(found: Found) -> str:
    """By workload: the default against itself without later searches, and without recovery."""
    header = ["workload", *(f"{kind} against {label}" for label in PARTS for kind in ("loss %", "points"))]
    rows = []
    for workload, here in found.items():
        ours = here.get("epochwise")
        others = [here.get(label) for label in PARTS]
        if ours and any(others):
            gaps = [other and difference(ours, other, kind) for other in others for kind in ("loss", "accuracy")]
            rows.append([WORKLOADS[workload].title, *(str(gap) if gap else "-" for gap in gaps)])
    return table(header, rows) if rows else ""


def section(length: Length, found: Found, images: Path) -> str:
    text = [f"## {length}\n"]
    if any(map(tuned, found.values())):
        text += [
            "Means (medians) over workloads of differences by seed, against the tuned schedule and the\n"
            "untouched one (the task's own, or a cosine):\n",
            summary_table(found),
        ]
        text += [standing_table(found)]
        unseen = of_unseen_seeds(found)
        if any(entry.ours for here in unseen.values() for entry in here.values()):
            text += [
                f"The same of seeds from {UNSEEN} on alone, on which no rule was chosen:\n",
                summary_table(unseen),
            ]
        if parts := parts_table(found):
            text += [
                "What later searches and recovery add: the default against `once`, and against no recovery:\n",
                parts,
            ]
        draw_costs(found, images / length.picture)
    for workload, here in found.items():
        text += [f"### {WORKLOADS[workload].title}, {length.epochs} epochs\n", workload_table(here)]
    return "\n".join(text)


def short_table(found: Found) -> str:
    """A narrow table of the methods that a user has: of the others' starts the right one, of ours all."""
    header = ["method", "passes", "test loss, %", "accuracy, points"]
    rows = []
    for label in dict.fromkeys(label for here in found.values() for label in here):
        here = [entries_[label] for entries_ in found.values() if label in entries_]
        if here[0].ours or (", start" not in label and here[0].method not in ELSEWHERE):
            total = f"{sum(entry.mean('passes_all') for entry in here) / len(here):.2f}"
            gaps = [pooled(found, label, kind, tuned) for kind in ("loss", "accuracy")]
            rows.append([f"**{label}**" if here[0].ours else label, total, *gaps])
    return table(header, rows)


def price_table(rows: list[dict[str, Any]], method: str = "epochwise") -> str:
    """What the default costs, and what it ends with beside the tuned schedule, by length of run and configured rate."""
    header = ["run", "tasks", "seeds", "passes", "with validation", "test loss, %", "worst task, %"]
    lines = []
    for epochs, steps in sorted({(row["epochs"], steps_of(row)) for row in rows if row["method"] == method}):
        here = [row for row in rows if (row["epochs"], steps_of(row)) == (epochs, steps)]
        found = by_task(here, WORKLOADS)
        cells: list[list[str]] = []
        for start in STARTS:
            ours = {n: e for n, es in found.items() for e in es.values() if (e.method, e.start) == (method, start)}
            gaps = [gap.mean for n, e in ours.items() if (o := tuned(found[n])) and (gap := difference(e, o, "loss"))]
            if ours:
                costs = [f"{mean(e.mean(name) for e in ours.values()):.2f}" for name in ("passes", "passes_all")]
                quality = [f"{mean(gaps):+.1f}", f"{max(gaps):+.1f}"] if len(gaps) == len(ours) else ["-", "-"]
                cells.append([str(len(ours)), str(min(len(e.runs) for e in ours.values())), *costs, *quality])
        joined = [" / ".join(dict.fromkeys(same) if i < 2 else same) for i, same in enumerate(zip(*cells, strict=True))]
        lines.append([f"{epochs} x {steps}", *joined])
    return table(header, lines)


def steps_of(row: dict[str, Any]) -> int:
    """Optimizer steps of an epoch."""
    work = WORKLOADS[row["workload"]]
    return work.train // work.batch


def summary(rows: list[dict[str, Any]]) -> str:
    """One table and one picture for each length of run, and what a search costs at all lengths."""
    text = []
    for length, found in by_length(rows).items():
        if any(map(tuned, found.values())):
            text += [
                f"## {length}\n",
                "Means (medians) over workloads of the differences from the tuned schedule; passes with validation:\n",
                short_table(found),
                f"![Test loss against cost, {length}](images/{length.picture})\n",
            ]
    text += [
        "## What the default costs, by length of run\n",
        "Epochs x steps; means over tasks from the right rate / 100 times too small / 100 times too large:\n",
        price_table(rows),
    ]
    return "\n".join(text)


def by_length(rows: list[dict[str, Any]]) -> dict[Length, Found]:
    lengths: dict[Length, Found] = {}
    for tasks in (OTHER_KINDS, FAMILIAR):
        for epochs in sorted({row["epochs"] for row in rows if row["workload"] in tasks}):
            of_length = [row for row in rows if row["epochs"] == epochs]
            lengths[Length(epochs, tasks is OTHER_KINDS)] = by_task(of_length, tasks)
    return lengths


def by_task(rows: list[dict[str, Any]], tasks: Iterable[str]) -> Found:
    """What was noted of these tasks, in their order; of those that have runs."""
    found = {name: entries(row for row in rows if row["workload"] == name) for name in tasks}
    return {name: here for name, here in found.items() if here}


def page(rows: list[dict[str, Any]], images: Path) -> str:
    images.mkdir(parents=True, exist_ok=True)
    text = [section(length, found, images) for length, found in by_length(rows).items()]
    rates = draw_rates(rows, images / "rates.svg")
    if rates:
        text += [
            "## Rates over a run\n",
            "Short-horizon bias: what is best for the next epoch (`thesis`) is soon the lowest rate that may be tried.",
            "The default follows its schedule. What each ended with stands in the tables of that length.\n",
            f"![Rates chosen by policy](images/{rates.name})\n",
        ]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the noted runs")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder with results.md, results_tables.md and images/")
    args = parser.parse_args()
    rows = list(read(args.results).values())
    text = page(rows, args.docs / "images")
    used = json.loads((args.results / "versions.json").read_text(encoding="utf-8"))
    text += "\nVersions: " + ", ".join(f"{name} {version}" for name, version in used.items()) + ".\n"
    write_between(args.docs / "results_tables.md", BEGIN, END, text)
    write_between(args.docs / "results.md", *SUMMARY, summary(rows))
    print(args.docs / "results.md", args.docs / "results_tables.md")


if __name__ == "__main__":
    main()
