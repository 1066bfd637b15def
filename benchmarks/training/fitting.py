"""One plain fit, as every method makes it: same start, same batches, a Trainer without bar, logger and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything

from benchmarks.training.networks import Counted, Optimizer
from benchmarks.training.workloads import Workload


@dataclass(frozen=True)
class Run:
    """What is asked of a method: a workload, a length, a seed, and by how much the configured rate is off."""

    workload: Workload
    folder: Path
    epochs: int
    seed: int
    start: float = 1.0

    @property
    def lr(self) -> float:
        """The configured rate."""
        return self.workload.lr * self.start

    def module(self, lr: float, schedule: str | None = None, optimizer: Optimizer | None = None) -> Counted:
        """The untrained network; of one seed it is always the same one. Without a name its own schedule."""
        seed_everything(self.seed, verbose=False)
        work = self.workload
        return work.module(work.build(self.folder), optimizer or work.optimizer, lr, schedule or work.schedule)

    @property
    def plain(self) -> int:
        """Samples that a plain run trains on."""
        return self.workload.train // self.workload.batch * self.workload.batch * self.epochs


@dataclass(frozen=True)
class Fitted:
    """What a method hands over: the network, its scores on the validation samples, the rate of each epoch."""

    module: Counted
    scores: dict[str, float]
    rates: Sequence[float] = ()
    note: dict[str, Any] = field(default_factory=dict)

    @property
    def val_loss(self) -> float:
        """Infinite where it is not finite, so that the least one is the best."""
        loss = self.scores.get("val_loss", math.inf)
        return loss if math.isfinite(loss) else math.inf


class Rates(Callback):
    """Notes the rate at which each epoch begins to train; not by a batch's hook, which would have a search replay."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.rates.append(float(trainer.optimizers[0].param_groups[0]["lr"]))


def make_trainer(epochs: int, callbacks: Sequence[Callback] = (), folder: str | None = None) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def fit(run: Run, module: Counted, callbacks: Sequence[Callback] = (), epochs: int | None = None) -> Fitted:
    """Train to the end; the scores are those of the last epoch's validation."""
    rates = Rates()
    trainer = make_trainer(epochs or run.epochs, [*callbacks, rates])
    trainer.fit(module, *run.workload.loaders(run.folder, run.seed))
    return Fitted(module, {name: float(value) for name, value in trainer.callback_metrics.items()}, rates.rates)
