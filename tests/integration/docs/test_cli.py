"""Every block of docs/cli.md runs, in order, in one folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_gammabo import LRSchedule, SearchHistory
from lightning_gammabo.cli.environment import VARIABLE
from lightning_gammabo.report.publish import Publisher
from tests.integration.docs.pages import ROOT, blocks_of, run_page

pytest.importorskip("jsonargparse")
PAGE = Path("docs/cli.md")


@pytest.mark.filterwarnings("ignore")
def test_the_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    searched: list[int] = []
    ended = Publisher.ended
    monkeypatch.setattr(Publisher, "ended", lambda show, *given: (searched.append(len(given[1])), ended(show, *given)))
    assert run_page(PAGE, tmp_path, monkeypatch) == 12
    # one of the fits replays, and so does a block of Python
    blocks = list(blocks_of((ROOT / PAGE).read_text(encoding="utf-8")))
    assert sum(command.count(" fit ") for block in blocks if block.kind == "bash" for command in block.commands) == 7
    assert searched == [1] * 6
    assert len(SearchHistory.from_jsonl((tmp_path / "searched" / "history.jsonl").read_text())) == 1
    assert len(LRSchedule.load(tmp_path / "found.yaml").rates) == 3
    assert "schedule of 3 epochs: found.yaml" in capsys.readouterr().out
