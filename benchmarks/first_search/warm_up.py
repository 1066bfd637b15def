"""Does a candidate that lives a warm-up schedule in miniature choose the right peak? Fashion-MNIST, MLP, AdamW.

    DATA_DIR=data python -m benchmarks.first_search.warm_up EPOCHS SEEDS

Schedules: a warm-up over a tenth of the run and then a line, and one-cycle (30 % up, cosine down, from a 25th of the
peak). A candidate of ``s`` steps: warm-up over ``min(its own, s / 4)`` steps, the peak, then ``s / 4`` steps to zero.
Beside it a candidate that trains the first ``s`` steps of the real schedule, as a search inside the warm-up does. Both
choose among peaks a quarter of a decade apart, and the loss of the whole run at that peak is compared with the best.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.training.data import pool
from benchmarks.training.workloads import WORKLOADS, judged

DATA = Path(os.environ.get("DATA_DIR", "data"))
PEAKS = [1e-3 * 10 ** (q / 4) for q in range(-1, 7)]
Shape = Callable[[int, int], float]


def line(n: int, total: int) -> float:
    """Warm-up over a tenth, then a line to zero; 1 at the peak."""
    warm = total // 10
    return (n + 1) / warm if n < warm else (total - n) / (total - warm)


def one_cycle(n: int, total: int) -> float:
    """Torch's OneCycleLR with its defaults; 1 at the peak."""
    up = 0.3 * total - 1
    share, low, high = (n / up, 1 / 25, 1.0) if n <= up else ((n - up) / (total - 1 - up), 4e-7, 1.0)
    wave = 0.5 * (1 - math.cos(math.pi * share))
    return low + (high - low) * wave if n <= up else high + (low - high) * wave


def miniature(s: int, warm: int) -> list[float]:
    """The factors of a candidate: warm-up of at most a quarter, the peak, a cooling of a quarter more."""
    warm, cool = min(warm, s // 4), s // 4
    return [min(1.0, (n + 1) / max(warm, 1)) for n in range(s)] + [1 - n / cool for n in range(cool)]


def trained(seed: int, factors: list[float], peak: float, test: bool) -> tuple[float, float]:
    """Validation loss on 256 samples (a candidate), or validation and test loss of all (a run)."""
    work = WORKLOADS["fashion-adamw"]
    torch.manual_seed(seed)
    module = work.module(work.network(), work.optimizer, peak)
    optimizer = work.optimizer(module.parameters(), peak)
    (x, y), val = work.splits(DATA, seed)
    order, steps = torch.Generator().manual_seed(seed), len(y) // work.batch
    module.train()
    for n, factor in enumerate(factors):
        if n % steps == 0:
            rows = torch.randperm(len(y), generator=order)
        batch = rows[(n % steps) * work.batch : (n % steps + 1) * work.batch]
        for group in optimizer.param_groups:
            group["lr"] = peak * factor
        loss = module.training_step((x[batch], y[batch]), n)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if not test:
        module.eval()
        with torch.no_grad():
            return float(F.cross_entropy(module.net(val[0][:256]), val[1][:256])), 0.0
    return judged(module, val)["loss"], judged(module, pool(work.source, DATA).test)["loss"]


def main() -> None:
    """Print, by schedule and seed, the peaks chosen and what they end with."""
    torch.set_num_threads(1)
    epochs, seeds = int(sys.argv[1]), [int(s) for s in sys.argv[2].split(",")]
    total = epochs * 100
    shapes: dict[str, tuple[Shape, int]] = {
        "warm-up, line": (line, total // 10),
        "one-cycle": (one_cycle, int(0.3 * total)),
    }
    for name, (shape, warm) in shapes.items():
        real = [shape(n, total) for n in range(total)]
        for seed in seeds:
            ends = [trained(seed, real, peak, True) for peak in PEAKS]
            best = min(range(len(PEAKS)), key=lambda i: ends[i][0])
            s = max(50, total // 20)
            for label, factors in (("miniature", miniature(s, warm)), ("first steps", real[:s])):
                scores = [trained(seed, factors, peak, False)[0] for peak in PEAKS]
                i = min(range(len(PEAKS)), key=lambda i: scores[i] if math.isfinite(scores[i]) else math.inf)
                excess = [100 * (ends[max(i - k, 0)][1] / ends[best][1] - 1) for k in (0, 1)]
                print(
                    f"{name:14} {epochs} epochs, seed {seed}, s {s}, {label:12} chose {PEAKS[i]:.4f} (best "
                    f"{PEAKS[best]:.4f}, test {ends[best][1]:.4f}): {excess[0]:+.1f} %; a quarter-decade lower "
                    f"{excess[1]:+.1f} %",
                    flush=True,
                )


if __name__ == "__main__":
    main()
