"""Measure the searches against each other and against BoTorch's defaults; write JSON and the tables of the docs.

    OMP_NUM_THREADS=1 python -m benchmarks.bayesopt.benchmark --out results            # everything, hours on one core
    OMP_NUM_THREADS=1 python -m benchmarks.bayesopt.benchmark --out results --sections regret --groups wall --runs 20

What is already in ``--out`` is kept and not run again, so that a run that was cut off goes on; ``report`` prints the
tables from what there is.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import platform
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.bayesopt import benchmark_problems
from benchmarks.bayesopt.benchmark_calibration import measure_calibration
from benchmarks.bayesopt.benchmark_cost import measure_cost
from benchmarks.bayesopt.benchmark_functions import FUNCTIONS
from benchmarks.bayesopt.benchmark_problems import Run, problems
from benchmarks.bayesopt.benchmark_report import write_report
from benchmarks.bayesopt.benchmark_searches import BOTORCH, SEARCHES
from benchmarks.bayesopt.benchmark_thesis import measure_thesis
from benchmarks.bayesopt.benchmark_warm import measure_foresight, measure_warm

LANDSCAPES = ("digits", "mnist500", "cifar")
EVALUATIONS = 12
SECTIONS = ("regret", "calibration", "cost", "warm", "foresight", "thesis", "report")


def measure_regret(search: str, group: str, runs: int) -> list[dict[str, Any]]:
    """Run one search on a group at least ``runs`` times; the seed of a run is its repetition, whatever the search."""
    torch.set_num_threads(1)
    cases = problems(group)
    found = []
    for repetition in range(-(-runs // len(cases))):
        for problem in cases:
            run = Run(problem, repetition)
            recommended = SEARCHES[search](run, EVALUATIONS)
            found.append(
                {
                    "cluster": problem.cluster if len(cases) > 1 else repetition,
                    "part": problem.part,
                    "repetition": repetition,
                    "index": run.index,
                    "recommended": recommended,
                }
            )
    return found


def versions() -> dict[str, str]:
    packages = ("torch", "botorch", "gpytorch", "numpy", "scipy", "scikit-learn")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    print(path, flush=True)


def run_regret(args: argparse.Namespace) -> None:
    """Every search on every group; a file for each pair."""
    with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("fork")) as pool:
        waiting = []
        for search in args.searches:
            for group in args.groups:
                path = args.out / "regret" / f"{search}-{group}.json"
                if not path.exists():
                    runs = min(args.runs, args.botorch_runs) if search in BOTORCH else args.runs
                    waiting.append((path, pool.submit(measure_regret, search, group, runs)))
        for path, future in waiting:
            write(path, future.result())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--searches", nargs="+", choices=sorted(SEARCHES), default=list(SEARCHES))
    parser.add_argument("--groups", nargs="+", default=[*FUNCTIONS, *LANDSCAPES])
    parser.add_argument("--runs", type=int, default=200, help="at least so many runs of a search on a group")
    parser.add_argument("--botorch-runs", type=int, default=60, help="of BoTorch-based searches but the reference")
    parser.add_argument("--jobs", type=int, default=1, help="processes for the regret; times are taken in one")
    parser.add_argument("--tables", type=Path, help="other recorded tables than those of the repository")
    parser.add_argument("--docs", type=Path, help="page whose marked part the report replaces")
    args = parser.parse_args()
    if args.tables:
        benchmark_problems.tables.FOLDER = args.tables  # the processes of the pool are forks and have it too
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)

    args.out.mkdir(parents=True, exist_ok=True)
    write(args.out / "versions.json", versions())
    if "regret" in args.sections:
        run_regret(args)
    others = {
        "calibration": measure_calibration,
        "cost": measure_cost,
        "warm": measure_warm,
        "foresight": measure_foresight,
        "thesis": partial(measure_thesis, keep=args.out / "thesis"),
    }
    for section, measure in others.items():
        path = args.out / f"{section}.json"
        if section in args.sections and not path.exists():
            write(path, measure())
    if "report" in args.sections:
        write_report(args.out, list(SEARCHES), args.docs)


if __name__ == "__main__":
    main()
