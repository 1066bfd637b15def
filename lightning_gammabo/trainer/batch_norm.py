"""Running statistics of batch normalisation after a few steps: what they would be without the past.

A short candidate ends with running means that still lean on the state it began with, while its weights have moved:
its validation would be judged on a mixture. The part that comes from its own batches can be had without a further
pass, because the running mean is a known mixture of the two, as in Adam's bias correction:

    r_n = (1 - m)**n r_0 + (1 - (1 - m)**n) s,    so    s = (r_n - (1 - m)**n r_0) / (1 - (1 - m)**n)

for ``n`` updates with momentum ``m`` from ``r_0``; for a cumulative average (no momentum) likewise with counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["RunningStatistics"]

_NAMES = ("running_mean", "running_var")


class RunningStatistics:
    """The running statistics at the start of an epoch.

    Args:
        module: the network; normalisation layers that keep running statistics are noted.
    """

    def __init__(self, module: nn.Module) -> None:
        layers: list[Any] = [layer for layer in module.modules() if getattr(layer, "track_running_stats", False)]
        self._layers = [
            (layer, _count_of(layer), {name: _start_of(layer, name) for name in _NAMES})
            for layer in layers
            if isinstance(getattr(layer, "num_batches_tracked", None), Tensor)
            if all(isinstance(getattr(layer, name, None), Tensor) for name in _NAMES)
        ]

    @contextlib.contextmanager
    def of_own_batches(self) -> Iterator[None]:
        """Let the layers have, within the block, the statistics of the batches since the start alone.

        Yields:
            Nothing.
        """
        present: list[tuple[Tensor, Tensor]] = []
        with torch.no_grad():
            for layer, count, start in self._layers:
                weight = _weight_of_start(layer, count)
                if weight is None:
                    continue
                for name, old in start.items():
                    statistic: Tensor = getattr(layer, name)
                    if old is None:  # of a lazy layer, which begins with these
                        old = torch.full_like(statistic, float(name == "running_var"))
                    present.append((statistic, statistic.clone()))
                    statistic.sub_(old, alpha=weight).div_(1.0 - weight)
                    if name == "running_var":
                        statistic.clamp_(min=0.0)
        try:
            yield
        finally:
            with torch.no_grad():
                for statistic, value in present:
                    statistic.copy_(value)


def _count_of(layer: Any) -> int:
    return 0 if is_lazy(layer.num_batches_tracked) else int(layer.num_batches_tracked)


def _start_of(layer: Any, name: str) -> Tensor | None:
    statistic: Tensor = getattr(layer, name)
    return None if is_lazy(statistic) else statistic.clone()


def _weight_of_start(layer: Any, count: int) -> float | None:
    # how much the start still weighs in the running statistics; None where there were no updates since
    updates = int(layer.num_batches_tracked) - count
    if updates <= 0:
        return None
    if layer.momentum is None:
        return count / (count + updates)
    weight: float = (1.0 - layer.momentum) ** updates
    return weight if weight < 1.0 else None
