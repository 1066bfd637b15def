"""Processes of their own, forked from one that has only imported Lightning: importing it takes seconds."""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(
    module: str, *arguments: str, out: Path, error: Path, environment: Mapping[str, str] | None = None
) -> BaseProcess:
    """Begin what ``python -m module *arguments`` would run, from the clone's root.

    Its ``main`` is called with the arguments; ``out`` and ``error`` take what it writes to its standard streams.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["lightning.pytorch"])
    process = server.Process(target=_run, args=(module, arguments, str(out), str(error), dict(environment or {})))
    process.start()
    return process


def run(module: str, *arguments: str, out: Path, error: Path) -> None:
    """The same to its end, which has to be a good one."""
    process = start(module, *arguments, out=out, error=error)
    process.join(timeout=300)
    process.kill()
    assert process.exitcode == 0, error.read_text()[-3000:]


def _run(module: str, arguments: tuple[str, ...], out: str, error: str, environment: dict[str, str]) -> None:
    for path, stream in ((out, 1), (error, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.environ |= {"OMP_NUM_THREADS": "1", **environment}
    os.chdir(ROOT)
    importlib.import_module(module).main(*arguments)
