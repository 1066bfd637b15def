"""Changes the package in small ways, one at a time, and counts the changes that no test notices.

``pip install mutmut==3.8.1``, then ``python -m benchmarks.trust.mutants determinant/determinant.py --folder DIR``

Each module is copied with its tests and mutated there by mutmut. ``--sample 300`` takes so many of its mutants, drawn
with ``--seed``. Only the fast tests that mirror a module are run, so that a mutant that survives here may die in ``make
tests``: ``survivors.txt`` in the folder has their differences, to be judged by hand. What a process caches is there
before a mutant is tried: mutants of it survive wrongly.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "lightning_gammabo"
COPIED = (PACKAGE, "tests", "benchmarks", "examples", "docs", "README.md", "CHANGELOG.md", "pyproject.toml")
IDENTITY = "tests/integration/identity/test_identity.py::test_many_candidates_are_the_plain_fit_at_the_chosen_rates"
SCENARIOS = ("keeps state-copy", "keeps state-replay", "own generators-copy", "by hand-copy", "accumulates-replay",
             "live generator-copy", "live validation-copy", "two validation loaders-copy", "no validation-copy",
             "counting callback-copy", "datamodule-copy", "stops in mid-epoch-copy")  # fmt: skip
FITS = (*(f"{IDENTITY}[{name}]" for name in SCENARIOS), "tests/integration/exactness/test_no_trace.py")
TESTS: dict[str, tuple[str, ...]] = {
    "determinant/determinant.py": ("tests/unit/determinant/test_determinant.py",),
    "determinant/objective.py": ("tests/unit/determinant/test_objective.py",),
    "determinant/scoring.py": ("tests/unit/scheduler/test_search.py",),
    "scheduler/search.py": ("tests/unit/scheduler/test_search.py",),
    "bayesopt": ("tests/unit/bayesopt",),
    "trainer/inspection.py": ("tests/unit/trainer/test_inspection.py",),
    "trainer/snapshot": ("tests/unit/trainer/snapshot",),
    "trainer": (*FITS, "tests/unit/trainer"),
}
"""module, or package -> the tests that are to notice"""
CONFIGURATION = """
[tool.mutmut]
source_paths = ["lightning_gammabo"]
only_mutate = {mutated}
# a protocol's method: what the tool adds to the class would be asked of every search
do_not_mutate_patterns = ['def enqueue\\(self, lr: float, origin']
also_copy = {copied}
pytest_add_cli_args = ["-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {tests}
timeout_constant = 2.0
timeout_multiplier = 5.0
"""
PROGRAM = """
import json, sys
from mutmut.__main__ import cli
for call in json.load(sys.stdin):
    cli(call, standalone_mode=False)
"""
NOTED: dict[int | None, str] = {0: "survived", 1: "killed", 3: "killed", 5: "run by no test", 33: "run by no test"}
NOTED |= dict.fromkeys((24, -24, 36, 152, 255), "timed out")
"""exit code by which mutmut notes a mutant -> what it means; others are crashes"""


def copy(module: str, folder: Path) -> None:
    """The files that the tests read, and mutmut's configuration."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "_build")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    mutated = f"{PACKAGE}/{module}" if module.endswith(".py") else f"{PACKAGE}/{module}/*"
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        copied = [name for name in COPIED if name not in (PACKAGE, "tests", "pyproject.toml")]
        file.write(CONFIGURATION.format(mutated=[mutated], copied=copied, tests=list(TESTS[module])))


def mutmut(folder: Path, *calls: list[str]) -> str:
    """What the tool says to some calls in the copy; what it imports there must not be the package here."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps(calls), cwd=folder, text=True,
        env={"OMP_NUM_THREADS": "1", **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout


def exit_codes(folder: Path) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for file in sorted(folder.glob("mutants/**/*.meta")):
        found |= json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"]
    return found


def run(module: str, folder: Path, sample: int, seed: int) -> Counter[str]:
    if not folder.exists():
        folder.mkdir(parents=True)
        copy(module, folder)
        mutmut(folder, ["run", "--max-children", "1", "none of them"])  # makes them, and notes which test runs what
    codes = exit_codes(folder)
    everyone = sorted(codes)
    chosen = everyone if not 0 < sample < len(everyone) else random.Random(seed).sample(everyone, sample)
    waiting = [name for name in chosen if codes[name] is None]
    said = mutmut(folder, ["run", "--max-children", "1", *waiting]) if waiting else ""
    codes = exit_codes(folder)
    if any(codes[name] is None for name in chosen):
        sys.exit(f"{module}: mutmut did not come to its end\n{said[-3000:]}")
    survivors = [name for name in sorted(chosen) if NOTED.get(codes[name]) != "killed"]
    (folder / "survivors.txt").write_text(mutmut(folder, *(["show", name] for name in survivors)), encoding="utf-8")
    ends = Counter(NOTED.get(codes[name], "crashed") for name in chosen)
    return Counter(made=len(everyone), tried=len(chosen)) + ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="+", choices=[*TESTS])
    parser.add_argument("--folder", type=Path, required=True, help="for the copies; what is there is used again")
    parser.add_argument("--sample", type=int, default=0, help="mutants of each module; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for module in arguments.modules:
        counts = run(module, arguments.folder.resolve() / module, arguments.sample, arguments.seed)
        print(module, *(f"{name} {count}" for name, count in counts.items()), sep=", ", flush=True)


if __name__ == "__main__":
    main()
