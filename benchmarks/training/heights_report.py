"""What the schedule's height after the first search is worth, judged by the runs that ``heights.py`` noted.

    python -m benchmarks.training.heights_report

For each workload, seed, anchor and start the package's own search runs on the noted first epochs (interpolated between
quarter-decades); the height that a rule makes of it is looked up at the noted ends of runs. Compared with the oracle:
of the half-decades of the cosine the one with the least validation loss at its end. Its table goes to
``policies_method.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from benchmarks.noted import read_rows
from benchmarks.pages import table, write_between
from benchmarks.training.entries import guessing
from benchmarks.training.heights import ANCHORS, HEIGHTS, QUARTERS
from benchmarks.training.run import RESULTS
from benchmarks.training.workloads import WORKLOADS
from lightning_gammabo.bayesopt import LearningRateSpace, make_search
from lightning_gammabo.determinant.objective import Objective, ValidationMetrics
from lightning_gammabo.determinant.smoothing import smoothed_argmax
from lightning_gammabo.policy import POLICIES
from lightning_gammabo.records import Result, TrialState

Rows = Sequence[dict[str, Any]]
Rule = Callable[[Sequence[Result]], float]
BEGIN, END = "<!-- heights: begin -->", "<!-- heights: end -->"
SEARCHES = 10
"""searches of each landscape, with seeds of their own: which rates are tried first is chance"""


def best_rate(results: Sequence[Result]) -> float:
    return max(results, key=lambda result: result.score or -math.inf).lr


def centre(results: Sequence[Result]) -> float:
    """The last candidate's rate is made of the others' scores."""
    return smoothed_argmax(results[:-1]) or best_rate(results)


RULES: dict[str, Rule] = {"the best rate": best_rate, "the centre": centre}
REACH = 8
"""the range that is searched: so many quarter-decades either way of the default rate"""


def curve(rows: Rows, name: str, worst: float) -> np.ndarray:
    """A noted value by height; what is not finite, or worse than guessing, counts as guessing."""
    values = [row.get(name) for row in rows]
    return np.array([worst if value is None else value for value in values])


def losses(rows: Rows, name: str) -> np.ndarray:
    worst = guessing(rows[0]["workload"])
    return np.minimum(curve(rows, name, worst), worst) if name != "scored_loss" else curve(rows, name, 50.0)


def first_search(rows: Rows, start: int, seed: int) -> list[Result]:
    """The candidates of a first search, as the default policy makes it."""
    policy, loss = POLICIES["epochwise"], np.log(losses(rows, "scored_loss"))
    accuracy = curve(rows, "scored_acc", 0.0) if "scored_acc" in rows[0] else None
    objective = Objective("kappa")
    objective.reference_loss = guessing(rows[0]["workload"])
    space = LearningRateSpace(10.0 ** (-REACH / 4), 10.0 ** (REACH / 4))
    search = make_search("gamma", space, seed=seed, n_initial=policy.first_random, n_trials=policy.n_first)
    search.enqueue(10.0 ** (start / 4))
    results = []
    for number in range(policy.n_first):
        trial = search.ask()
        quarters = 4.0 * math.log10(trial.lr)
        share = min(max((QUARTERS[0] - quarters) / 4.0, 0.0), 1.0)  # below the noted heights: towards not learning
        value = (1.0 - share) * np.interp(quarters, QUARTERS, loss) + share * math.log(objective.reference_loss)
        right = None if accuracy is None else float((1.0 - share) * np.interp(quarters, QUARTERS, accuracy))
        score = objective.score(ValidationMetrics(loss=math.exp(value), accuracy=right, metrics={})).ranked
        search.tell(trial, score)
        results.append(Result(number=number, lr=trial.lr, state=TrialState.COMPLETE, score=score))
    return results


@cache
def noted(name: str) -> Rows:
    return read_rows(HEIGHTS / f"{name}.jsonl")


def searches(name: str, anchor: str, start: int) -> dict[int, list[list[Result]]]:
    """What the first searches of a workload found, by the seed of its runs."""
    rows = noted(name)
    return {
        seed: [first_search(by_height(rows, anchor, seed), start, SEARCHES * seed + k) for k in range(SEARCHES)]
        for seed in sorted({row["seed"] for row in rows})
    }


def by_height(rows: Rows, anchor: str, seed: int) -> Rows:
    mine = (row for row in rows if (row["anchor"], row["seed"]) == (anchor, seed))
    return sorted(mine, key=lambda row: row["quarters"])


def gaps(name: str, anchor: str, rule: Rule, found: dict[int, list[list[Result]]]) -> tuple[float, float | None]:
    """Mean over seeds of what a rule loses on a workload: loss in per cent, accuracy in points."""
    rows = noted(name)
    loss, accuracy = [], []
    for seed, results in found.items():
        mine = by_height(rows, anchor, seed)
        cosines = [row for row in by_height(rows, "cosine", seed) if row["quarters"] % 2 == 0]
        oracle = min(cosines, key=lambda row: row["val_loss"] or math.inf)
        heights = [4.0 * math.log10(rule(search)) for search in results]
        ends = np.interp(heights, QUARTERS, losses(mine, "test_loss"))
        loss.append(100.0 * (ends.mean() / oracle["test_loss"] - 1.0))
        if "test_acc" in oracle:
            reached = np.interp(heights, QUARTERS, curve(mine, "test_acc", 0.0))
            accuracy.append(100.0 * (reached.mean() - oracle["test_acc"]))
    return float(np.mean(loss)), float(np.mean(accuracy)) if accuracy else None


def main() -> None:
    starts = {"right": 0, "100x too small": -REACH, "100x too large": REACH}
    header = ["schedule", "its height", *(f"start {name}" for name in starts), "without digits"]
    lines = []
    for anchor in ANCHORS:
        searched = {
            (name, start): searches(name, anchor, quarters) for name in WORKLOADS for start, quarters in starts.items()
        }
        for label, rule in RULES.items():
            cells, others = [], []
            for start in starts:
                found = {name: gaps(name, anchor, rule, searched[name, start]) for name in WORKLOADS}
                points = np.mean([accuracy for _, accuracy in found.values() if accuracy is not None])
                cells.append(f"{np.mean([loss for loss, _ in found.values()]):+.2f} % / {points:+.2f}")
                others += [loss for name, (loss, _) in found.items() if name != "digits-sgd"]
            lines.append([anchor, label, *cells, f"{np.mean(others):+.2f} %"])
    text = table(header, lines)
    print(text)
    write_between(RESULTS.parent / "policies_method.md", BEGIN, END, text)


if __name__ == "__main__":
    main()
