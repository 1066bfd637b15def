"""What processes that train together agree on."""

from __future__ import annotations

import contextlib
import enum
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.utilities.memory import is_oom_error

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = [
    "ErrorKind",
    "data_part",
    "error_over_ranks",
    "joined_over_ranks",
    "mean_over_ranks",
    "out_of_memory_everywhere",
]

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


class ErrorKind(enum.IntEnum):
    """What a step raised; of several ranks the highest counts."""

    OTHER = 1
    OUT_OF_MEMORY = 2


def error_over_ranks(error: Exception | None, device: torch.device, world_size: int) -> ErrorKind | None:
    """What a step raised on any rank; to be called on all ranks after it.

    A rank that raises in the middle of a step may leave the others in a collective that it will not join: only the end
    of its process frees them. So such a rank waits for them for a while, and then lets its exception through.

    Args:
        error: what the step raised on this rank; None for nothing.
        device: of the ranks' collectives.
        world_size: number of ranks.

    Returns:
        What was raised; None where no rank raised.

    Raises:
        Exception: this rank's own, where the ranks cannot go on together.
    """
    begun = _collectives_begun()
    kind = torch.tensor(0 if error is None else int(_kind_of(error)), device=device)
    work = torch.distributed.all_reduce(kind, torch.distributed.ReduceOp.MAX, async_op=True)
    assert work is not None
    if error is None:
        work.wait()
    else:
        _wait(work, error)
    if int(kind) == 0:
        return None
    gathered: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(gathered, begun)
    if any(other != begun for other in gathered):
        raise error or RuntimeError("another rank raised in the middle of a step, and the ranks cannot go on together")
    return ErrorKind(int(kind))


def out_of_memory_everywhere(error: Exception, world_size: int) -> bool:
    """Whether a step ran out of memory, on all ranks, at a place from where all can go on together.

    Args:
        error: what was raised on this rank.
        world_size: number of ranks.

    Returns:
        Whether it did, the same on all ranks that return.
    """
    agreed: bool | None = getattr(error, "out_of_memory", None)
    if agreed is not None:
        return agreed
    if _kind_of(error) is not ErrorKind.OUT_OF_MEMORY:
        return False
    if world_size == 1:
        return True
    begun = _collectives_begun()
    with contextlib.suppress(RuntimeError):  # a rank did not come in time
        group = torch.distributed.new_group(backend="gloo", timeout=ARRIVAL)
        gathered: list[Any] = [None] * world_size
        torch.distributed.all_gather_object(gathered, begun, group=group)
        torch.distributed.destroy_process_group(group)
        return all(other == begun for other in gathered)
    return False


def _wait(work: Any, error: Exception) -> None:
    try:
        work.wait(ARRIVAL)
    except RuntimeError:
        raise error from None


def _kind_of(error: Exception) -> ErrorKind:
    memory = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or is_oom_error(error)
    return ErrorKind.OUT_OF_MEMORY if memory else ErrorKind.OTHER


def _collectives_begun() -> list[int]:
    # of each group that this rank is in, in the order in which they were made
    groups: list[Any] = list(torch.distributed.distributed_c10d._world.pg_map)
    return [group._get_sequence_number_for_group() for group in groups]
