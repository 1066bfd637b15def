"""The recipes for other libraries run, each where its library is installed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.docs.pages import ROOT, blocks_of, run_block

PAGE = ROOT / "docs" / "recipes_libraries.md"
INTRODUCTION, *SECTIONS = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def needed(section: str) -> list[str]:
    (names,) = re.findall(r"^<!-- needs: (.+) -->$", section, flags=re.MULTILINE)
    return [name.strip() for name in names.split(",")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("section", SECTIONS, ids=[section.splitlines()[0] for section in SECTIONS])
def test_the_recipe_runs(section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in needed(section):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed, and no dependency of the tests")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    blocks = [*blocks_of(INTRODUCTION), *blocks_of(section)]
    assert len(blocks) == 2
    for block in blocks:
        run_block(block, tmp_path, monkeypatch, names)
    found = names.get("search")
    if found is not None:
        assert len(found.history) == 1


def test_every_recipe_says_what_it_needs() -> None:
    assert [needed(section) for section in SECTIONS] == [
        ["transformers"],
        ["peft", "transformers"],
        ["timm"],
        ["torch_geometric"],
        ["darts"],
        ["neuralforecast"],
        ["scvi"],
    ]
