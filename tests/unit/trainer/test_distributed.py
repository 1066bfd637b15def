"""What ranks agree on, by a gathering of a test: each rank's object is given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lightning_gammabo.trainer.distributed import (
    data_part,
    joined_over_ranks,
    mean_over_ranks,
    out_of_memory_everywhere,
)


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the ranks after the first one hold; filled by the test."""
    held: list[Any] = []

    def all_gather_object(gathered: list[Any], mine: Any) -> None:
        gathered[:] = [mine, *held]

    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather_object)
    return held


def test_one_process_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "all_gather_object", None)
    metrics, batches = {"val_loss": 0.5}, {"val_loss": [(0.5, 32.0)]}
    assert mean_over_ranks(metrics, 1) is metrics
    assert joined_over_ranks(batches, 1) is batches


def test_metrics_are_averaged_over_the_ranks_that_logged_them(others: list[Any]) -> None:
    others += [{"val_loss": 4.0, "own": 7.0}, {"val_loss": 6.0}]
    assert mean_over_ranks({"val_loss": 2.0, "val_acc": 0.5}, 3) == {"val_loss": 4.0, "val_acc": 0.5, "own": 7.0}


def test_a_loss_that_is_not_finite_on_one_rank_is_not_finite_on_all(others: list[Any]) -> None:
    others.append({"val_loss": float("inf")})
    assert mean_over_ranks({"val_loss": 1.0}, 2) == {"val_loss": float("inf")}


def test_batches_are_joined_in_the_order_of_the_ranks(others: list[Any]) -> None:
    others += [(1, {"val_loss": [(2.0, 8.0)], "own": [(1.0, 1.0)]}), (2, {})]
    joined = joined_over_ranks({"val_loss": [(0.5, 8.0), (1.5, 4.0)]}, 3, 0)
    assert joined == {"val_loss": [(0.5, 8.0), (1.5, 4.0), (2.0, 8.0)], "own": [(1.0, 1.0)]}


def test_ranks_that_read_the_same_part_count_once(others: list[Any]) -> None:
    others += [(0, {"val_loss": [(0.5, 8.0)]}), (1, {"val_loss": [(2.0, 8.0)]}), (1, {"val_loss": [(2.0, 8.0)]})]
    assert joined_over_ranks({"val_loss": [(0.5, 8.0)]}, 4, 0) == {"val_loss": [(0.5, 8.0), (2.0, 8.0)]}


def test_the_part_of_the_data_is_the_samplers() -> None:
    sharded = SimpleNamespace(distributed_sampler_kwargs={"num_replicas": 2, "rank": 1})
    trainer: Any = SimpleNamespace(strategy=sharded, global_rank=3, world_size=4)
    assert data_part(trainer) == (1, 2)
    trainer.strategy = SimpleNamespace()
    assert data_part(trainer) == (3, 4)


@pytest.mark.parametrize(
    ("error", "starved"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_one_process_knows_by_itself_whether_memory_ran_out(error: Exception, starved: bool) -> None:
    assert out_of_memory_everywhere(error, 1) is starved
