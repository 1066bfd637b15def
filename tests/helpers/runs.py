"""A Trainer's plain attributes, and a voice that is written down."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

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
    run = {"max_epochs": 4, "max_steps": -1, "num_training_batches": 10, "current_epoch": 0, "global_step": 0}
    optimizers = [optimizer if optimizer is not None else sgd(0.1)]
    configs = [SimpleNamespace(scheduler=scheduler)] if scheduler is not None else []
    return SimpleNamespace(optimizers=optimizers, lr_scheduler_configs=configs, **(run | given))
