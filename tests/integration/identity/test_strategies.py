"""Strategies with several processes: the identity."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from lightning_gammabo import SearchHistory
from tests.helpers.matrix import WHOLE
from tests.helpers.ranks import run_alone, run_ranks
from tests.integration.identity.fingerprint import differences
from tests.integration.identity.strategy_fit import OWN_PROCESSES

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
def test_a_searched_fit_is_the_plain_one(strategy: str, processes: int, tmp_path: Path) -> None:
    command = ("tests.integration.identity.strategy_fit", str(tmp_path), strategy)
    alone = strategy in OWN_PROCESSES
    ranks = run_alone(*command, out=tmp_path) if alone else run_ranks(*command, out=tmp_path, processes=processes)
    assert set(ranks.codes) == {0}, ranks.said
    fits: dict[str, Any] = pickle.loads((tmp_path / "0.pkl").read_bytes())
    for rank in range(processes):
        assert differences(fits["plain"][rank], fits["one"][rank]) == [], f"one candidate, rank {rank}"
        assert fits["many"][rank]["parameters"] == fits["many"][0]["parameters"]
        if processes == 2:  # with three, the order of a sum depends on what DDP laid out before (docs/exactness.md)
            assert differences(fits["followed"][rank], fits["many"][rank]) == [], f"many candidates, rank {rank}"
    assert [record.epoch for record in SearchHistory.load(tmp_path / "many.jsonl")] == [0, 1]
