"""Runs the matrix of trust, whose table is in docs/trust_tables.md: every cell is a test, its word the test's result.

``python -m benchmarks.trust.matrix`` takes about ten minutes on two cores; ``--results FILE ...`` reads the results of
earlier runs (pytest's ``--junitxml``) instead.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path

from benchmarks.pages import table, write_between

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "trust_tables.md"
TESTS = ("test_matrix", "test_strategies", "test_gpu")
BEGIN, END = "<!-- written by benchmarks/trust/matrix.py -->", "<!-- end -->"


def run(file: Path) -> None:
    """All cells, in one process."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", f"--junitxml={file}"]
    command += [f"tests/integration/identity/{name}.py" for name in TESTS]
    environment = {**os.environ, "GAMMABO_MATRIX": "whole", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=ROOT, env=environment, check=False)


def results(files: Iterable[Path]) -> dict[str, dict[str, str]]:
    """By file of tests and by test: ``works``, ``FAILS`` or, for what was skipped, why."""
    found: dict[str, dict[str, str]] = {name: {} for name in TESTS}
    for case in (case for file in files for case in ElementTree.parse(file).getroot().iter("testcase")):
        test = (case.get("classname") or "").rpartition(".")[2]
        ends = [child.tag for child in case]
        word = "FAILS" if {"failure", "error"} & set(ends) else "not run" if "skipped" in ends else "works"
        found[test][case.get("name") or ""] = word
    return found


def page(found: dict[str, dict[str, str]]) -> str:
    from tests.integration.identity.matrix import CALLBACKS, IMPOSSIBLE, OPTIMIZERS, PRECISIONS

    cells = found["test_matrix"]

    def cell(optimizer: str, precision: str, callback: str = "none") -> str:
        if (optimizer, precision) in IMPOSSIBLE:
            return "[no](#cells-that-cannot-be)"
        return cells.get(f"test_cell[{optimizer} | {precision} | {callback}]", "not run")

    optimizers = table(
        ["single device, no other callback", *PRECISIONS],
        ([name, *(cell(name, precision) for precision in PRECISIONS)] for name in OPTIMIZERS),
    )
    callbacks = table(
        ["single device, momentum, 32", "result"], ([name, cell("momentum", "32", name)] for name in CALLBACKS)
    )
    strategies = table(
        ["momentum, 32", "result"], ([_in_words(name), word] for name, word in found["test_strategies"].items())
    )
    gpu = table(["one CUDA device", "result"], ([_in_words(name), word] for name, word in found["test_gpu"].items()))
    ran = [word for words in found.values() for word in words.values()]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "lightning", "botorch"))
    said = (
        f"{ran.count('works')} cells work, {ran.count('FAILS')} fail, {ran.count('not run')} were not run. "
        f"{datetime.date.today().isoformat()}, Python {platform.python_version()}, {versions}, on a CPU."
    )
    impossible = "\n".join(f"* {o}, {p}: {why}." for (o, p), why in IMPOSSIBLE.items())
    parts = [
        said, "### Optimizer x precision", optimizers, "### Callbacks", callbacks, "### Strategies", strategies,
        "### CUDA", gpu, "### Cells that cannot be", impossible,
    ]  # fmt: skip
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _in_words(test: str) -> str:
    return re.sub(r"\[(.*)\]", r": \1", test.removeprefix("test_")).replace("_", " ").replace(" cell:", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, nargs="*", help="results of an earlier run, or of parts of one")
    parser.add_argument("--keep", type=Path, default=Path("matrix.xml"), help="where the results of this run are kept")
    arguments = parser.parse_args()
    if arguments.results is None:
        run(arguments.keep.resolve())
    found = results(arguments.results or [arguments.keep])
    write_between(PAGE, BEGIN, END, page(found))
    failed = [f"{name}::{test}" for name, tests in found.items() for test, word in tests.items() if word == "FAILS"]
    print("\n".join(failed) or f"no cell fails; the table is in {PAGE.relative_to(ROOT)}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
