"""Strategies with several processes: the identity, one rank's trouble without a hang, and what is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from lightning_gammabo import SearchHistory
from tests.helpers.ranks import PATIENCE, Ranks, run_ranks
from tests.integration.identity.fingerprint import differences
from tests.integration.identity.strategy_fit import OWN_PROCESSES

WHOLE = os.environ.get("GAMMABO_MATRIX") == "whole"


def launch(out: Path, strategy: str, case: str, processes: int) -> Ranks:
    module, alone = "tests.integration.identity.strategy_fit", strategy in OWN_PROCESSES
    return run_ranks(module, str(out), strategy, case, out=out, processes=processes, alone=alone)


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
    ranks = launch(tmp_path, strategy, "identity", processes)
    assert set(ranks.codes) == {0}, ranks.said
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
    ranks = launch(tmp_path, "ddp", "diverges", processes)
    assert set(ranks.codes) == {0}, ranks.said
    for rank in range(processes):
        states, parameters = pickle.loads((tmp_path / f"{rank}.pkl").read_bytes())
        assert states == [["complete", "diverged", "diverged"]] * 2
        assert all(one == parameters[0] for one in parameters)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3] if WHOLE else [2])
def test_a_candidate_that_raises_on_one_rank_ends_all(processes: int, tmp_path: Path) -> None:
    ranks = launch(tmp_path, "ddp", "raises", processes)
    assert all(code != 0 for code in ranks.codes)
    assert "boom on one rank" in ranks.said
    assert ranks.seconds < PATIENCE
