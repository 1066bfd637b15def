"""Figures 14 and 15: accuracy, loss and kappa over 100 constant rates after 1 and after 50 epochs, on 500 MNIST images.

    OMP_NUM_THREADS=1 python -m benchmarks.thesis.landscapes --data-dir data

Network, data and training steps are those of ``benchmarks/landscapes/record.py mnist500``.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.landscapes import record
from benchmarks.noted import missing, read_rows, rounded
from benchmarks.thesis.experiment import parser, run_all

RATES = [float(f"{rate:.4g}") for rate in np.linspace(0.005, 0.5, 100)]
EPOCHS = (1, 50)
TASK = record.TASKS["mnist500"]


@cache
def images(folder: Path) -> record.Images:
    return TASK.load(folder)


def one_rate(setting: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train 50 epochs at one rate; the held-out images judge."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(setting["seed"])
    x, y = images(folder)
    order = torch.randperm(len(y), generator=generator)
    train, val = order[: TASK.train], order[TASK.train : TASK.train + TASK.val]
    torch.manual_seed(setting["seed"])
    network = TASK.network()
    optimizer = TASK.optimizer(network)
    optimizer.param_groups[0]["lr"] = setting["lr"]
    found: dict[str, Any] = {}
    alive = True
    for epoch in range(1, max(EPOCHS) + 1):
        batches = [(x[i], y[i]) for i in train[torch.randperm(len(train), generator=generator)].split(TASK.batch)]
        alive = alive and record.train_epoch(network, optimizer, batches)
        if epoch in EPOCHS:
            loss, accuracy = record.measure(network, (x[val], y[val])) if alive else (math.nan, math.nan)
            found[str(epoch)] = {"loss": rounded(loss), "accuracy": rounded(accuracy)}
    return setting | found


def main() -> None:
    args = parser(__doc__).parse_args()
    path = args.out / "landscapes.jsonl"
    todo = missing([{"seed": seed, "lr": lr} for seed in args.seeds for lr in RATES], read_rows(path))
    run_all(todo, one_rate, str, lambda row: path, jobs=args.jobs, arguments=[args.data_dir])


if __name__ == "__main__":
    main()
