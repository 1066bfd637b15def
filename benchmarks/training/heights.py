"""Every height of a schedule, trained to its end: by it the choice after the first epoch can be judged without a run.

    OMP_NUM_THREADS=1 python -m benchmarks.training.heights --data-dir DIR --jobs 2

Thirteen quarter-decades about the default rate, on a line and on a cosine to zero, for each workload and seed. Under an
anchor the first epoch of such a run *is* a candidate of the first search, so one run notes both what the search would
have seen (validation loss and accuracy after one epoch, on all samples and on 256) and what would have come of the
choice (the test samples, after the last one). ``heights_report.py`` judges rules by that. About 20 seconds a seed, rate
and schedule for all seven workloads.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import torch
from compare import quiet
from lightning.pytorch import seed_everything

from benchmarks.batches import Pair
from benchmarks.noted import numbers, read_rows, rounded, run_all
from benchmarks.training.data import pool
from benchmarks.training.networks import Counted
from benchmarks.training.run import RESULTS
from benchmarks.training.workloads import WORKLOADS, judged
from lightning_gammabo.learning_rate.annealing import shape

QUARTERS = range(-4, 9)
ANCHORS = ("cosine", "linear")
SCORED = 256
HEIGHTS = RESULTS / "heights"


class Height(NamedTuple):
    """What tells one run from another; the rate is ``default * 10**(quarters / 4)``."""

    workload: str
    anchor: str
    seed: int
    quarters: int
    epochs: int = 10


def scores(module: Counted, pair: Pair, prefix: str) -> dict[str, float | None]:
    found = judged(module, pair)
    module.train()
    return {f"{prefix}_{name}": rounded(value) for name, value in found.items()}


def measure(height: Height, folder: Path) -> dict[str, Any]:
    """One run; of one seed all have the same weights and batches."""
    torch.set_num_threads(1)
    quiet()
    workload = WORKLOADS[height.workload]
    rate = workload.lr * 10.0 ** (height.quarters / 4)
    seed_everything(height.seed, verbose=False)
    module = workload.module(workload.network(), workload.optimizer, rate)
    optimizer = workload.optimizer(module.parameters(), rate)
    (x, y), val = workload.splits(folder, height.seed)
    order = torch.Generator().manual_seed(height.seed)
    steps, found = len(y) // workload.batch, height._asdict()
    for epoch in range(height.epochs):
        rows = torch.randperm(len(y), generator=order)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = rate * shape(height.anchor, (epoch * steps + step) / (height.epochs * steps))
            batch = rows[step * workload.batch : (step + 1) * workload.batch]
            loss = module.training_step((x[batch], y[batch]), step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        ended = scores(module, val, "val")
        if epoch == 0:
            found |= scores(module, val, "first") | scores(module, (val[0][:SCORED], val[1][:SCORED]), "scored")
        if ended["val_loss"] is None:
            break
    return found | ended | scores(module, pool(workload.source, folder).test, "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with FashionMNIST/raw and cifar10.npz")
    parser.add_argument("--workload", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--seeds", type=numbers, default=numbers("0-4"), help="0-4 or 0,2,5")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args()
    there = {Height(*(row[name] for name in Height._fields)) for path in HEIGHTS.glob("*") for row in read_rows(path)}
    names = [(seed, name, anchor) for seed in args.seeds for name in args.workload for anchor in ANCHORS]
    heights = [Height(name, anchor, seed, quarters) for seed, name, anchor in names for quarters in QUARTERS]
    run_all(
        [height for height in heights if height not in there],
        measure,
        lambda row: f"{row['workload']} {row['anchor']} {row['seed']} {row['quarters']}: test loss {row['test_loss']}",
        lambda row: HEIGHTS / f"{row['workload']}.jsonl",
        jobs=args.jobs,
        arguments=[args.data_dir],
    )


if __name__ == "__main__":
    main()
