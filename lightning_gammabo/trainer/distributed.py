"""What processes that train together agree on."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.utilities.memory import is_oom_error

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["data_part", "joined_over_ranks", "mean_over_ranks", "out_of_memory_everywhere"]

Batches = dict[str, list[tuple[float, float]]]

ARRIVAL = timedelta(seconds=30)
"""how long a rank that ran out of memory waits for the others to have run out of it as well"""


def data_part(trainer: Trainer) -> tuple[int, int]:
    """Which part of the data this rank reads.

    Args:
        trainer: the Trainer, inside ``fit``.

    Returns:
        The part, from 0, and how many parts there are: one for each rank, but under tensor parallelism, where the
        ranks that share a layer read the same part.
    """
    sampled = getattr(trainer.strategy, "distributed_sampler_kwargs", None)
    if not sampled:
        return trainer.global_rank, trainer.world_size
    return int(sampled["rank"]), int(sampled["num_replicas"])


def mean_over_ranks(metrics: dict[str, float], world_size: int) -> dict[str, float]:
    """The mean over the ranks of what each logged.

    Args:
        metrics: this rank's metrics.
        world_size: number of ranks.

    Returns:
        The same on all ranks; a metric that only some ranks logged is averaged over those.

    Example:
        >>> mean_over_ranks({"val_loss": 0.5}, world_size=1)
        {'val_loss': 0.5}
    """
    if world_size == 1:
        return metrics
    gathered: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(gathered, metrics)
    names = dict.fromkeys(name for rank in gathered for name in rank)
    values = {name: [rank[name] for rank in gathered if name in rank] for name in names}
    return {name: sum(found) / len(found) for name, found in values.items()}


def joined_over_ranks(batches: Batches, world_size: int, part: int = 0) -> Batches:
    """What each rank measured batch by batch, as one list.

    Args:
        batches: this rank's batches, by metric.
        world_size: number of ranks.
        part: part of the data that this rank reads; of ranks that read the same one, only the first counts.

    Returns:
        The same on all ranks: the batches of rank 0, then those of rank 1, and so on.

    Example:
        >>> joined_over_ranks({"val_loss": [(0.5, 32.0)]}, world_size=1)
        {'val_loss': [(0.5, 32.0)]}
    """
    if world_size == 1:
        return batches
    gathered: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(gathered, (part, batches))
    by_part: dict[int, Batches] = {}
    for read, measured in gathered:
        by_part.setdefault(read, measured)
    joined: Batches = {}
    for measured in by_part.values():
        for name, values in measured.items():
            joined.setdefault(name, []).extend(values)
    return joined


def out_of_memory_everywhere(error: Exception, world_size: int) -> bool:
    """Whether a step ran out of memory, on all ranks, at a place from where all can go on together.

    A rank that runs out of memory alone leaves the others in a collective that it will not join: only the end of its
    process frees them. So each rank waits a while for the others, and then compares how many collectives were begun.

    Args:
        error: what the step raised on this rank.
        world_size: number of ranks.

    Returns:
        Whether it did, the same on all ranks that return.
    """
    if not (isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or is_oom_error(error)):
        return False
    if world_size == 1:
        return True
    groups: list[Any] = list(torch.distributed.distributed_c10d._world.pg_map)
    begun = [group._get_sequence_number_for_group() for group in groups]
    with contextlib.suppress(RuntimeError):  # a rank did not come in time
        group = torch.distributed.new_group(backend="gloo", timeout=ARRIVAL)
        gathered: list[Any] = [None] * world_size
        torch.distributed.all_gather_object(gathered, begun, group=group)
        torch.distributed.destroy_process_group(group)
        return all(other == begun for other in gathered)
    return False
