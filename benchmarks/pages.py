"""Pages of the docs that are made by a program: Markdown tables, the marked part that they replace, pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Put text between two marks of a page, in place of what stands there."""
    whole = page.read_text(encoding="utf-8")
    before, after = whole.split(begin)[0], whole.split(end)[1]
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")


def save_picture(figure: Figure, path: Path) -> Path:
    """Write a picture whose bytes depend on what is drawn alone: without date, version and random names."""
    import matplotlib as mpl  # an extra; pages of words do without

    with mpl.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, dpi=100, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})
    return path
