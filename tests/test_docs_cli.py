"""Every block of docs/cli.md runs, in order, in one folder."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from lightning_gammabo import LRSchedule, SearchHistory
from lightning_gammabo.environment import VARIABLE

pytest.importorskip("jsonargparse")
PAGE = (Path(__file__).parent.parent / "docs" / "cli.md").read_text(encoding="utf-8")


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of a shell, in this process: Lightning is imported only once."""
    words = shlex.split(command)
    with monkeypatch.context() as patch:
        while re.fullmatch(r"\w+=.*", words[0]):
            name, _, value = words.pop(0).partition("=")
            patch.setitem(os.environ, name, value)
        assert words.pop(0) == "python", command
        module = words.pop(0) == "-m"
        patch.setattr(sys, "argv", words if module else ["main.py", *words])
        # as `-m` would find it
        path = Path(str(importlib.util.find_spec(words[0]).origin)).with_name("__main__.py") if module else "main.py"
        runpy.run_path(str(path), run_name="__main__")


@pytest.mark.filterwarnings("ignore")
def test_the_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    blocks = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)
    fits, searched = 0, []
    monkeypatch.setattr("lightning_gammabo.callback.history_table", lambda history: searched.append(len(history)))
    try:
        for kind, text in blocks:
            name = re.match(r"# (\w+\.\w+)\n", text)
            if name is not None:
                (tmp_path / name[1]).write_text(text)
                continue
            if kind == "python":
                exec(text, {"__name__": "block"})
                continue
            assert kind == "bash"
            for line in text.splitlines():
                Path("config.yaml").unlink(missing_ok=True)
                run(line, monkeypatch)
                fits += line.count(" fit ")
    finally:
        for name in ("model", "own"):
            sys.modules.pop(name, None)
    assert len(blocks) == 12
    # one of the fits replays, and so does a block of Python
    assert fits == 7
    assert searched == [1, 3, 1, 1, 1, 1]
    assert len(SearchHistory.from_jsonl((tmp_path / "searched" / "history.jsonl").read_text())) == 1
    assert len(LRSchedule.load(tmp_path / "found.yaml").rates) == 3
    assert "schedule of 3 epochs: found.yaml" in capsys.readouterr().out
