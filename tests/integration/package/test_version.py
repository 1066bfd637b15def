"""One version, one list of pins: where they are said again, they are the same."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lightning_gammabo

tomllib = pytest.importorskip("tomllib")  # Python 3.11
ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / ".ci" / "constraints.txt").read_text(), flags=re.MULTILINE))
GROUPS = PROJECT["dependency-groups"]


def test_the_version_is_one() -> None:
    version = lightning_gammabo.__version__
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version
    sections = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert next(section for section in sections if section != "Unreleased") == version


def test_the_pins_are_in_the_ranges() -> None:
    pins = {canonicalize_name(name): version for name, version in PINS.items()}
    assert len(pins) == len(PINS) == len((ROOT / ".ci" / "constraints.txt").read_text().splitlines()) - 1
    extras = PROJECT["project"]["optional-dependencies"]
    groups = [GROUPS[entry["include-group"]] for entry in GROUPS["dev"]]
    wanted = itertools.chain(PROJECT["project"]["dependencies"], *extras.values(), *groups)
    for requirement in map(Requirement, wanted):
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_what_is_said_of_python_is_the_same() -> None:
    classifiers = [line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if " :: 3." in line]
    assert classifiers == ["3.10", "3.11", "3.12", "3.13"]
    assert PROJECT["project"]["requires-python"] == f">={classifiers[0]}"
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))
    assert [row["python"] for row in workflow["jobs"]["tests"]["strategy"]["matrix"]["include"]] == classifiers
