"""Strategies with several processes: the identity, one rank's trouble without a hang, and what is refused."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lightning_gammabo import SearchHistory
from tests.integration.identity.fingerprint import differences
from tests.integration.identity.strategy_fit import OWN_PROCESSES

ROOT = Path(__file__).parents[3]
PATIENCE = 500.0
WHOLE = os.environ.get("GAMMABO_MATRIX") == "whole"


def launch(out: Path, strategy: str, case: str, processes: int) -> tuple[list[int], str, float]:
    """Exit codes of all ranks, what they said, and the seconds until the last of them ended."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.integration.identity.strategy_fit", str(out), strategy, case]
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        ranks = []
        for rank in range(1 if strategy in OWN_PROCESSES else processes):
            own = {} if strategy in OWN_PROCESSES else {
                "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes), "GROUP_RANK": "0",
                "LOCAL_WORLD_SIZE": str(processes), "TORCHELASTIC_RUN_ID": "test", "RANK": str(rank),
                "LOCAL_RANK": str(rank),
            }  # fmt: skip
            said = stack.enter_context((out / f"{rank}.err").open("w"))
            ranks.append(
                subprocess.Popen(command, cwd=ROOT, env={**environment, **own}, stdout=subprocess.DEVNULL, stderr=said)
            )
        try:
            codes = [rank.wait(timeout=PATIENCE) for rank in ranks]
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
    return codes, "\n".join(path.read_text()[-3000:] for path in sorted(out.glob("*.err"))), time.monotonic() - began


CELLS = [
    ("ddp", 2),
    ("ddp", 3),
    ("ddp_find_unused_parameters_true", 2),
    ("ddp_find_unused_parameters_true", 3),
    ("ddp_spawn", 2),
    ("ddp_fork", 2),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "processes"), [cell for cell in CELLS if WHOLE or cell == ("ddp_find_unused_parameters_true", 2)]
)
def test_identity(strategy: str, processes: int, tmp_path: Path) -> None:
    codes, said, _ = launch(tmp_path, strategy, "identity", processes)
    assert set(codes) == {0}, said
    fits: dict[str, Any] = pickle.loads((tmp_path / "0.pkl").read_bytes())
    for rank in range(processes):
        assert differences(fits["plain"][rank], fits["one"][rank]) == [], f"one candidate, rank {rank}"
        assert fits["many"][rank]["parameters"] == fits["many"][0]["parameters"]
        if processes == 2:  # with three, the order of a sum depends on what DDP laid out before (docs/exactness.md)
            assert differences(fits["followed"][rank], fits["many"][rank]) == [], f"many candidates, rank {rank}"
    assert [record.epoch for record in SearchHistory.load(tmp_path / "many.jsonl")] == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3] if WHOLE else [2])
def test_a_candidate_that_diverges_on_one_rank_diverges_on_all(processes: int, tmp_path: Path) -> None:
    codes, said, _ = launch(tmp_path, "ddp", "diverges", processes)
    assert set(codes) == {0}, said
    ranks = [pickle.loads((tmp_path / f"{rank}.pkl").read_bytes()) for rank in range(processes)]
    for states, parameters in ranks:
        assert states == [["complete", "diverged", "diverged"]] * 2
        assert all(one == parameters[0] for one in parameters)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3] if WHOLE else [2])
def test_a_candidate_that_raises_on_one_rank_ends_all(processes: int, tmp_path: Path) -> None:
    codes, said, seconds = launch(tmp_path, "ddp", "raises", processes)
    assert all(code != 0 for code in codes)
    assert "boom on one rank" in said
    assert seconds < PATIENCE


@pytest.mark.slow
@pytest.mark.skipif(not WHOLE, reason="takes two processes; the message is tested in tests/unit/test_callback.py")
def test_a_strategy_that_shards_is_refused_at_set_up(tmp_path: Path) -> None:
    codes, said, _ = launch(tmp_path, "ddp", "refused", 2)
    assert all(code != 0 for code in codes)
    assert "GammaLRSearch cannot put back the state of ModelParallelStrategy: choose Trainer(strategy='ddp')" in said
