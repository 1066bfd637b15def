"""Does an epoch's search learn from the epoch before? Recorded sequences of epochs, and sequences that jump.

Epoch 1 is searched cold with twelve candidates. Every later epoch is searched by ``n`` candidates, cold (a new search)
or warm (told of the rates and scores of the epoch before). The table of an epoch was recorded after the best rates of
the epochs before it, whatever the search chose: what is measured is the search and not where its choices would lead.

A jump puts the landscapes of epochs 4 to 6 at ten times smaller or larger rates, as when the scale of the loss or the
batch size is changed in mid-run. Rates that come from beyond the recorded range diverge on the upper side and do as
little as the smallest recorded rate on the lower one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from benchmarks.bayesopt.benchmark_problems import Floats, Problem, Run, landscape_problems
from benchmarks.bayesopt.benchmark_report import standard_error
from benchmarks.bayesopt.benchmark_searches import SPACE, ask_and_tell, best_seen, make
from benchmarks.landscapes import tables

GROUPS = ("digits", "mnist500", "cifar")
COUNTS = (4, 6, 8, 12)
JUMP_COUNTS = (6, 12)
REPETITIONS, JUMP_REPETITIONS = 5, 3
BLURS = (0.07, 0.13, 0.27)
CAP = 3.0
"""of regret, before a landscape is blurred: how badly a rate failed says nothing of its neighbours"""
JUMP_EPOCH = 3
"""Counted from 0: the first epoch whose landscape lies elsewhere."""


def shifted(problem: Problem, cells: int) -> Problem:
    """The landscape moved by so many candidates: negative is towards smaller rates."""
    values = problem.values.copy()
    if cells < 0:
        values = np.concatenate([problem.values[-cells:], np.full(-cells, math.nan)])
    elif cells > 0:
        values = np.concatenate([np.full(cells, problem.values[0]), problem.values[:-cells]])
    worst = problem.worst + float(np.nanmax(values) - np.nanmax(problem.values))  # the best one may have left the range
    return replace(problem, values=values, worst=worst)


def sequences(group: str, jump: int) -> list[list[Problem]]:
    """For each recorded seed the problems of its epochs."""
    by_seed: dict[int, list[Problem]] = {}
    for problem in landscape_problems(group):
        moved = shifted(problem, jump) if problem.part >= JUMP_EPOCH else problem
        by_seed.setdefault(problem.cluster, []).append(moved)
    return list(by_seed.values())


def follow(epochs: list[Problem], n: int, warm: bool, repetition: int) -> list[int]:
    """The candidate chosen in each epoch."""
    before: list[tuple[float, float | None]] = []
    chosen = []
    for problem in epochs:
        seed = 100 * repetition + problem.part
        count = 12 if problem.part == 0 else n
        run = Run(problem, seed)
        search = make("gamma", seed=seed, n_trials=count, grid_size=len(problem.unit))
        if warm and before:
            search.warm_start(before)
        for _ in range(count):
            ask_and_tell(run, search)
        rates = [SPACE.from_unit(float(problem.unit[i])) for i in run.index]
        before = list(zip(rates, run.observed, strict=True))
        chosen.append(best_seen(run))
    return chosen


def measure_cell(cases: list[list[Problem]], n: int, warm: bool, repetitions: int) -> tuple[Floats, Floats, list[int]]:
    """Regret of the choices of every epoch but the first, on validation and on held-out images; and the seeds."""
    held = {(p.cluster, p.part): p.regrets for p in landscape_problems(cases[0][0].group, held_out=True)}
    runs = [(case, follow(case, n, warm, r)) for r in range(repetitions) for case in cases]
    pairs = [list(zip(case, chosen, strict=True))[1:] for case, chosen in runs]
    seen = np.array([[p.regrets[i] for p, i in pair] for pair in pairs])
    unseen = np.array([[held[p.cluster, p.part][i] for p, i in pair] for pair in pairs])
    return seen, unseen, [case[0].cluster for case, _ in runs]


def measure_warm() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for jump, label in ((0, "as recorded"), (-30, "to 1/10 of the rates"), (30, "to 10 times the rates")):
        for group in GROUPS:
            if len(tables.load(group).lr) != 121:
                raise ValueError(f"{group}: a jump of 30 candidates is a factor of 10 only with 121 of them")
            cases = sequences(group, jump)
            for warm in (False, True):
                for n in JUMP_COUNTS if jump else COUNTS:
                    seen, unseen, clusters = measure_cell(cases, n, warm, JUMP_REPETITIONS if jump else REPETITIONS)
                    part = seen[:, JUMP_EPOCH - 1 :] if jump else seen
                    row = {"landscape": label, "group": group, "start": "warm" if warm else "cold", "n": n}
                    row |= {"runs": len(seen), "regret": float(part.mean())}
                    row["SE"] = standard_error(part.mean(axis=1), clusters)
                    row["held-out"] = "" if jump else float(unseen.mean())  # the jump is of the validation scores
                    row["held-out SE"] = "" if jump else standard_error(unseen.mean(axis=1), clusters)
                    row["epoch 4"], row["epoch 5"] = float(seen[:, 2].mean()), float(seen[:, 3].mean())
                    rows.append(row)
            print("warm", label, group, flush=True)
    return rows


def foreseen(problem: Problem, n: int, blur: float) -> float:
    """Regret of the ``n`` best candidates of the landscape itself, known but for what is finer than ``blur`` decades.

    No search can know as much: it bounds what a start from the epochs before can bring.
    """
    cells = blur * (len(problem.unit) - 1) / math.log10(SPACE.high / SPACE.low)
    known = gaussian_filter1d(np.minimum(problem.regrets, CAP), cells, mode="nearest")
    return float(problem.regrets[np.argsort(known)[:n]].min())


def measure_foresight() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for group in GROUPS:
        later = [problem for problem in landscape_problems(group) if problem.part > 0]
        clusters = [problem.cluster for problem in later]
        for blur in BLURS:
            regrets = np.array([foreseen(problem, 6, blur) for problem in later])
            row = {"group": group, "blur, decades": blur, "n": 6, "landscapes": len(later)}
            rows.append(row | {"regret": float(regrets.mean()), "SE": standard_error(regrets, clusters)})
    return rows
