"""The package's speed as ratios, each to a plain way that was measured in turn with it: ``make bench``.

    python -m benchmarks.speed.run            # measure, compare with the baseline
    python -m benchmarks.speed.run --write    # measure, make it the baseline and the table of docs/benchmarks.md

A ratio that is over its goal and also over the baseline's by more than ``SLACK`` fails. Machines differ, and busy ones
more: milliseconds are shown, not compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.pages import table, write_between

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- written by benchmarks/speed/run.py -->", "<!-- end of the speeds -->"
SLACK = 1.15

Speeds = dict[str, dict[str, Any]]
"""by name: ratio, its goal, what it is of (own, plain) and in which unit"""


def measure(only: list[str]) -> Speeds:
    """Run the benchmarks in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found.json")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-o", "addopts="]
        command += ["-o", "filterwarnings=ignore", "-o", "python_files=bench_*.py", f"--benchmark-json={found}"]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([*command, *(only or [str(HERE)])], cwd=HERE.parents[1], env=one_thread, check=True)
        rows = json.loads(found.read_text(encoding="utf-8"))["benchmarks"]
    return {row["name"].removeprefix("test_"): rounded(row["extra_info"]) for row in rows}


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()}


def slower(found: Speeds, baseline: Speeds) -> list[str]:
    """What is over its goal and slower than it was, in words."""
    return [
        f"{name}: {row['ratio']:.2f} times the plain way, {baseline[name]['ratio']:.2f} before, goal {row['goal']:.2f}"
        for name, row in found.items()
        if name in baseline and row["ratio"] > max(row["goal"], SLACK * baseline[name]["ratio"])
    ]


def lines(found: Speeds) -> list[list[str]]:
    return [
        [
            name,
            f"{row['ratio']:.2f}",
            f"{row['goal']:.2f}" if row["ratio"] <= row["goal"] else f"{row['goal']:.2f}, missed",
            f"{row['own']:.3g} / {row['plain']:.3g} {row['unit']}",
        ]
        for name, row in found.items()
    ]


def page(found: Speeds) -> str:
    names = ("torch", "lightning", "botorch")
    said = f"Python {platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in names)}, one thread."
    header = ["what", "ratio", "goal", "own / plain"]
    return f"{said}\n\n{table(header, lines(found))}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", metavar="FILE", help="of benchmarks/speed/bench_*.py; all by default")
    parser.add_argument("--write", action="store_true", help="make what is found the baseline, and the page's table")
    arguments = parser.parse_args()
    found = measure(arguments.only)
    baseline: Speeds = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else {}
    print("\n".join("  ".join(line) for line in lines(found)))
    if arguments.write:
        whole = {**baseline, **found}
        BASELINE.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        write_between(PAGE, BEGIN, END, page(whole))
        return
    worse = slower(found, baseline)
    print("\n".join(worse) or "nothing is slower than the baseline")
    sys.exit(bool(worse))


if __name__ == "__main__":
    main()
