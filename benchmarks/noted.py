"""Experiments that go on where they were cut off: a run is a JSON line, and one that is noted is not made again."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import math
import multiprocessing
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def rounded(value: float) -> float | None:
    """Six significant digits; a null for what is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def numbers(text: str) -> list[int]:
    """``0-4`` or ``0,2,5``."""
    first, dash, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else [int(part) for part in text.split(",")]


def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def note(row: Row, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def forget(path: Path, *, which: Callable[[Row], bool]) -> None:
    """Take rows out of a file, to have them measured again."""
    kept = [row for row in read_rows(path) if not which(row)]
    if path.exists():
        path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")


def versions(*packages: str) -> Row:
    found = {"python": platform.python_version()}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # a peer that nobody installed ran nothing
            found[name] = importlib.metadata.version(name)
    return found


def missing(settings: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """Settings of which no row tells."""
    return [s for s in settings if not any(s.items() <= row.items() for row in rows)]


def run_all(
    settings: Sequence[Any],
    measure: Callable[..., Row],
    say: Callable[[Row], str],
    path_of: Callable[[Row], Path],
    *,
    jobs: int = 1,
    arguments: Sequence[Any] = (),
) -> None:
    """Measure each setting in one of ``jobs`` processes, note it at once, and say how much time is left."""
    began = time.perf_counter()
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as workers:
        waiting = [workers.submit(measure, setting, *arguments) for setting in settings]
        for done, future in enumerate(as_completed(waiting), start=1):
            row = future.result()
            note(row, path_of(row))
            left = (time.perf_counter() - began) / done * (len(settings) - done)
            print(f"{done}/{len(settings)}, {left / 60:.1f} min left: {say(row)}", flush=True)
