"""What processes that train together agree on."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["mean_over_ranks"]


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
