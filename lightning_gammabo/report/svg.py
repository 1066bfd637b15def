"""A figure as SVG within a page: in the page's colours, light or dark, with names of its own."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lightning_gammabo.report.style import BLUE, GREEN, GREY, ORANGE, apart

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from matplotlib.figure import Figure

__all__ = ["inline_svg", "page_style"]

_INK = "#010203"
"""drawn with where the page's own ink is meant; no data has this colour"""
_PAGE = {
    _INK: "currentColor",
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
    BLUE.lower(): "var(--blue)",
    ORANGE.lower(): "var(--orange)",
    GREEN.lower(): "var(--green)",
    GREY.lower(): "var(--grey)",
}
"""matplotlib's colour -> the page's, which :file:`templates/report.html.j2` has for light and dark"""
_SVG = "{http://www.w3.org/2000/svg}"
_COLOUR = re.compile(r"#[0-9a-f]{6}\b", re.IGNORECASE)
_REFERENCE = re.compile(r"url\(#([^)]+)\)|^#(.+)$")


@contextmanager
def page_style(width: float) -> Iterator[None]:
    """Draw for a page: narrow figures, clear ground, words as words.

    Args:
        width: of the figures, in inches of 72 of the page's pixels.
    """
    import matplotlib

    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    style: dict[Any, Any] = dict.fromkeys(inked, _INK)
    style |= {"figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none"}
    with matplotlib.rc_context(), apart(width):
        # whatever style the user has set, the page has its own
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**style, "svg.fonttype": "none", "font.family": "sans-serif"})
        yield


def inline_svg(figure: Figure, name: str, words: str) -> str:
    """The figure as an element for an HTML page.

    Args:
        figure: drawn within :func:`page_style`.
        name: unlike that of any other figure of the page; plain letters, digits and hyphens.
        words: what the picture shows, for those who do not see it.

    Returns:
        An ``svg`` element; all text in it is escaped.
    """
    from xml.etree import ElementTree  # Lightning is imported without it

    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(buffer.getvalue().encode("utf-8"))
    used = {reference for element in root.iter() for reference in _references(element)}
    for parent in list(root.iter()):
        for child in list(parent):
            # a style within would hold for the whole page; the page has the same for its pictures alone
            if not child.tag.startswith(_SVG) or child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for element in root.iter():
        _settle(element, used, name)
    width, height = (float(number) for number in root.attrib["viewBox"].split()[2:])
    root.attrib.clear()
    root.attrib |= {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria-label": words}
    return ElementTree.tostring(root, encoding="unicode")


def _references(element: Element) -> Iterator[str]:
    for value in element.attrib.values():
        for in_url, alone in _REFERENCE.findall(value):
            yield in_url or alone


def _settle(element: Element, used: set[str], name: str) -> None:
    # without namespaces, as HTML has it; names that nothing refers to go, others become this figure's own
    element.tag = element.tag.rpartition("}")[2]
    settled = {}
    for key, value in element.attrib.items():
        if key == "id":
            if value not in used:
                continue
            value = f"{name}-{value}"
        elif not value.startswith("data:"):
            value = _REFERENCE.sub(lambda m: f"url(#{name}-{m[1]})" if m[1] else f"#{name}-{m[2]}", value)
            value = _COLOUR.sub(lambda m: _PAGE.get(m[0].lower(), m[0]), value) if key == "style" else value
        settled[key.rpartition("}")[2]] = value
    element.attrib.clear()
    element.attrib.update(settled)
