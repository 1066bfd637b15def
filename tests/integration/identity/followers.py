"""Callbacks for plain fits that know what a search had chosen, and do the same without it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, Trainer

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.learning_rate.annealing import progress_of
from lightning_gammabo.learning_rate.controller import LearningRates


class Follows(Callback):
    """Sets at each epoch's start the rate that a search had chosen."""

    def __init__(self, rates: Sequence[float]) -> None:
        self.rates = list(rates)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        LearningRates(trainer.optimizers).set(self.rates.pop(0))


class GoesBack(Follows):
    """A plain fit's callback that knows from which epoch's end which epoch is to be trained."""

    def __init__(self, rates: Sequence[float], back: dict[int, int]) -> None:
        super().__init__(rates)
        self.back = back
        self.ends: list[Any] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        epoch = trainer.current_epoch
        self.ends.append(copy.deepcopy((pl_module.state_dict(), [o.state_dict() for o in trainer.optimizers])))
        if epoch in self.back:
            weights, optimizers = self.ends[self.back[epoch] + 1]
            pl_module.load_state_dict(weights)
            for optimizer, state in zip(trainer.optimizers, optimizers, strict=True):
                optimizer.load_state_dict(copy.deepcopy(state))
        super().on_train_epoch_start(trainer, pl_module)


class Knows(Callback):
    """A schedule of which the height is set at each epoch's start, and written after every batch."""

    def __init__(self, rates: Sequence[float | None], annealing: str = "linear") -> None:
        self.rates = list(rates)
        self.annealing = annealing
        self.peak_factor = 1.0

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.base: list[float] = []
        self.write(trainer, 0)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.write(trainer, 0)  # the epoch before may have ended early
        chosen = self.rates.pop(0) if self.rates else None
        present = next(base for base in self.base if base > 0) * self.peak_factor  # the peak
        if chosen is not None and chosen != present:
            self.peak_factor *= chosen / present
            self.write(trainer, 0)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.write(trainer, batch_idx + 1)

    def write(self, trainer: Trainer, batches: int) -> None:
        progress = progress_of(trainer, batches)
        done = 0.0 if progress is None else min(progress, 1.0)
        shape = 1.0 - done if self.annealing == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        self.base = self.base or [group["lr"] for group in groups]
        for group, base in zip(groups, self.base, strict=True):
            group["lr"] = base * (self.peak_factor * shape)


def known(search: GammaLRSearch, epochs: int = 5) -> Knows:
    """The follower of a searched fit under an annealing schedule."""
    chosen = {record.epoch: record.chosen.lr for record in search.history}
    return Knows([chosen.get(epoch) for epoch in range(epochs)], search._session.rates.annealing)
