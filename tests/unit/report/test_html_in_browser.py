"""What a reader's browser makes of the report: phone and desk, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_gammabo.report.html import write_report
from tests.unit.report.browser import CHROMIUM, Page
from tests.unit.report.histories import HOSTILE, hostile_history, searched_history

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"),
    pytest.mark.timeout(240),
]

CONTRAST = """
(() => {
  const monitor = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = colour => {
    monitor.clearRect(0, 0, 1, 1); monitor.fillStyle = colour; monitor.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = monitor.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const light = colour => colour.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] > 0) return colour;
    }
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest("script")) continue;
    const style = getComputedStyle(element), svg = element.closest("svg");
    const [a, b] = [light(rgba(svg ? style.fill : style.color)), light(ground(element))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), walker.currentNode.data.trim()]);
  }
  return found;
})()
"""
DATA = """
[...document.querySelectorAll("svg [style]")].flatMap(e => [e.style.fill, e.style.stroke])
  .filter(colour => colour.startsWith("var"))
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with Page() as page:
        yield page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    confusion = {0: {"cm": [[40, 2, 0], [1, 30, 5], [0, 0, 22]]}}
    return write_report(searched_history(2), tmp_path_factory.mktemp("report") / "report.html", confusion=confusion)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "report.html"
    return write_report(hostile_history(), path, title=HOSTILE, cost={HOSTILE: HOSTILE}, notes=[HOSTILE])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("which", ["report", "hostile"])
def test_it_fits_reads_well_and_asks_for_nothing(
    page: Page, which: str, width: int, scheme: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(which)
    page.events.clear()
    page.show(path, width=width, scheme=scheme)
    page.js("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.js("document.documentElement.scrollWidth") <= width
    assert page.js("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    contrasts = page.js(CONTRAST)
    assert len(contrasts) > 100
    assert [pair for pair in contrasts if pair[0] < 4.5] == []  # WCAG 2.2, 1.4.3
    assert page.js("[...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().width > 200)")
    assert page.heard("Runtime.exceptionThrown") == []
    assert page.heard("Log.entryAdded") == []
    assert page.heard("Runtime.consoleAPICalled") == []
    asked = {event["request"]["url"] for event in page.heard("Network.requestWillBeSent")}
    assert asked <= {path.as_uri()} | {url for url in asked if url.startswith("data:")}


def test_the_pictures_take_the_pages_colours(page: Page, report: Path) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        page.show(report, width=1400, scheme=scheme)
        assert {"var(--blue)", "var(--orange)", "var(--green)"} <= set(page.js(DATA))
        colours.add(page.js("getComputedStyle(document.querySelector('svg text')).fill"))
    assert len(colours) == 2


def test_the_table_sorts_on_a_click(page: Page, report: Path) -> None:
    page.show(report, width=1400, scheme="light")
    column = """((name) => {
      const heads = [...document.querySelectorAll("#candidates th")], k = heads.findIndex(h => h.textContent === name);
      return [...document.querySelectorAll("#candidates tbody tr")].map(row => row.cells[k].textContent);
    })"""
    click = """((name) => {
      const head = [...document.querySelectorAll("#candidates th")].find(h => h.textContent === name);
      head.firstChild.click();
      return head.getAttribute("aria-sort");
    })"""
    before = page.js(f"{column}('rate')")
    numbers = [float(text) for text in before]
    assert numbers != sorted(numbers)
    assert page.js(f"{click}('rate')") == "ascending"
    assert [float(text) for text in page.js(f"{column}('rate')")] == sorted(numbers)
    assert page.js(f"{click}('rate')") == "descending"
    assert [float(text) for text in page.js(f"{column}('rate')")] == sorted(numbers, reverse=True)
    for direction in ("ascending", "descending"):  # candidates without a score come last either way
        assert page.js(f"{click}('score')") == direction
        scores = page.js(f"{column}('score')")
        assert scores[-1] == "-"
        assert "-" not in scores[: scores.index("-")]
    assert page.js(f"{click}('state')") == "ascending"
    assert page.js(f"{column}('state')") == sorted(page.js(f"{column}('state')"))
    assert page.js("document.querySelectorAll('[aria-sort]').length") == 1


def test_no_hostile_word_becomes_an_element(page: Page, hostile: Path) -> None:
    page.show(hostile, width=1400, scheme="light")
    assert page.js("document.title") == HOSTILE
    assert page.js("document.scripts.length") == 1
    assert page.js("document.querySelectorAll('img, iframe, object, b').length") == 0
    assert page.js("window.harmed === undefined")
    assert HOSTILE in page.js("document.getElementById('candidates').textContent")
