"""Pictures of the noted runs: loss against cost, and the rates that policies pick over a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.pages import save_picture
from benchmarks.training.entries import Entry, tuned
from benchmarks.training.workloads import WORKLOADS

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
MARKS = {
    "own": "x", "usual": "+",
    "constant": "v", "cosine": "o", "cosine-best-epoch": "H", "linear": ".", "onecycle": "^", "cosine-2x": "D",
    "finder": "<", "finder-minimum": ">",
    "optuna-median": "p", "optuna-hyperband": "h", "autolrs": "P", "pbt": "X", "schedule-free": "s", "prodigy": "d",
    "d-adaptation": "*", "thesis": "X", "epochwise": "o", "once": "^", "thorough": "D",
    "no-recovery": "<", "cosine-for-length": "1",
}  # fmt: skip
LONG = 40
"""Epochs from which on a run is long enough to show where the rates go."""


def colour(entry: Entry) -> str:
    if entry.ours:
        return {1.0: BLUE, 0.01: "#56B4E9", 100.0: GREEN}[entry.start]
    return ORANGE if entry.search else GREY


def points(entry: Entry) -> list[float]:
    """Costs at which an entry is drawn: a tuned one as an oracle, and where its tuning is paid."""
    costs = [entry.mean("passes_all")]
    return [*costs, sum(entry.search.values()) / len(entry.search)] if entry.search else costs


def draw_costs(found: dict[str, dict[str, Entry]], path: Path) -> Path:
    """One panel for each workload."""
    rows = -(-len(found) // 2)
    figure = Figure(figsize=(11, 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False)
    handles: dict[str, Any] = {}
    for ax, (workload, here) in zip(axes.flat, found.items(), strict=False):
        for entry in here.values():
            # entries far off would press all others into one line; the tables have them
            oracle = tuned(here)
            if oracle is not None and entry.mean("test_loss") > 1.6 * oracle.mean("test_loss"):
                continue
            style = {"marker": MARKS[entry.method], "color": colour(entry), "linestyle": "none", "capsize": 2}
            y = [entry.mean("test_loss")] * len(points(entry))
            handles.setdefault(entry.label, ax.errorbar(points(entry), y, entry.deviation("test_loss"), **style))
        ax.set_title(WORKLOADS[workload].title, fontsize="medium")
        ax.set(xscale="log", xlabel="passes, search and validation counted")
        ax.set_ylabel("test loss")
        ax.xaxis.set_major_locator(LogLocator(2.0))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
    for ax in axes.flat[len(found) :]:
        ax.axis("off")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize="small")
    return save_picture(figure, path)


def draw_rates(rows: Sequence[dict[str, Any]], path: Path) -> Path | None:
    """The rates of the greedy rule beside those of the default policy, over the long runs there are."""
    colours = {"thesis": ORANGE, "epochwise": BLUE, "cosine": GREY}
    long = [r for r in rows if r["epochs"] >= LONG and r["method"] in colours and r["start"] == 1.0 and r["rates"]]
    panels = [p for p in dict.fromkeys((r["workload"], r["epochs"]) for r in long) if has_both(long, p)]
    if not panels:
        return None
    figure = Figure(figsize=(8, 3.2 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)
    for ax, (workload, epochs) in zip(axes.flat, panels, strict=True):
        seen = set()
        for row in long:
            if (row["workload"], row["epochs"]) == (workload, epochs):
                name = row["method"]
                label = None if name in seen else name
                ax.plot(row["rates"], color=colours[name], linewidth=1, alpha=0.7, label=label)
                seen.add(name)
        ax.set(title=f"{WORKLOADS[workload].title}, {epochs} epochs", yscale="log", xlabel="epoch", ylabel="rate")
        ax.legend()
    return save_picture(figure, path)


def has_both(rows: Sequence[dict[str, Any]], panel: tuple[str, int]) -> bool:
    return {"thesis", "epochwise"} <= {r["method"] for r in rows if (r["workload"], r["epochs"]) == panel}
