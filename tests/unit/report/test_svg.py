from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from lightning_gammabo.report.style import BLUE, panels
from lightning_gammabo.report.svg import inline_svg, page_style

plt = pytest.importorskip("matplotlib.pyplot")
HOSTILE = "</svg><script>window.harmed = 1</script>\"'&"


def drawn(name: str = "one", words: str = "a line") -> str:
    with page_style(4.0):
        (axes,) = panels(3.0)
        axes.plot([0.0, 1.0], [0.0, 1.0], color=BLUE, marker="o")
        axes.set_title(HOSTILE)
        return inline_svg(axes.figure, name, words)


def attributes(svg: str, key: str) -> list[str]:
    return [element.attrib[key] for element in ElementTree.fromstring(svg).iter() if key in element.attrib]


def test_it_says_what_it_shows_and_how_wide_it_is() -> None:
    root = ElementTree.fromstring(drawn(words=HOSTILE))
    assert root.tag == "svg"
    assert root.attrib == {"viewBox": "0 0 288 169.714", "role": "img", "aria-label": HOSTILE}


def test_words_are_words_and_no_elements() -> None:
    root = ElementTree.fromstring(drawn())
    assert {element.tag for element in root.iter()} <= {"svg", "g", "path", "text", "defs", "clipPath", "rect", "use"}
    assert HOSTILE in {element.text for element in root.iter("text")}


def test_ids_are_its_own_and_every_reference_is_met() -> None:
    for name in ("one", "two"):
        svg = drawn(name)
        ids = attributes(svg, "id")
        assert ids
        assert all(one.startswith(f"{name}-") for one in ids)
        used = set(re.findall(r"url\(#([^)]+)\)", svg)) | {value[1:] for value in attributes(svg, "href")}
        assert used == set(ids)


def test_colours_are_the_pages() -> None:
    styles = " ".join(attributes(drawn(), "style"))
    assert "var(--blue)" in styles
    assert "currentColor" in styles
    assert "#0072b2" not in styles.lower()
    assert "#010203" not in styles


def test_the_same_figure_makes_the_same_element() -> None:
    assert drawn() == drawn()


def test_the_style_of_the_page_ends_with_its_block_and_knows_nothing_of_the_users() -> None:
    plt.rcParams["lines.linewidth"] = 9.0
    before: dict[str, Any] = dict(plt.rcParams)
    with page_style(4.0):
        assert plt.rcParams["lines.linewidth"] == 1.5
    assert dict(plt.rcParams) == before
    plt.rcParams["lines.linewidth"] = 1.5
