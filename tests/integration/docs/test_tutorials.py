"""The cells of every tutorial run, one after the other, and are kept without what they print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.logs import log_levels_kept
from tests.integration.docs.pages import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))


def cells_of(notebook: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return cells


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_cells_run(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("sklearn", "jinja2", "matplotlib"):
        pytest.importorskip(package)
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        with log_levels_kept():
            for cell in cells_of(notebook):
                if cell["cell_type"] == "code":
                    exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    finally:
        plt.close("all")
    assert len(names["search"].history) >= 1
    assert (tmp_path / "report.html").stat().st_size > 10_000
    accuracy = {line.split()[0]: eval(line.partition(" ")[2])["test_acc"] for line in judged(capsys.readouterr().out)}
    assert accuracy["searched"] > accuracy["plain"] + 0.1
    assert accuracy["replayed"] > accuracy["plain"] + 0.1


def judged(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith(("plain {", "searched {", "replayed {"))]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_that_was_printed_is_kept(notebook: Path) -> None:
    code = [cell for cell in cells_of(notebook) if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)


def test_there_is_a_tutorial() -> None:
    assert [notebook.name for notebook in NOTEBOOKS] == ["first_search.ipynb"]
