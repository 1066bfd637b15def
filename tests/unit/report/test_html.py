from __future__ import annotations

import dataclasses
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lightning_gammabo.records import SearchHistory
from lightning_gammabo.report.html import write_report
from tests.unit.report.histories import HOSTILE, hostile_history, searched_epoch, searched_history, trained_history

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")


class Reader(HTMLParser):
    """Elements with their attributes, the text of each table's cells, and all words outside scripts and styles."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.words += data
        if self._open and self._open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    path = tmp_path_factory.mktemp("report") / "new" / "folder" / "report.html"
    confusion = {0: {"cm": [[40, 2], [1, 30]]}, 1: {"cm": [[41, 1], [1, 30]]}}
    history = trained_history()
    cost = {"seconds of the whole fit": 12.3456, "device": "a laptop"}
    assert write_report(history, path, cost=cost, notes=["One seed."], confusion=confusion) == path
    return Reader(path)


def test_summary_pictures_and_tables(report: Reader) -> None:
    for words in (
        "What was searched",
        "2 epochs (0 to 1) searched with 14 candidates",
        "12.35",
        "a laptop",
        "One seed.",
        "started: 2026-11-28T18:00:00+00:00",
        "torch version: 2.13",
        "policy.first_random: 4",
        "Not searched: epochs 2 and 3 (one search in 2 epochs, by its price).",
        "epoch 3 went back to the end of epoch 1: 1 epoch lost (x)",
        "at the start of epoch 3 the run went back to the end of epoch 1",
        "Cost: 3.65x a plain fit of 4 epochs (estimated: at most 2.00x)",
        "It is not Cohen's kappa.",
    ):
        assert words in report.words
    labels = [svg["aria-label"] for svg in report.all("svg")]
    assert len(labels) == 2 + 2 + 2 * 2
    assert all(labels)
    assert {svg["role"] for svg in report.all("svg")} == {"img"}
    epochs, candidates = report.tables
    assert [row[0] for row in epochs] == ["epoch", "0", "1", "2x", "3<1"]
    assert epochs[0] == ["epoch", "peak", "rate", "loss", "accuracy", "kappa", "score", "tried", "passes", "time"]
    assert [row[3] for row in epochs[1:]] == ["0.500", "0.400", "5.00", "0.300"]
    assert len(candidates) == 15
    assert candidates[0] == [
        "epoch", "candidate", "committed", "rate", "state", "score", "kappa", "loss", "accuracy", "passes", "seconds",
        "origin", "message", "val_f1",
    ]  # fmt: skip
    assert [row[2] for row in candidates[1:]].count("committed") == 2
    first = searched_epoch(0).results[0]
    assert candidates[1][3:6] == [f"{first.lr:.2e}", "diverged", "-"]


def test_a_lost_epoch_is_struck_through_and_its_candidate_was_not_committed(tmp_path: Path) -> None:
    history = trained_history()
    lost = SearchHistory([*history, dataclasses.replace(history[1], epoch=2)], history.trained)
    page = Reader(write_report(lost, tmp_path / "report.html"))
    assert [row["class"] for row in page.all("tr") if "class" in row] == ["lost", "kept", "kept"]
    assert [row[2] for row in page.tables[1] if row[0] == "2" and row[2]] == ["lost"]


def test_ids_are_unique_and_every_reference_is_met(report: Reader) -> None:
    ids = [attributes["id"] for _, attributes in report.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    values = [value or "" for _, attributes in report.elements for value in attributes.values()]
    used = {name for value in values for name in re.findall(r"url\(#([^)]+)\)", value)}
    used |= {value[1:] for tag, attributes in report.elements if tag == "use" and (value := attributes["href"] or "")}
    assert len(used) > 20
    assert used <= set(ids)


def test_it_holds_no_address(report: Reader) -> None:
    values = [value or "" for _, attributes in report.elements for value in attributes.values()]
    assert not [value for value in values if re.search(r"https?:|//", value)]
    assert [tag for tag, _ in report.elements if tag in ("link", "iframe", "object", "embed", "base")] == []
    (policy,) = [meta["content"] or "" for meta in report.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_the_pictures_use_the_pages_colours(report: Reader) -> None:
    styles = " ".join(str(attributes.get("style")) for _, attributes in report.elements)
    assert "currentColor" in styles
    assert {f"var(--{name})" for name in ("blue", "orange", "green", "grey", "paper")} <= set(
        re.findall(r"var\(--\w+\)", styles)
    )
    assert re.findall(r"#[0-9a-f]{6}", styles) == []


def test_the_same_history_makes_the_same_file(tmp_path: Path) -> None:
    one, two = (
        write_report(SearchHistory([searched_epoch(0, n=3)]), tmp_path / name).read_bytes()
        for name in ("a.html", "b.html")
    )
    assert one == two


def test_hostile_words_are_words(tmp_path: Path) -> None:
    path = write_report(hostile_history(), tmp_path / "r.html", title=HOSTILE, cost={HOSTILE: HOSTILE}, notes=[HOSTILE])
    page = Reader(path)
    assert len(page.all("script")) == 1
    assert page.all("img") == page.all("b") == []
    assert page.all("title") == [{}]
    assert page.words.count(HOSTILE) >= 8
    assert HOSTILE in page.tables[1][0]
    assert "<script>window" not in path.read_text(encoding="utf-8")


def test_an_empty_history_is_a_page_of_words(tmp_path: Path) -> None:
    page = Reader(write_report(SearchHistory(), tmp_path / "report.html"))
    assert "No epoch was searched." in page.words
    assert page.tables == page.all("svg") == []


def test_a_search_without_surrogate_says_so(tmp_path: Path) -> None:
    page = Reader(write_report(SearchHistory([searched_epoch(0, "grid")]), tmp_path / "report.html"))
    assert "epoch 0: the sampler 'grid' has no surrogate to show" in page.words
    assert len(page.all("svg")) == 3


def test_pictures_of_many_epochs_are_spread(tmp_path: Path) -> None:
    grid = searched_epoch(0, "grid", n=3)
    history = SearchHistory(dataclasses.replace(grid, epoch=epoch) for epoch in range(30))
    page = Reader(write_report(history, tmp_path / "report.html"))
    shown = [int(n) for n in re.findall(r"epoch (\d+): the sampler", page.words)]
    assert (len(shown), shown[0], shown[-1]) == (8, 0, 29)
    assert "Pictures are shown of 8 epochs" in page.words
    assert [len(table) for table in page.tables] == [31, 91]


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_without_a_package_the_words_say_what_to_install(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ModuleNotFoundError, match=rf"A report needs {package}: pip install 'lightning_gammabo\[report\]'"
    ):
        write_report(searched_history(1), tmp_path / "report.html")
