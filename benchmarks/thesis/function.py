"""Figures 12 and 13: the test function f(x) = -sin(3x) - x^2 + 0.7x, Gaussian against Gamma, in evaluations.

    python -m benchmarks.thesis.function --out docs/results/thesis

Runs the benchmark of the searches (``benchmarks/bayesopt/benchmark_thesis.py``); no data are needed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.bayesopt.benchmark_thesis import RUNS, measure_thesis
from benchmarks.thesis.experiment import RESULTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each search")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    found = measure_thesis(args.runs, min(args.runs, 60), keep=args.out / "function")
    (args.out / "function.json").write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
