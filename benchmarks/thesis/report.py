"""Ours beside the thesis's numbers, from what was noted: the marked part of ``docs/thesis.md``, and its pictures.

python -m benchmarks.thesis.report
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.noted import read_rows
from benchmarks.pages import table, write_between
from benchmarks.thesis.drawings import draw_confusion, draw_landscapes
from benchmarks.thesis.experiment import RESULTS, SEARCHES
from benchmarks.thesis.published import CIFAR10, MNIST60K, MNIST500, RATES, SIZES

BEGIN, END = "<!-- thesis: begin -->", "<!-- thesis: end -->"
Row = dict[str, Any]


def spread(values: Sequence[float], scale: float = 100.0, digits: int = 1) -> str:
    """Mean and deviation over seeds; the number of seeds stands beside."""
    array = scale * np.array(values, dtype=float)
    deviation = f" ± {array.std(ddof=1):.{digits}f}" if len(array) > 1 else ""
    return f"{array.mean():.{digits}f}{deviation} ({len(array)})"


def of_epoch(rows: Sequence[Row], epoch: int, name: str) -> list[float]:
    return [row["epochs_found"][epoch - 1][name] for row in rows if len(row["epochs_found"]) >= epoch]


def select(rows: Sequence[Row], **values: Any) -> list[Row]:
    return [row for row in rows if values.items() <= row.items()]


def tables_4_5(rows: list[Row]) -> str:
    header = ["objective", "search", "epoch", "thesis", "ours, chosen by", "ours, test images"]
    lines = []
    for (objective, search), numbers in MNIST500.items():
        here = select(rows, objective=objective, search=search, epochs=2)
        for epoch, number in enumerate(numbers, start=1):
            ours = [spread(of_epoch(here, epoch, name)) if here else "-" for name in ("val_accuracy", "accuracy")]
            lines.append([objective, search, str(epoch), str(number), *ours])
    return table(header, lines)


def tables_8_to_11(rows: list[Row]) -> str:
    header = ["epochs", "search", "candidates", "thesis %", "ours, chosen by", "ours, test images", "seconds, thesis"]
    header += ["seconds / gaussian's, thesis", "ours", "rates found", "thesis's"]
    lines = []
    for epochs, published in SIZES.items():
        base = select(rows, epochs=epochs, search="gaussian", objective="accuracy", candidates=12)
        for search in SEARCHES:
            here = select(rows, epochs=epochs, search=search, objective="accuracy")
            for count in sorted({row["candidates"] for row in here}):
                of_size = select(here, candidates=count)
                percent, seconds = published[search]
                ours = [spread(of_epoch(of_size, epochs, name)) for name in ("val_accuracy", "accuracy")]
                ratio = np.mean([r["seconds"] for r in of_size]) / np.mean([r["seconds"] for r in base] or [np.nan])
                found = [entry["lr"] for row in of_size for entry in row["epochs_found"] if "lr" in entry]
                line = [str(epochs), search, str(count), str(percent), *ours, str(seconds)]
                line += [f"{seconds / published['gaussian'][1]:.1f}", f"{ratio:.1f}"]
                lines.append([*line, f"{min(found):.3f}-{max(found):.3f}", "{}-{}".format(*RATES[search])])
    return table(header, lines)


def named(rows: Sequence[Row], name: str) -> list[Row]:
    search, _, objective = name.partition(", ")
    return select(rows, search=search, objective=objective or "accuracy")


def table_6(rows: list[Row]) -> str:
    measures = ("sensitivity", "specificity", "accuracy", "mcc")
    header = ["method", "images", "epoch", "thesis: sens / spec / acc / MCC", *(f"ours: {m}" for m in measures)]
    lines = []
    for name, epochs in MNIST60K.items():
        for size in sorted({row["subset"] for row in named(rows, name)}):
            here = select(named(rows, name), subset=size)
            for epoch, numbers in enumerate(epochs, start=1):
                ours = [spread(of_epoch(here, epoch, m), digits=2) for m in measures]
                lines.append([name, str(size), str(epoch), " / ".join(map(str, numbers)), *ours])
    return table(header, lines)


def table_7(rows: list[Row]) -> str:
    header = ["method", "images", "epoch", "thesis: acc / loss", "ours: accuracy", "ours: loss"]
    lines = []
    for name, published in CIFAR10.items():
        for size in sorted({row["subset"] for row in named(rows, name)}):
            here = select(named(rows, name), subset=size)
            for epoch in range(1, max(len(row["epochs_found"]) for row in here) + 1):
                theirs = "{} / {}".format(*published[epoch]) if epoch in published else "-"
                ours = [spread(of_epoch(here, epoch, "accuracy")), spread(of_epoch(here, epoch, "loss"), 1.0, 3)]
                lines.append([name, str(size), str(epoch), theirs, *ours])
    return table(header, lines)


def function_table(path: Path) -> str:
    header = ["search", "setting", "evaluations to |x - best| <= 0.1: median [quartiles]", "share that got there"]
    lines = []
    for search, found in json.loads(path.read_text(encoding="utf-8")).items():
        for setting, cells in found.items():
            if isinstance(cells, dict):
                hit = cells["x within 0.1"]
                shown = f"{hit['median']} [{hit['q25']}, {hit['q75']}]"
                lines.append([search, setting, shown, f"{hit['share']:.2f}"])
    return table(header, lines)


SECTIONS: dict[str, tuple[tuple[str, Callable[[list[Row]], str]], ...]] = {
    "mnist500": (
        ("Tables 4 and 5: MNIST, 500 images", tables_4_5),
        ("Tables 8, 9 and 11: sizes of grids", tables_8_to_11),
    ),
    "mnist60k": (("Table 6: MNIST", table_6),),
    "cifar10": (("Table 7: CIFAR-10", table_7),),
}


def page(results: Path, images: Path) -> str:
    images.mkdir(parents=True, exist_ok=True)
    text = ["Mean ± deviation over seeds; in brackets how many seeds.\n"]
    if (results / "function.json").exists():
        text += ["## Figures 12 and 13: the test function (thesis: Gaussian 8-9 evaluations, Gamma 5-6)\n"]
        text += [function_table(results / "function.json")]
    landscapes = read_rows(results / "landscapes.jsonl")
    if landscapes:
        path = draw_landscapes(landscapes, images / "thesis-landscapes.svg")
        text += ["## Figures 14 and 15: landscapes\n", f"![Accuracy, loss and kappa over rates](images/{path.name})\n"]
    for name, parts in SECTIONS.items():
        rows = read_rows(results / f"{name}.jsonl")
        for title, make in parts if rows else ():
            text += [f"## {title}\n", make(rows)]
        if rows:
            path = draw_confusion(rows, images / f"thesis-confusion-{name}.png")
            text += [f"![Confusions, diagonal left out, {name}](images/{path.name})\n"]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, default=RESULTS.parents[1], help="folder with thesis.md and images/")
    args = parser.parse_args()
    write_between(args.docs / "thesis.md", BEGIN, END, page(args.results, args.docs / "images"))
    print(args.docs / "thesis.md")


if __name__ == "__main__":
    main()
