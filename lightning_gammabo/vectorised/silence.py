"""What a training step writes elsewhere is set aside while candidates are stacked.

A value inside ``vmap`` stands for K values. Where it gets out (into the Trainer's results by ``self.log``, into the
state of a metric) it is of no use to anybody and later crashes whoever reads it.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import nn
from torchmetrics import Metric, MetricCollection

from lightning_gammabo.stand_in import replaced

__all__ = ["Silence"]

_LOGS = ("log", "log_dict")


class Silence:
    """A context in which a module, and all below it, log nothing, and its torchmetrics take nothing in.

    It may be entered again and again.

    Args:
        module: the module; what is set aside is looked up once, here.
    """

    def __init__(self, module: nn.Module) -> None:
        self._stand_ins: list[tuple[nn.Module, str, Any]] = []
        for part in module.modules():
            if isinstance(part, (Metric, MetricCollection)):
                self._stand_ins += [(part, name, _Answer(part)) for name in ("forward", "compute")]
                self._stand_ins += [(part, name, _nothing) for name in ("update", "reset")]
            elif all(callable(getattr(part, name, None)) for name in _LOGS):
                self._stand_ins += [(part, name, _nothing) for name in _LOGS]
        self._entered: list[contextlib.ExitStack] = []

    def __enter__(self) -> None:
        with contextlib.ExitStack() as stack:
            for owner, name, value in self._stand_ins:
                stack.enter_context(replaced(owner, name, value))
            self._entered.append(stack.pop_all())

    def __exit__(self, *_: object) -> None:
        self._entered.pop().close()


class _Answer:
    """What a metric answers: zero, or zero for each of a collection's names."""

    def __init__(self, metric: Metric | MetricCollection) -> None:
        self._metric = metric

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self._metric, MetricCollection):
            return {str(name): torch.zeros(()) for name in self._metric.keys()}  # noqa: SIM118 - the names as logged
        return torch.zeros((), device=self._metric.device)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Nothing is logged, nothing taken in."""
