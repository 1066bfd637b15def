"""Problems of the benchmark: a fixed set of candidates with a value each; and what a run of a search on one leaves.

Everything is counted in indices of the candidates, so that every search, whatever its own coordinates are, is measured
by the same cells. The first two candidates of a run and the noise of its observations depend on the run's seed only:
all searches of a run begin alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.bayesopt.benchmark_functions import FUNCTIONS
from benchmarks.landscapes import tables

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """Candidates and their values.

    Args:
        group: name of the function or of the recorded task.
        cluster: what its runs share and other problems of the group do not (the seed of a recorded table).
        part: which problem of its cluster (the epoch of a recorded table).
        unit: candidates on the unit interval, ``N``, ascending.
        values: their true values, greater is better, ``N``; NaN where they diverge.
        floor: what a diverged candidate counts as in regret, and what BoTorch is told of it.
        worst: the value whose regret is 1.
        noise: standard deviation of an observation.
    """

    group: str
    cluster: int
    part: int
    unit: Floats
    values: Floats
    floor: float
    worst: float
    noise: float = 0.0

    @property
    def regrets(self) -> Floats:
        """Regret of each candidate: 0 is the best one, 1 is ``worst``."""
        best = np.nanmax(self.values)
        return np.asarray((best - np.nan_to_num(self.values, nan=self.floor)) / (best - self.worst))

    def nearest(self, unit: float) -> int:
        """The candidate next to a point of the unit interval."""
        return int(np.abs(self.unit - unit).argmin())


class Run:
    """One run of a search on a problem: its first two candidates, and its observations."""

    def __init__(self, problem: Problem, seed: int) -> None:
        rng = np.random.default_rng([seed, problem.cluster, problem.part])
        self.problem, self.seed = problem, seed
        self.initial = [int(i) for i in rng.choice(len(problem.unit), size=2, replace=False)]
        self._noise = problem.noise * rng.standard_normal(64)
        self.index: list[int] = []
        self.observed: list[float | None] = []

    def look(self, index: int) -> float | None:
        """Evaluate a candidate: its noisy value, None where it diverges."""
        value = float(self.problem.values[index]) + float(self._noise[len(self.index)])
        self.index.append(index)
        self.observed.append(None if math.isnan(value) else value)
        return self.observed[-1]


def function_problem(name: str) -> Problem:
    function = FUNCTIONS[name]
    unit = (function.x - function.low) / (function.high - function.low)
    low = float(np.nanmin(function.values))
    return Problem(name, 0, 0, unit, function.values, floor=low, worst=low, noise=function.noise)


def landscape_problems(name: str, clusters: tuple[int, ...] | None = None, *, held_out: bool = False) -> list[Problem]:
    """One problem for each seed and epoch, in which regret 1 is the gain that an epoch's best rate brings.

    The gain is the best score less that of the smallest rate (no training, nearly), averaged over the seeds of the
    same epoch: late epochs have single tables in which the best rate gains next to nothing, and a regret measured by
    that gain would count for all others together. ``held_out`` for the scores on images that no choice has seen.
    """
    table = tables.load(name)
    unit = np.log(table.lr / table.lr[0]) / np.log(table.lr[-1] / table.lr[0])
    score = table.held_score if held_out else table.score
    best = np.nanmax(score, axis=2)
    gain = (best - score[:, :, 0]).mean(axis=0)
    return [
        Problem(
            name, int(seed), epoch, unit, score[s, epoch], floor=tables.FLOOR, worst=float(best[s, epoch] - gain[epoch])
        )
        for s, seed in enumerate(table.seeds)
        for epoch in range(score.shape[1])
        if clusters is None or seed in clusters
    ]


def problems(group: str) -> list[Problem]:
    """Every problem of a function's or a task's name."""
    return [function_problem(group)] if group in FUNCTIONS else landscape_problems(group)
