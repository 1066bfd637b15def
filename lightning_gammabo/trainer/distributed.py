"""What processes that train together agree on."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["joined_over_ranks", "mean_over_ranks"]

Batches = dict[str, list[tuple[float, float]]]


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


def joined_over_ranks(batches: Batches, world_size: int) -> Batches:
    """What each rank measured batch by batch, as one list.

    Args:
        batches: this rank's batches, by metric.
        world_size: number of ranks.

    Returns:
        The same on all ranks: the batches of rank 0, then those of rank 1, and so on.

    Example:
        >>> joined_over_ranks({"val_loss": [(0.5, 32.0)]}, world_size=1)
        {'val_loss': [(0.5, 32.0)]}
    """
    if world_size == 1:
        return batches
    gathered: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(gathered, batches)
    joined: Batches = {}
    for rank in gathered:
        for name, values in rank.items():
            joined.setdefault(name, []).extend(values)
    return joined
