"""A checkpoint of all ranks, without shards: each rank's random numbers. tests/integration/sharded has shards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from lightning_gammabo.trainer.snapshot.shared_checkpoint import fetch_rank_states, store_rank_states


def trainer(rank: int = 0, ranks: int = 1) -> Any:
    return SimpleNamespace(global_rank=rank, world_size=ranks, lightning_module=nn.Linear(1, 1))


@pytest.fixture
def gathers(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_gather_object(gathered: list[Any], mine: Any) -> None:
        gathered[:] = [f"{mine} of rank {rank}" for rank in range(len(gathered))]

    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather_object)


def checkpoint() -> dict[str, Any]:
    return {"state_dict": {"weight": torch.ones(1, 1)}, "optimizer_states": [{}]}


def test_of_one_process_the_state_stays_as_it_is() -> None:
    state: dict[str, Any] = {"resume": "state", "recovery": {"held": None}}
    file = checkpoint()
    store_rank_states(trainer(), state, file)
    fetch_rank_states(trainer(), state)
    assert state == {"resume": "state", "recovery": {"held": None}}
    assert file["optimizer_states"] == [{}]


@pytest.mark.usefixtures("gathers")
def test_every_rank_gets_its_own_random_numbers_back() -> None:
    for rank in range(3):
        state: dict[str, Any] = {"resume": "state"}
        store_rank_states(trainer(rank, 3), state, checkpoint())
        assert state["resume"] == {"ranks": ["state of rank 0", "state of rank 1", "state of rank 2"]}
        fetch_rank_states(trainer(rank, 3), state)
        assert state == {"resume": f"state of rank {rank}"}


@pytest.mark.usefixtures("gathers")
def test_with_more_ranks_than_before_some_share_a_state() -> None:
    state: dict[str, Any] = {"resume": "state"}
    store_rank_states(trainer(0, 2), state, checkpoint())
    fetch_rank_states(trainer(3, 4), state)
    assert state == {"resume": "state of rank 1"}


@pytest.mark.usefixtures("gathers")
def test_outside_of_a_fit_there_is_nothing_to_share() -> None:
    state: dict[str, Any] = {"resume": None}
    store_rank_states(trainer(0, 2), state, checkpoint())
    fetch_rank_states(trainer(0, 2), state)
    assert state == {"resume": None}


def test_whole_weights_that_are_held_are_no_shards() -> None:
    held = {"tensors": {"weight": torch.ones(1, 1)}, "optimizers": [{}]}
    state: dict[str, Any] = {"recovery": {"best_weights": {"held": held}}}
    file = checkpoint()
    store_rank_states(trainer(), state, file)
    fetch_rank_states(trainer(), state)
    assert torch.equal(state["recovery"]["best_weights"]["held"]["tensors"]["weight"], torch.ones(1, 1))
    assert file["optimizer_states"] == [{}]
