"""Runs the identity suites on the lowest, or on the newest, versions that the package admits.

``python -m benchmarks.trust.versions lowest`` makes a virtual environment of its own, installs what the package names
as lower bounds, and runs the tests of exactness, of resuming and of the search there. PyTorch's default wheels bring
gigabytes of CUDA: ``--pip "--index-url URL"`` takes wheels from elsewhere, ``--hold torch=2.13.0`` keeps one package at
another version than the bound. ``newest --unless .ci/constraints.txt`` runs nothing where the newest are those of that
file, which the tests have run with already.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTERS = ("--group", f"{ROOT / 'pyproject.toml'}:test")
SUITES = (
    "tests/integration/identity/test_identity.py",
    "tests/integration/identity/test_matrix.py",
    "tests/integration/exactness/test_no_trace.py",
    "tests/integration/exactness/test_faults.py",
    "tests/integration/resume/test_resume_fit.py",
    "tests/unit/bayesopt/test_asktell.py",
)
MAIN = {"lightning": "git+https://github.com/Lightning-AI/pytorch-lightning.git"}
"""packages whose main branch can be tried"""


def requirements(which: str, held: dict[str, str], main: list[str]) -> list[str]:
    """The package's own dependencies, at their lower bounds, as new as they come, or as their main branch is."""
    named = [one for one in importlib.metadata.requires("lightning_gammabo") or [] if "extra ==" not in one]
    wanted = []
    for requirement in named:
        match = re.match(r"([\w-]+).*>=([\d.]+)", requirement)
        assert match is not None, f"{requirement!r} has no lower bound"
        name, bound = match.groups()
        if name in main:
            wanted.append(f"{name} @ {MAIN[name]}")
        elif name in held:
            wanted.append(f"{name}=={held[name]}")
        else:
            wanted.append(f"{name}=={bound}.*" if which == "lowest" else requirement)
    return wanted


def already(python: str, wanted: list[str], constraints: Path) -> bool:
    """Whether pip would install just what a file of constraints has."""
    lines = constraints.read_text(encoding="utf-8").lower()  # PyYAML and pyyaml are one
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", lines, flags=re.MULTILINE))
    command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-", *wanted]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    newest = {one["metadata"]["name"].lower(): one["metadata"]["version"] for one in report["install"]}
    names = [re.split(r"[^\w-]", requirement)[0].lower() for requirement in wanted]
    differ = [f"{name} {newest[name]}" for name in names if newest[name].split("+")[0] != pinned.get(name, "-")]
    print("newer than the constraints:", ", ".join(differ) or "nothing", flush=True)
    return not differ


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=("lowest", "newest"))
    parser.add_argument("--hold", action="append", default=[], metavar="NAME=VERSION")
    parser.add_argument("--main", action="append", default=[], choices=[*MAIN], help="take its main branch")
    parser.add_argument("--unless", type=Path, metavar="FILE", help="constraints that were tested already")
    parser.add_argument("--pip", default="", help="further arguments for pip install")
    parser.add_argument("--pytest", default="-q -x", help="arguments for pytest")
    parser.add_argument("--suites", nargs="*", default=SUITES)
    arguments = parser.parse_args()
    held = dict(pair.split("=", 1) for pair in arguments.hold)
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder, "bin", "python"))
        wanted = requirements(arguments.which, held, arguments.main)
        if arguments.unless is not None and already(python, wanted, arguments.unless):
            return
        print("installing", *wanted, flush=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "pip>=25.1"], check=True)  # the first that knows groups
        subprocess.run([*install, *shlex.split(arguments.pip), *wanted, *TESTERS], check=True)
        subprocess.run([python, "-m", "pip", "list", "--format=freeze"], check=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        tests = [python, "-m", "pytest", *shlex.split(arguments.pytest), *arguments.suites]
        sys.exit(subprocess.run(tests, cwd=ROOT, env=environment).returncode)


if __name__ == "__main__":
    main()
