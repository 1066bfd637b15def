"""A Trainer's plain attributes, and a messages that is written down."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from lightning.pytorch import LightningModule

from tests.helpers.optimizers import sgd


class NotedMessages:
    """Writes down what a user would be told."""

    def __init__(self) -> None:
        self.informed: list[str] = []
        self.warned: list[str] = []

    def inform(self, message: str) -> None:
        self.informed.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)


def trainer(optimizer: Any = None, scheduler: Any = None, **given: Any) -> Any:
    """What is read of a Trainer: four epochs of ten batches unless told otherwise."""
    run = {
        "max_epochs": 4, "max_steps": -1, "num_training_batches": 10, "current_epoch": 0, "global_step": 0,
        "accumulate_grad_batches": 1, "callbacks": [], "lightning_module": LightningModule(),
    }  # fmt: skip
    progress = SimpleNamespace(current=SimpleNamespace(ready=0))
    run["fit_loop"] = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress, restarting=False))
    optimizers = [optimizer if optimizer is not None else sgd(0.1)]
    config = SimpleNamespace(scheduler=scheduler, interval="epoch", frequency=1, reduce_on_plateau=False)
    return SimpleNamespace(
        optimizers=optimizers, lr_scheduler_configs=[config] if scheduler is not None else [], **(run | given)
    )
