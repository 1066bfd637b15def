"""Fits in several processes on this machine, with the environment that torchrun gives them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.processes import ROOT, start

PATIENCE = 500.0
"""seconds after which a process is ended and the test has failed"""


@dataclass(frozen=True)
class Ranks:
    """How several processes ended."""

    codes: list[int]
    said: str
    """the end of what each wrote to its standard error"""


def run_ranks(module: str, *arguments: str, out: Path, processes: int) -> Ranks:
    """Run ``python -m module *arguments`` once for each rank."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    group = {
        "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes), "GROUP_RANK": "0",
        "LOCAL_WORLD_SIZE": str(processes), "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip
    ranks = [
        start(
            module, *arguments, out=Path(os.devnull), error=out / f"{rank}.err",
            environment={**group, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(processes)
    ]  # fmt: skip
    try:
        for rank in ranks:
            rank.join(timeout=PATIENCE)
        codes = [rank.exitcode for rank in ranks if rank.exitcode is not None]
        assert len(codes) == processes, f"after {PATIENCE} s only {len(codes)} of {processes} ranks had ended"
    finally:
        for rank in ranks:
            rank.kill()
            rank.join()
    return Ranks(codes, _ends(out))


def run_alone(module: str, *arguments: str, out: Path) -> Ranks:
    """Run ``python -m module *arguments`` once, where a strategy starts its own ranks."""
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (out / "0.err").open("w") as error:
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=error, timeout=PATIENCE, check=False
        )
    return Ranks([ended.returncode], _ends(out))


def _ends(out: Path) -> str:
    return "\n".join(path.read_text()[-3000:] for path in sorted(out.glob("*.err")))
