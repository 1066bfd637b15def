"""Fits in several processes on this machine, started as torchrun starts them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 500.0
"""seconds after which a process is ended and the test has failed"""


@dataclass(frozen=True)
class Ranks:
    """How several processes ended."""

    codes: list[int]
    said: str
    """the end of what each wrote to its standard error"""
    seconds: float
    """until the last one ended"""


def run_ranks(module: str, *arguments: str, out: Path, processes: int, alone: bool = False) -> Ranks:
    """Run ``python -m module *arguments`` once for each rank, or once alone where a strategy starts its own ranks."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    group = {
        "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes), "GROUP_RANK": "0",
        "LOCAL_WORLD_SIZE": str(processes), "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip
    began = time.monotonic()
    with contextlib.ExitStack() as files:
        ranks = [
            subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env=environment if alone else {**environment, **group, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=subprocess.DEVNULL,
                stderr=files.enter_context((out / f"{rank}.err").open("w")),
            )
            for rank in range(1 if alone else processes)
        ]
        try:
            codes = [rank.wait(timeout=PATIENCE) for rank in ranks]
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
    said = "\n".join(path.read_text()[-3000:] for path in sorted(out.glob("*.err")))
    return Ranks(codes, said, time.monotonic() - began)
