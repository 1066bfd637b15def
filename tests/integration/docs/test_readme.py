"""What the README shows runs, and the tables and costs of the policies are the code's."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.policy import POLICIES
from lightning_gammabo.records.run import RunShape
from lightning_gammabo.scheduler.run_plan import RunPlan
from tests.integration.docs.pages import ROOT, run_page


def plan_of(name: str, epochs: int) -> RunPlan:
    """The plan at 500 batches of 32 and 4,000 validation samples."""
    samples = POLICIES[name].score_samples
    ratio = (4000 if samples == "all" else min(4000, samples)) / 16000
    return RunPlan(POLICIES[name], RunShape(epochs=epochs, batches=500, val_ratio=ratio))


@pytest.mark.filterwarnings("ignore:.*unclosed file.*:ResourceWarning")
def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_page(Path("README.md"), tmp_path, monkeypatch) == 2
    assert "10 epochs trained" in capsys.readouterr().out
    # a head and one line for each candidate
    assert 4 <= (tmp_path / "history.csv").read_text().count("\n") <= 8
    assert (tmp_path / "found.yaml").exists()


def usual(name: str, epochs: int) -> str:
    extra = plan_of(name, epochs).usual
    assert extra is not None
    return f"{1 + extra / epochs:.2f}"


def test_the_usual_costs_are_the_plans() -> None:
    ten, forty, once = usual("epochwise", 10), usual("epochwise", 40), usual("once", 40)
    page = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
    assert f"usually cost less: {ten} at 10 epochs, and {forty} and {once} at 40" in page


def test_the_policies_costs_are_the_plans() -> None:
    page = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)`.*? \| .*? \| " + r"([\d.]+) \| " * 3 + r"([\d.]+) \|$", page, flags=re.MULTILINE)
    expected = []
    for name in POLICIES:
        plans = [(plan_of(name, epochs), epochs) for epochs in (3, 10, 40, 100)]
        expected.append((name, *(f"{1 + (plan.planned or 0.0) / epochs:.2f}" for plan, epochs in plans)))
    assert rows == expected


def test_the_arguments_are_the_signatures() -> None:
    page = (ROOT / "docs" / "policies_reference.md").read_text(encoding="utf-8")
    table = page.partition("## Arguments")[2].partition("##")[0]
    rows = re.findall(r"^\| (`\w+`.*?) \| (.*?) \| ", table, flags=re.MULTILINE)
    shown = {}
    for names, default in rows:
        shown |= dict.fromkeys(re.findall(r"`(\w+)`", names), ast.literal_eval(default.strip("`")))
    parameters = inspect.signature(GammaLRSearch).parameters.values()
    assert shown == {parameter.name: parameter.default for parameter in parameters}
