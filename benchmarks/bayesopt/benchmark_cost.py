"""What a proposal costs: time of one ``ask`` against BoTorch's fit and optimize_acqf; memory over many of them.

Times are processor time of one thread. On an idle machine that is the time on the clock; on a busy one the clock would
favour whatever is over before the next switch of tasks, which is us.
"""

from __future__ import annotations

import gc
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bayesopt.benchmark_problems import Problem, Run, problems
from benchmarks.bayesopt.benchmark_searches import SPACE, make
from benchmarks.bayesopt.benchmark_stock import stock_ask

COUNTS = (2, 5, 8, 12, 20)
ASKS = 200
STOCK_ASKS = 20
MEMORY_ASKS = 10_000


def resident_kib() -> int:
    """Resident memory of this process (Linux)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("no VmRSS in /proc/self/status")


def seen(problem: Problem, seed: int, n: int) -> Run:
    """``n`` candidates at random that did not diverge."""
    run = Run(problem, seed)
    for index in np.random.default_rng(seed).permutation(np.flatnonzero(np.isfinite(problem.values)))[:n]:
        run.look(int(index))
    return run


def time_ours(run: Run, seed: int) -> float:
    """Seconds of the ask that has all of the run's observations to learn from."""
    search = make("gamma", seed=seed)
    for index, value in zip(run.index, run.observed, strict=True):
        search.enqueue(SPACE.from_unit(float(run.problem.unit[index])))
        search.tell(search.ask(), value)
    began = time.process_time()
    search.ask()
    return time.process_time() - began


def time_stock(run: Run) -> float:
    x = torch.tensor(run.problem.unit[run.index]).unsqueeze(-1)
    y = torch.tensor(run.observed, dtype=torch.double).unsqueeze(-1)
    began = time.process_time()
    stock_ask(x, y)
    return time.process_time() - began


def memory() -> dict[str, int]:
    """Resident memory after 1,000 and after 10,000 proposals, twelve to a search."""
    problem = problems("mnist500")[0]
    grown, asked = {}, 0
    while asked < MEMORY_ASKS:
        search = make("gamma", seed=asked)
        for _ in range(12):
            trial = search.ask()
            search.tell(trial, float(problem.values[0]) + 0.1 * (trial.number % 5))
            asked += 1
            if asked in (1000, MEMORY_ASKS):
                gc.collect()
                grown[f"resident KiB after {asked} asks"] = resident_kib()
    return grown


def measure_cost() -> dict[str, Any]:
    torch.set_num_threads(1)
    cases = problems("mnist500")
    found: dict[str, Any] = {}
    time_ours(seen(cases[0], 0, 12), 0)
    time_stock(seen(cases[0], 0, 12))
    for n in COUNTS:
        ours: list[float] = []
        stock: list[float] = []
        for k in range(ASKS):  # taken in turn, so that a busy machine slows both
            run = seen(cases[k % len(cases)], k, n)
            ours.append(1000 * time_ours(run, k))
            if k < STOCK_ASKS:
                stock.append(1000 * time_stock(run))
        found[f"n = {n}"] = {
            "ask, ms, median": round(statistics.median(ours), 2),
            "ask, ms, 90 %": round(statistics.quantiles(ours, n=10)[-1], 2),
            "fit + optimize_acqf, ms, median": round(statistics.median(stock), 1),
            "times faster": round(statistics.median(stock) / statistics.median(ours), 1),
        }
        print("cost", n, found[f"n = {n}"], flush=True)
    return found | memory()
