"""Do a horizon factor and gated later searches pay? Plain PyTorch on the project's small workloads, a line to zero.

    DATA_DIR=data python -m benchmarks.first_search.later_searches WORKLOADS EPOCHS SEEDS [VARIANTS]

A run starts at the peak that a short first search chooses (``START``), times the horizon factor ``(epochs / 3) ** -a``.
At some shares of the run the present peak trains ``s`` steps on a copy and then ``s / 4`` steps cooled to zero, and 256
validation samples are scored. Only where that score no longer improves on the best one of the searches before (the
gate) are rivals at other multiples of the peak trained from the same state. Every step is counted.
"""

from __future__ import annotations

import copy
import math
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.training.data import pool
from benchmarks.training.workloads import WORKLOADS, judged

DATA = Path(os.environ.get("DATA_DIR", "data"))
START = {
    "fashion-sgd": 0.056,
    "fashion-adamw": 5.6e-3,
    "cifar-norm-sgd": 0.018,
    "cifar-adamw": 5.6e-3,
    "text-adamw": 5.6e-3,
}
"""what a search over a twentieth of the run chooses; the best peak for ten epochs is about half of it"""


@dataclass(frozen=True)
class Variant:
    """A rule.

    Args:
        horizon: the exponent ``a``.
        at: shares of the run where it searches; empty for none.
        share: steps of a candidate as a share of what remains.
        factors: multiples of the present peak; the first is 1.
        gate: relative improvement that keeps rivals away, or ``"paired"``: two paired standard errors.
    """

    horizon: float = 0.0
    at: tuple[float, ...] = ()
    share: float = 1 / 16
    factors: tuple[float, ...] = (1.0, 0.5, 0.25)
    gate: float | str = 0.01


GATED = Variant(0.35, (0.1, 0.25, 0.5, 0.75))
VARIANTS = {
    "a0": Variant(0.0),
    "a.35": Variant(0.35),
    "a.5": Variant(0.5),
    "a.75": Variant(0.75),
    "a0 gated": replace(GATED, horizon=0.0),
    "a.35 gated": GATED,
    "a.5 gated": replace(GATED, horizon=0.5),
    "a.5 gated .03": replace(GATED, horizon=0.5, gate=0.03),
    "a.5 gated paired": replace(GATED, horizon=0.5, gate="paired"),
    "a.5 gated from .25": replace(GATED, horizon=0.5, at=(0.25, 0.5, 0.75)),
    "a.5 gated 6": replace(GATED, horizon=0.5, at=(0.1, 0.2, 0.35, 0.5, 0.65, 0.8)),
    "a.5 gated 1/32": replace(GATED, horizon=0.5, share=1 / 32),
    "a.5 gated up": replace(GATED, horizon=0.5, factors=(1.0, 2.0, 0.5, 0.25)),
}


