"""Size and order of a package's tree, and pictures of its rooms and of one epoch: what docs/house.md shows.

python -m benchmarks.house lightning_gammabo          # the numbers of this tree, or of another one's folder
python -m benchmarks.house lightning_gammabo --draw   # also docs/images/house-*.svg; rooms by the import table
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Mapping
from pathlib import Path

from tests.test_house import MAY_IMPORT, circle, modules_imported

RULES = MAY_IMPORT
"""room -> rooms that it may import: the table of tests/test_house.py"""
FLOORS = (
    ("cli",),
    ("callback",),
    ("scheduler",),
    ("policy", "trainer", "report"),
    ("bayesopt", "determinant", "learning_rate"),
    ("records",),
)
"""rooms from the top to the bottom; each imports from lower floors only"""
WHAT = {
    "callback": "arguments and hooks",
    "cli": "command line, YAML",
    "scheduler": "one fit: plan, search, commit, recovery",
    "policy": "when and how much",
    "trainer": "all of Lightning's insides",
    "report": "bars, tables, pictures",
    "bayesopt": "which rate next",
    "determinant": "scores and the winner",
    "learning_rate": "who writes the rate",
    "records": "what happened",
}
EPOCH = (
    ("hooks at the start", "of the epoch, all of them, once"),
    ("snapshot", "weights, optimizers, random numbers"),
    ("candidate", "restore, set the rate, train some batches"),
    ("cooling and score", "rate to zero, 256 validation samples"),
    ("choose", "the Determinant; the record is written"),
    ("commit", "the state before the cooling is put back"),
    ("rest of the epoch", "the Trainer's own loop, your callbacks"),
    ("tail", "validation, checkpoints, hooks at the end"),
)
"""a searched epoch, step by step; the third and the fourth are repeated for each candidate"""
WIDTH, HEIGHT, GAP, ROOM = 860, 66, 30, 264


def edges_of(folder: Path) -> dict[str, set[str]]:
    """Module -> modules of the package that it imports.

    Args:
        folder: the package.

    Returns:
        Paths within the folder.
    """
    sources = {p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8") for p in folder.rglob("*.py")}
    return {path: modules_imported(path, source, set(sources)) for path, source in sources.items()}


def lines_of(folder: Path) -> tuple[int, int]:
    """Lines of code, and of docstrings.

    Args:
        folder: the package.

    Returns:
        Lines that hold code, neither blank, comment nor docstring; and lines of docstrings.
    """
    code = docstrings = 0
    for path in folder.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        inside: set[int] = set()
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            first = node.body[0] if node.body else None
            if first is not None and ast.get_docstring(node, clean=False) is not None:
                inside |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
        docstrings += len(inside)
        for number, line in enumerate(source.splitlines(), start=1):
            code += number not in inside and bool(line.strip()) and not line.strip().startswith("#")
    return code, docstrings


def arguments_of(folder: Path) -> int:
    """Arguments of the callback, ``self`` not counted.

    Args:
        folder: the package.

    Returns:
        Their number.
    """
    tree = ast.parse((folder / "callback.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == "GammaLRSearch":
            inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
            return len(inits[0].args.args) + len(inits[0].args.kwonlyargs) - 1
    raise ValueError(f"no GammaLRSearch in {folder}")


def numbers(folder: Path) -> dict[str, int]:
    """The numbers of docs/house.md.

    Args:
        folder: the package.

    Returns:
        Name -> number.
    """
    edges = edges_of(folder)
    code, docstrings = lines_of(folder)
    entries = {path.split("/")[0] for path in edges}
    return {
        "entries at the top": len(entries),
        "modules": len(edges),
        "import edges": sum(map(len, edges.values())),
        "modules in or above a circle of imports": len(circle(edges)),
        "lines of code": code,
        "lines of docstring": docstrings,
        "arguments of the callback": arguments_of(folder),
    }


def drawing(table: Mapping[str, set[str]]) -> str:
    """The rooms as SVG: one row a floor, and below each name what the room may import.

    Args:
        table: room -> rooms that it may import.

    Returns:
        The picture.

    Raises:
        ValueError: if a room has no floor, or may import a room that is not below it.
    """
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    for room, others in table.items():
        wrong = [other for other in others if floor.get(other.split(".")[0], 0) < floor.get(room, 0)]
        if not room.startswith("__") and (room not in floor or wrong):
            raise ValueError(f"the room {room} needs a floor above all of {sorted(others)}")
    parts = []
    for number, rooms in enumerate(FLOORS):
        left = (WIDTH - len(rooms) * ROOM - (len(rooms) - 1) * GAP) / 2
        for place, room in enumerate(rooms):
            x, y = left + place * (ROOM + GAP), 10 + number * (HEIGHT + GAP)
            lower = {other for rooms in FLOORS[number + 1 :] for other in rooms}
            below = ", ".join(sorted(table[room])) or "nothing"
            if len(table[room]) > 3:
                below = "all below" if table[room] >= lower else f"{len(table[room])} of those below"
            parts.append(box(x, y, room, WHAT[room], f"imports {below}"))
    return svg("".join(parts), 20 + len(FLOORS) * (HEIGHT + GAP) - GAP)


def epoch_drawing() -> str:
    """A searched epoch as SVG, step by step, two steps a row.

    Returns:
        The picture.
    """
    parts = []
    for number, (name, what) in enumerate(EPOCH):
        x, y = 120 + (number % 2) * 356, 10 + number // 2 * (HEIGHT + GAP)
        note = "for each candidate" if number in (2, 3) else ""
        parts.append(box(x, y, f"{number + 1}. {name}", what, note))
    return svg("".join(parts), 20 + len(EPOCH) // 2 * (HEIGHT + GAP) - GAP)


def box(x: float, y: float, name: str, what: str, note: str) -> str:
    """A box with three lines.

    Args:
        x: left end.
        y: upper end.
        name: first line.
        what: second line.
        note: third line.

    Returns:
        Its SVG.
    """
    middle = x + ROOM / 2
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{ROOM}" height="{HEIGHT}" rx="6" fill="#eef3fb" stroke="#3b6ea5"/>'
        f'<text x="{middle:g}" y="{y + 22:g}" font-weight="bold">{name}</text>'
        f'<text x="{middle:g}" y="{y + 40:g}">{what}</text>'
        f'<text x="{middle:g}" y="{y + 57:g}" font-size="10" fill="#666">{note}</text>'
    )


def svg(inside: str, height: int) -> str:
    """A picture of full width.

    Args:
        inside: its elements.
        height: in pixels.

    Returns:
        The file's text.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12" text-anchor="middle"><rect width="100%" height="100%" fill="#fff"/>{inside}</svg>\n'
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draw", action="store_true")
    given = parser.parse_args()
    for what, number in numbers(given.folder).items():
        print(f"{what}: {number}")
    if given.draw:
        Path("docs/images/house-rooms.svg").write_text(drawing(RULES), encoding="utf-8")
        Path("docs/images/house-epoch.svg").write_text(epoch_drawing(), encoding="utf-8")
