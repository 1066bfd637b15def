"""What the README shows runs, its table of settings is the signature's, and its costs are the plan's."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.policy import POLICIES
from lightning_gammabo.records.run import RunShape
from lightning_gammabo.scheduler.budget import RunPlan
from tests.integration.docs.pages import ROOT, run_page

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore:.*unclosed file.*:ResourceWarning")
def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_page(Path("README.md"), tmp_path, monkeypatch) == 2
    out = capsys.readouterr().out
    # an epoch of two batches is too short for later searches
    assert "1 searched with 7 candidates" in out
    assert (tmp_path / "history.csv").read_text().count("\n") == 8
    assert (tmp_path / "found.yaml").exists()


def test_the_settings_are_the_signatures() -> None:
    table = README.partition("## Settings")[2].partition("##")[0]
    rows = re.findall(r"^\| (`\w+`.*?) \| (.*?) \| ", table, flags=re.MULTILINE)
    shown = {}
    for names, defaults in rows:
        arguments = re.findall(r"`(\w+)`", names)
        values = [ast.literal_eval(value) for value in re.findall(r"`(.*?)`", defaults)]
        shown |= dict(zip(arguments, values * len(arguments) if len(values) == 1 else values, strict=False))
    parameters = inspect.signature(GammaLRSearch).parameters.values()
    assert shown == {parameter.name: parameter.default for parameter in parameters}


def test_the_costs_are_the_plans() -> None:
    rows = re.findall(r"^\| `(\w+)`.*? \| .*? \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", README, flags=re.MULTILINE)
    expected = []
    for name, policy in POLICIES.items():
        ratio = min(4000, policy.score_samples or 4000) / 16000
        plans = [(RunPlan(policy, RunShape(epochs=n, batches=500, val_ratio=ratio)), n) for n in (10, 30, 100)]
        expected.append((name, *(f"{1 + (plan.planned or 0.0) / n:.2f}" for plan, n in plans)))
    assert rows == expected
