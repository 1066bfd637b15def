from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path

import pytest

from lightning_gammabo.records import SearchHistory
from tests.helpers.logs import log_levels_kept

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(autouse=True)
def lightning_speaks_again():
    with log_levels_kept():
        yield


def run(name: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.syspath_prepend(EXAMPLES)
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib").use("Agg")
    run("digits.py", "--epochs=1", "--policy=thesis", "--first-model=1", f"--out={tmp_path}", monkeypatch=monkeypatch)

    out = capsys.readouterr().out
    assert "1078 images to train, 359 to choose rates by, 360 to judge by" in out
    lines = [line.split("  ") for line in out.splitlines() if line.startswith(("searched", "constant", "cosine"))]
    plain = [f"{kind}, lr 0.01{cost}" for kind in ("constant", "cosine") for cost in ("", ", same cost")]
    assert [line[0] for line in lines if len(line) > 5] == ["searched", *plain]

    history = SearchHistory.from_jsonl((tmp_path / "history.jsonl").read_text())
    assert [len(record.results) for record in history] == [3]
    assert history[0].train_passes == 3.0
    assert len(list(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))) == 3
    assert (tmp_path / "schedule.png").read_bytes().startswith(b"\x89PNG")
    assert "1 epoch (0) searched" in (tmp_path / "report.html").read_text(encoding="utf-8")
