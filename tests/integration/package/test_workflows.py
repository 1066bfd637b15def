"""The workflows call what is here, with actions pinned by commit and no more rights than they need.

What a host alone can do (its runners, signing, publishing) is not run here.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^(\w+):", MAKEFILE, flags=re.MULTILINE))
NO_TARGET = {"rm dist/sbom.cdx.json"}
"""commands of the publishing job, which has no clone"""

named = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return found


def commands(job: dict[str, Any]) -> Iterator[str]:
    """What its steps run, once for each value of the matrix that they name."""
    matrix = job.get("strategy", {}).get("matrix", {})
    for step in job["steps"]:
        variable = re.search(r'"\$(\w+)"', step.get("run", ""))
        source = step.get("env", {}).get(variable[1], "") if variable else ""
        field = re.fullmatch(r"\$\{\{ matrix\.(\w+) \}\}", source)
        for row in matrix.get("include", [{}]) if field else [{}]:
            command = step.get("run", "").strip()
            yield command.replace(f'"${variable[1]}"', row[field[1]]) if variable and field else command


CALLED = sorted(
    {command for path in WORKFLOWS for job in jobs(path).values() for command in commands(job) if command} - NO_TARGET
)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("command", CALLED)
def test_every_command_is_a_target_of_make(command: str) -> None:
    assert command.startswith("make "), command
    words = [word for word in command.split()[1:] if "=" not in word]
    assert words
    assert {*words} <= TARGETS
    done = subprocess.run(["make", "--dry-run", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_the_targets_call_is_there() -> None:
    scripts = re.findall(r"\$\(PY\) ([\w./]+\.py)", MAKEFILE)
    modules = re.findall(r"\$\(PY\) -m ([\w.]+)", MAKEFILE)
    assert scripts
    assert modules
    assert [script for script in scripts if not (ROOT / script).exists()] == []
    ours = [module for module in modules if module.startswith("benchmarks.")]
    assert [module for module in ours if importlib.util.find_spec(module) is None] == []


def test_make_help_names_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)
    assert phony
    documented = set(re.findall(r"^(\w+):.*## \w", MAKEFILE, flags=re.MULTILINE))
    assert documented == {*phony[1].split()} == TARGETS


@named
def test_actions_are_pinned_by_commit(path: Path) -> None:
    lines = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert lines
    loose = [line for line in lines if not re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)]
    assert loose == []


def test_an_action_is_pinned_at_one_commit() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    pins: dict[str, set[str]] = {}
    for name, commit in re.findall(r"uses: ([\w/-]+)@(.*)", text):
        pins.setdefault(name, set()).add(commit)
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}


@named
def test_rights_are_given_job_by_job(path: Path) -> None:
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["permissions"] == {}
    for name, job in jobs(path).items():
        wanted = {"contents": "read"}
        if path.stem == "release" and name == "attest":
            wanted |= {"id-token": "write", "attestations": "write"}
        if path.stem == "release" and name == "publish":
            wanted = {"id-token": "write"}
        assert job["permissions"] == wanted, name
        assert "timeout-minutes" in job, name


def test_only_tests_on_main_of_lightning_may_fail() -> None:
    found = [name for path in WORKFLOWS for name, job in jobs(path).items() if job.get("continue-on-error")]
    assert found == ["nightly"]


@pytest.mark.parametrize(
    ("schema", "files"),
    [("github-workflows", WORKFLOWS), ("dependabot", [ROOT / ".github" / "dependabot.yml"])],
    ids=["workflows", "dependabot"],
)
def test_the_schema_holds(schema: str, files: list[Path]) -> None:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
