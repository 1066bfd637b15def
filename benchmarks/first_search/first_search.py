"""The rule of the first search, played on recorded landscapes with the package's own surrogate.

    python -m benchmarks.first_search.first_search LANDSCAPES_FOLDER

Each landscape is played from a configured rate that is right, 100 times too small and 100 times too large. Printed: by
how many per cent the test loss at the chosen peak exceeds that at the best recorded peak, candidates, and passes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.first_search.landscapes import Array, Landscape, read
from lightning_gammabo.bayesopt import BayesOpt, LearningRateSpace, PlacePrior

USUAL = {True: -2.3, False: -1.25}
"""log10 of the usual rate: of AdamW, of SGD with momentum 0.9"""
RANGE = {True: (1e-5, 0.1), False: (1e-4, 1.0)}
STARTS = {"right": 0.0, "100x small": -2.0, "100x large": 2.0}


@dataclass(frozen=True)
class Rule:
    """A rule of the first search.

    Args:
        share: a candidate's steps are a ``share``-th of the run's.
        scale, df: of the place prior; a scale of 0 for none.
        most: candidates at the most, from three on.
        after: the same of a search that began anew with longer ones.
        stop: expected gain in log loss below which the search stops; None for all ``most`` candidates.
        late: progress ratio above which the steps are doubled; inf for never.
        robust: whether the prior is dropped where it is refuted, and the leader has to be bracketed.
        off: decades by which the prior's centre is wrong.
        horizon: exponent of ``epochs / 3`` by which the peak is lowered.
        short: exponent of ``steps / 150`` by which it is lowered where candidates have fewer.
        by: the score.
    """

    share: float = 20
    scale: float = 0.5
    df: float = 3.0
    most: int = 7
    after: int = 6
    stop: float | None = 0.08
    late: float = 3.0
    robust: bool = True
    off: float = 0.0
    horizon: float = 0.35
    short: float = 0.0
    by: str = "log_loss"


class Play:
    """One search on one landscape."""

    def __init__(self, land: Landscape, rule: Rule, start: float) -> None:
        self.land, self.rule = land, rule
        self.centre = USUAL[land.adaptive] + rule.off
        self.configured = land.optimum + start
        self.steps = int(min(max(50, land.total / rule.share), land.steps))
        self.trained = self.count = 0
        self.longer = False

    def score(self, scores: Array, x: float) -> float:
        """Below the lowest recorded rate: towards not learning."""
        share = min(max(self.land.x[0] - x, 0.0), 1.0)
        return float((1 - share) * np.interp(x, self.land.x, scores) + share * min(scores.min(), 0.01))

    def bracketed(self, tried: Sequence[float], x: float) -> bool:
        low, high = (math.log10(rate) for rate in RANGE[self.land.adaptive])
        above = high - x < 0.1 or any(0 < other - x <= 1 for other in tried)
        return above and (x - low < 1 or any(0 < x - other <= 1 for other in tried))

    def search(self, queue: list[float]) -> tuple[float, bool]:
        """One search at the present steps: the best rate, and whether learning is late."""
        land, rule, first = self.land, self.rule, 3 if len(queue) > 1 else 2
        prior = PlacePrior(self.centre, rule.scale, rule.df) if rule.scale else None
        search = BayesOpt(LearningRateSpace(*RANGE[land.adaptive]), n_initial=len(queue), grid_size=160, prior=prior)
        for x in queue:
            search.enqueue(10**x)
        scores, found = land.scores(self.steps, rule.by), dict[float, float]()
        while True:
            trial = search.ask()
            x = math.log10(trial.lr)
            found[x] = self.score(scores, x)
            search.tell(trial, found[x])
            self.trained, self.count = self.trained + self.steps + self.steps // 4 + 3, self.count + 1
            best = max(found, key=lambda x: found[x])
            ratio = land.late(self.steps, best)
            if len(found) >= first and ratio > rule.late and self.steps < land.steps:
                self.longer = True
                return best, True
            if len(found) >= (rule.after if self.longer else rule.most):
                return best, False
            learnt = found[best] >= 0.1
            if rule.robust:
                search.prior = prior if learnt and abs(best - self.centre) <= 1 else None
            if rule.stop is None or len(found) < 3:
                continue
            ready = not rule.robust or (learnt and ratio <= rule.late and self.bracketed(list(found), best))
            if ready and (search.expected_gain() or 0.0) < rule.stop:
                return best, False

    def result(self) -> tuple[float, float, int, float]:
        """Excess in per cent, accuracy gap in points, candidates, passes."""
        x, late = self.search([self.centre, self.configured])
        while late:
            self.steps = min(2 * self.steps, self.land.steps)
            x, late = self.search([x])
        x -= self.rule.horizon * max(0.0, math.log10(self.land.epochs / 3))
        x -= self.rule.short * max(0.0, math.log10(150 / self.steps))
        loss, accuracy = self.land.excess(x)
        return loss, accuracy, self.count, 1 + (self.trained - self.steps) / self.land.total


SHAPES: dict[str, Callable[[Landscape], bool]] = {
    "3 x 781": lambda land: land.epochs == 3 and land.steps > 300,
    "10 x 781": lambda land: land.epochs == 10 and land.steps > 300,
    "3 x 100": lambda land: land.epochs == 3 and land.steps < 300,
    "10 x 100": lambda land: land.epochs == 10 and land.steps < 300,
    "1 x 781": lambda land: land.epochs == 1,
}
RULES = {
    "the rule": Rule(),
    "T/16": Rule(share=16),
    "no prior": Rule(scale=0.0, robust=False),
    "4 candidates": Rule(most=4, stop=None),
    "5 candidates": Rule(most=5, stop=None),
    "6 candidates": Rule(most=6, stop=None),
    "never doubled": Rule(late=math.inf),
    "no horizon": Rule(horizon=0.0),
    "factor for short candidates": Rule(short=0.2),
    "5 after lengthening": Rule(after=5),
    "kappa": Rule(by="kappa"),
    "usual rate 10x too small": Rule(off=-1.0),
    "usual rate 10x too large": Rule(off=1.0),
    "usual rate 10x too small, prior kept, no bracket": Rule(off=-1.0, robust=False),
    "usual rate 10x too large, prior kept, no bracket": Rule(off=1.0, robust=False),
}


def shown(rows: list[tuple[float, float, int, float]]) -> str:
    excess, accuracy, count, passes = (np.array(column) for column in zip(*rows, strict=True))
    numbers = (excess.mean(), np.median(excess), excess.max(), accuracy.mean(), count.mean(), passes.mean())
    return "{:.2f} | {:.2f} | {:.1f} | {:+.2f} | {:.1f} | {:.2f}".format(*numbers)


def main() -> None:
    """Print the tables."""
    lands = read(Path(sys.argv[1]))
    print(
        "| rule | mean | median | worst | accuracy | candidates | passes |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for name, rule in RULES.items():
        rows = {(land, s): Play(land, rule, x).result() for land in lands for s, x in STARTS.items()}
        print(f"| {name} | {shown(list(rows.values()))} |", flush=True)
        if name != "the rule":
            continue
        for start in STARTS:
            print(f"| - {start} | {shown([r for (_, s), r in rows.items() if s == start])} |")
        for shape, fits in SHAPES.items():
            print(f"| - {shape} | {shown([r for (land, _), r in rows.items() if fits(land)])} |")
        for half in (0, 1):
            names = sorted({land.workload for land in lands})[half::2]
            print(
                f"| - {', '.join(names)} | {shown([r for (land, _), r in rows.items() if land.workload in names])} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
