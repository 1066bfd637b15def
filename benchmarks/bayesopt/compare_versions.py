"""Two versions of the package on the same problems: regret, coverage of 90 % intervals, and the time of one ask.

    git worktree add OTHER af81646
    OMP_NUM_THREADS=1 python -m benchmarks.bayesopt.compare_versions --other OTHER

Both versions run the same problems and seeds, each with its own benchmark and in a process of its own. Times are
processor time of one thread.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
LANDSCAPES = ("digits", "mnist500", "cifar")
AFTER = (5, 8, 12)
SEARCHES = ("gamma", "gamma, own start", "gamma, four at once", "gamma_thesis", "gaussian")
ASKS = 100


def part(name: str) -> ModuleType:
    """A module of the benchmark, of the version that is measured; earlier ones had it in another folder."""
    try:
        return importlib.import_module(f"benchmarks.bayesopt.{name}")
    except ModuleNotFoundError:
        return importlib.import_module(name)


def searches() -> dict[str, tuple[Any, int]]:
    """Name -> search of the benchmark, and its share of the runs."""
    run_model = part("benchmark_searches").run_model

    return {
        "gamma": (partial(run_model, kind="gamma"), 1),
        "gamma, own start": (partial(run_model, kind="gamma", start="own"), 1),
        "gamma, four at once": (partial(run_model, kind="gamma", side_by_side=4), 2),
        "gamma_thesis": (partial(run_model, kind="gamma_thesis"), 1),
        "gaussian": (partial(run_model, kind="gaussian"), 6),
    }


def measure_regret(runs: int, names: list[str]) -> dict[str, dict[str, list[float]]]:
    """Search -> group -> mean regret after so many evaluations."""
    FUNCTIONS = part("benchmark_functions").FUNCTIONS
    Run, problems = part("benchmark_problems").Run, part("benchmark_problems").problems

    found: dict[str, dict[str, list[float]]] = {}
    for name in names:
        search, share = searches()[name]
        for group in (*LANDSCAPES, *FUNCTIONS):
            cases = problems(group)
            rows = []
            for number in range(runs // share):
                problem = cases[number % len(cases)]
                recommended = search(Run(problem, number // len(cases)), max(AFTER))
                rows.append([float(problem.regrets[recommended[n - 1]]) for n in AFTER])
            found.setdefault(name, {})[group] = [*np.mean(rows, axis=0).tolist(), len(rows)]
    return found


def measure_coverage() -> dict[str, float]:
    """Group -> share of values within 90 % intervals after 3, 6, 9 and 12 random candidates."""
    problems = part("benchmark_problems").problems
    predict_gamma = part("benchmark_searches").predict_gamma

    found = {}
    for group in (*LANDSCAPES, "krasser", "krasser_noise"):
        inside = []
        cases = problems(group)
        for repetition in range(max(1, 60 // len(cases))):
            for problem in cases:
                rng = np.random.default_rng([repetition, problem.cluster, problem.part, 1])
                order = [int(i) for i in rng.permutation(np.flatnonzero(np.isfinite(problem.values)))]
                observed = problem.values[order] + problem.noise * rng.standard_normal(len(order))
                for n in (3, 6, 9, 12):
                    targets = slice(12, 32)
                    pit, _ = predict_gamma(problem, order[:n], observed[:n], order[targets], observed[targets])
                    inside.append(np.abs(2.0 * pit - 1.0) <= 0.9)
        found[group] = float(np.mean(inside))
    return found


def measure_time() -> dict[str, float]:
    """Median milliseconds of an ask, with the reference's fit and optimize_acqf taken in turn."""
    seen, time_ours, time_stock = (
        part("benchmark_cost").seen,
        part("benchmark_cost").time_ours,
        part("benchmark_cost").time_stock,
    )
    problems = part("benchmark_problems").problems

    cases = problems("mnist500")
    found = {}
    for n in (5, 12):
        time_ours(seen(cases[0], 0, n), 0), time_stock(seen(cases[0], 0, n))
        ours, stock = [], []
        for k in range(ASKS):
            run = seen(cases[k % len(cases)], k, n)
            ours.append(1000.0 * time_ours(run, k))
            if k % 5 == 0:
                stock.append(1000.0 * time_stock(run))
        found[f"ask at n = {n}, ms"] = statistics.median(ours)
        found[f"fit + optimize_acqf at n = {n}, ms"] = statistics.median(stock)
    return found


def measure(runs: int, names: list[str]) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {"regret": measure_regret(runs, names), "coverage": measure_coverage(), "time": measure_time()}


def table(other: dict[str, Any], this: dict[str, Any]) -> str:
    """Markdown: regrets as ``other -> this``, with the geometric mean of the ratios over groups."""
    lines = ["| search | problems | runs | after 5 | after 8 | after 12 |", "| --- | --- | --- | --- | --- | --- |"]
    for search, groups in this["regret"].items():
        for group, (*new, runs) in groups.items():
            old = other["regret"][search][group]
            cells = [f"{a:.4f} -> {b:.4f}" for a, b in zip(old, new, strict=False)]
            lines.append(f"| {search} | {group} | {int(runs)} | {' | '.join(cells)} |")
    lines += ["", "| 90 % intervals hold | other | this |", "| --- | --- | --- |"]
    lines += [f"| {group} | {other['coverage'][group]:.3f} | {b:.3f} |" for group, b in this["coverage"].items()]
    lines += ["", "| processor time | other | this |", "| --- | --- | --- |"]
    lines += [f"| {name} | {other['time'][name]:.2f} | {b:.2f} |" for name, b in this["time"].items()]
    names = ("torch", "botorch", "gpytorch", "numpy", "scipy")
    return "\n".join([*lines, "", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)])


def measured(root: Path, runs: int, names: list[str]) -> dict[str, Any]:
    """What a version gives, in a process that imports it alone."""
    folders = os.pathsep.join(map(str, (root, root / "examples", root / "examples" / "bayesopt")))
    # by runpy, since a script's own folder would come first among those that are searched
    run = f"import runpy; runpy.run_path({__file__!r}, run_name='__main__')"
    command = [sys.executable, "-c", run, "--here", "--runs", str(runs), "--searches", *names]
    done = subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONPATH": folders}, stdout=subprocess.PIPE, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other", type=Path, help="root of another version of the repository")
    parser.add_argument(
        "--here", action="store_true", help="measure the version that is imported, and print it as JSON"
    )
    parser.add_argument(
        "--runs", type=int, default=200, help="runs of gamma on each group of problems; of others a share"
    )
    parser.add_argument("--searches", nargs="+", default=list(SEARCHES), choices=SEARCHES)
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measure(args.runs, args.searches)))
        return
    print(table(*(measured(root, args.runs, args.searches) for root in (args.other.resolve(), ROOT))))


if __name__ == "__main__":
    main()
