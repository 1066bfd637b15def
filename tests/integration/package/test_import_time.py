"""What a process of its own sees of the package: all checks share one, for importing Lightning takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
CODE = """
import json, sys
from benchmarks.speed.import_time import main
main()

late = {"matplotlib", "jinja2", "botorch", "gpytorch", "PIL"} - set(sys.modules)  # Lightning may have some of them
from lightning_gammabo.report import html, loggers
print(json.dumps({"too early": sorted(late & set(sys.modules)), "second": "pytorch_lightning" in sys.modules}))

from lightning_gammabo.trainer.messages import warn
warn("GammaLRSearch: look")

from lightning_gammabo import GammaLRSearch as search
import lightning_gammabo, pytorch_lightning
second = pytorch_lightning.Callback
print(json.dumps({"before": issubclass(search, second), "after": issubclass(lightning_gammabo.GammaLRSearch, second)}))
"""


@pytest.fixture(scope="module")
def process() -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def printed(process: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line in process.stdout.splitlines():
        found |= json.loads(line)
    return found


def test_the_package_adds_little_to_lightning(printed: dict[str, Any]) -> None:
    """At most 0.3 s, and nothing that Lightning has not imported: BoTorch, SciPy and matplotlib come later."""
    assert printed["others"] == []
    # most projects that have the package installed import no more than this (the entry point)
    assert printed["package"] < 0.05
    assert printed["callback"] < 0.3


def test_matplotlib_jinja2_and_botorch_wait_until_a_picture_is_drawn(printed: dict[str, Any]) -> None:
    assert printed["too early"] == []


def test_the_second_namespace_is_not_imported_and_the_order_is_free(printed: dict[str, Any]) -> None:
    assert not printed["second"]
    assert (printed["before"], printed["after"]) == (False, True)  # after: as a YAML file looks it up


def test_a_warning_names_no_line_of_this_package(process: subprocess.CompletedProcess[str]) -> None:
    assert [line for line in process.stderr.splitlines() if "look" in line] == ["Warning: GammaLRSearch: look"]
    assert "look" not in process.stdout
