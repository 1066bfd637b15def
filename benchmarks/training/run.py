"""Run methods on workloads and note what each reached and what it cost; what is noted already is not run again.

    OMP_NUM_THREADS=1 python -m benchmarks.training.run --data-dir DIR --method cosine --start grid
    OMP_NUM_THREADS=1 python -m benchmarks.training.run --data-dir DIR --method epochwise once --seeds 0-4 --jobs 2

A run is one JSON line in ``docs/results/WORKLOAD-EPOCHS.jsonl``. The cost is counted in samples (``counter.py``),
relative to the training samples of a plain run: ``passes`` for training alone, ``passes_all`` with every validated
sample at a third. On CPU the same seed gives the same numbers again, ``seconds`` apart. A run that diverges has a null
for its loss.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from compare import quiet

from benchmarks.noted import forget, numbers, read_rows, rounded, run_all, versions
from benchmarks.training.counter import SAMPLES
from benchmarks.training.data import pool
from benchmarks.training.fitting import Run
from benchmarks.training.methods import IGNORE_START, METHODS
from benchmarks.training.workloads import FAMILIAR, GRID, WORKLOADS

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"

PACKAGES = ("torch", "lightning", "botorch", "scikit-learn", "optuna", "schedulefree", "prodigyopt", "dadaptation")


class Key(NamedTuple):
    """What tells one run from another."""

    workload: str
    method: str
    epochs: int
    seed: int
    start: float


def measure(key: Key, folder: Path) -> dict[str, Any]:
    """One run, and the judgement on the test samples after it."""
    torch.set_num_threads(1)
    quiet()
    workload = WORKLOADS[key.workload]
    run = Run(workload, folder, key.epochs, key.seed, key.start)
    pool(workload.source, folder)  # reading is no part of the time
    SAMPLES.reset()
    began = time.perf_counter()
    fitted = METHODS[key.method](run)
    seconds = time.perf_counter() - began
    passes, passes_all = SAMPLES.passes(run.plain)
    test = workload.judge(fitted.module, folder)
    found = {"passes": passes, "passes_all": passes_all}
    found |= {name: fitted.scores[name] for name in ("val_loss", "val_acc") if name in fitted.scores}
    found |= {f"test_{name}": value for name, value in test.items()}
    plain = {name: rounded(value) for name, value in found.items()}
    return (
        key._asdict()
        | plain
        | {"seconds": round(seconds, 2), "rates": [rounded(r) for r in fitted.rates]}
        | fitted.note
    )


def key_of(row: dict[str, Any]) -> Key:
    return Key(*(row[name] for name in Key._fields))


def path_of(row: dict[str, Any], folder: Path) -> Path:
    return folder / f"{row['workload']}-{row['epochs']}.jsonl"


def read(folder: Path) -> dict[Key, dict[str, Any]]:
    """All noted runs, in the order of their keys."""
    rows = (row for path in sorted(folder.glob("*.jsonl")) for row in read_rows(path))
    found = {key_of(row): row for row in rows}
    return dict(sorted(found.items()))


def starts(words: Sequence[str], method: str) -> list[float]:
    if method in IGNORE_START:
        return [1.0]
    return [rate for word in words for rate in (GRID if word == "grid" else [float(word)])]


def wanted(args: argparse.Namespace) -> Iterator[Key]:
    """Seeds outermost, so that a run which is cut off has whole seeds."""
    for seed in args.seeds:
        for workload in args.workload:
            for method in args.method:
                for start in starts(args.start, method):
                    yield Key(workload, method, args.epochs, seed, start)


def say(row: dict[str, Any]) -> str:
    key = " ".join(str(row[name]) for name in Key._fields)
    return f"{key}: {row['passes_all']:.2f} passes, test loss {row['test_loss']}"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data-dir", type=Path, required=True, help="folder with FashionMNIST/raw and cifar10.npz")
    add("--workload", nargs="+", choices=list(WORKLOADS), default=list(FAMILIAR))
    add("--method", nargs="+", choices=list(METHODS), required=True)
    add("--epochs", type=int, default=10)
    add("--seeds", type=numbers, default=numbers("0-4"), help="0-4 or 0,2,5")
    add("--start", nargs="+", default=["1"], help="factors of the default rate; 'grid' for the eight half-decades")
    add("--jobs", type=int, default=1, help="processes")
    add("--out", type=Path, default=RESULTS)
    add("--again", action="store_true", help="forget what is noted of these runs first")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    keys = list(dict.fromkeys(wanted(args)))
    if args.again:
        for path in {path_of(key._asdict(), args.out) for key in keys}:
            forget(path, which=lambda row: key_of(row) in keys)
    there = read(args.out)
    todo = [key for key in keys if key not in there]
    print(f"{len(todo)} runs to make, {len(there)} are there")
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "versions.json").write_text(json.dumps(versions(*PACKAGES)) + "\n", encoding="utf-8")
    run_all(
        todo,
        measure,
        say,
        partial(path_of, folder=args.out),
        jobs=args.jobs,
        arguments=[args.data_dir],
    )


if __name__ == "__main__":
    main()