class Run:
    """One run of one workload: a line from a peak to zero, with later searches."""

    def __init__(self, name: str, seed: int, peak: float, epochs: int, variant: Variant) -> None:
        self.work, self.epochs, self.variant, self.peak = WORKLOADS[name], epochs, variant, peak
        torch.manual_seed(seed)
        self.module = self.work.module(self.work.network(), self.work.optimizer, peak)
        self.optimizer = self.work.optimizer(self.module.parameters(), peak)
        (self.x, self.y), self.val = self.work.splits(DATA, seed)
        self.order = torch.Generator().manual_seed(seed)
        self.steps = len(self.y) // self.work.batch
        self.total, self.spent = epochs * self.steps, 0.0
        self.last: torch.Tensor | None = None
        self.moves: list[float] = []

    def train(self, rows: torch.Tensor, start: int, rates: list[float]) -> None:
        for i, rate in enumerate(rates, start):
            b = rows[(i % self.steps) * self.work.batch : (i % self.steps + 1) * self.work.batch]
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            loss = self.module.training_step((self.x[b], self.y[b]), 0)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def losses(self) -> torch.Tensor:
        self.module.eval()
        with torch.no_grad():
            out = F.cross_entropy(self.module.net(self.val[0][:256]), self.val[1][:256], reduction="none")
        self.module.train()
        return out.flatten(1).mean(1) if out.dim() > 1 else out

    def candidate(self, rows: torch.Tensor, s: int, rate: float) -> torch.Tensor:
        kept = copy.deepcopy((self.module.state_dict(), self.optimizer.state_dict()))
        cool = max(1, s // 4)
        self.train(rows, 0, [rate] * s)
        self.train(rows, s, [rate * (1 - i / cool) for i in range(cool)])
        out = self.losses()
        self.module.load_state_dict(kept[0])
        self.optimizer.load_state_dict(kept[1])
        self.spent += s + cool
        return out

    def search(self, rows: torch.Tensor, epoch: int) -> None:
        variant, share = self.variant, 1 - epoch / self.epochs
        s = max(20, int(variant.share * (self.epochs - epoch) * self.steps))
        found = {1.0: self.candidate(rows, s, self.peak * share)}
        self.spent -= s  # the kept candidate's steps are the run's own
        chosen = 1.0
        if self.last is not None and not self.improves(found[1.0]):
            for factor in variant.factors[1:]:
                found[factor] = self.candidate(rows, s, self.peak * factor * share)
            means = {f: float(v.mean()) for f, v in found.items() if math.isfinite(float(v.mean()))}
            chosen = min(means, key=lambda f: means[f])
        if self.last is None or float(found[chosen].mean()) < float(self.last.mean()):
            self.last = found[chosen]
        self.peak *= chosen
        self.moves.append(chosen if len(found) > 1 else 0.0)

    def improves(self, now: torch.Tensor) -> bool:
        assert self.last is not None
        gain = self.last - now
        if self.variant.gate == "paired":
            return float(gain.mean()) > 2 * float(gain.std()) / math.sqrt(len(gain))
        return float(gain.mean()) > float(self.variant.gate) * float(self.last.mean())

    def result(self) -> dict[str, float]:
        self.module.train()
        at = {round(share * self.epochs) for share in self.variant.at}
        for epoch in range(self.epochs):
            rows = torch.randperm(len(self.y), generator=self.order)
            if epoch in at:
                self.search(rows, epoch)
            begin = epoch * self.steps
            self.train(rows, 0, [self.peak * (1 - (begin + i) / self.total) for i in range(self.steps)])
        val = judged(self.module, self.val)["loss"]
        test = judged(self.module, pool(self.work.source, DATA).test)
        return {
            "val": val,
            "loss": test["loss"],
            "acc": test.get("accuracy", test.get("acc", 0.0)),
            "passes": 1 + self.spent / self.total,
        }


def main() -> None:
    """Print, for each workload, every variant against the best of five peaks of the same line by validation."""
    torch.set_num_threads(1)
    names, epochs, seeds = sys.argv[1].split(","), int(sys.argv[2]), [int(s) for s in sys.argv[3].split(",")]
    chosen = sys.argv[4].split(",") if len(sys.argv) > 4 else list(VARIANTS)
    for name in names:
        best = {}
        for seed in seeds:
            grid = [Run(name, seed, START[name] * 10**q, epochs, Variant()).result() for q in (-1.5, -1.0, -0.5, 0.0)]
            best[seed] = min(grid, key=lambda r: r["val"])
            print(
                name,
                epochs,
                "seed",
                seed,
                "best of",
                [round(r["loss"], 4) for r in grid],
                [round(r["acc"], 4) for r in grid],
                flush=True,
            )
        for label in chosen:
            variant = VARIANTS[label]
            peak = START[name] * max(1.0, epochs / 3) ** -variant.horizon
            runs = [Run(name, seed, peak, epochs, variant) for seed in seeds]
            rows = [(run.result(), best[seed]) for run, seed in zip(runs, seeds, strict=True)]
            loss = sum(100 * (r["loss"] / b["loss"] - 1) for r, b in rows) / len(rows)
            acc = sum(100 * (r["acc"] - b["acc"]) for r, b in rows) / len(rows)
            passes = sum(r["passes"] for r, _ in rows) / len(rows)
            print(
                f"  {name:14} {epochs} {label:20} loss {loss:+6.1f} % acc {acc:+.2f} passes {passes:.3f} "
                f"{[r.moves for r in runs]}",
                flush=True,
            )


if __name__ == "__main__":
    main()
