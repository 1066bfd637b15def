"""Small fits: a quiet Trainer on the CPU, seeded, and the loaders that go with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch.utils.data import DataLoader

from tests.integration.identity.scenarios import TRAIN, VAL


def trainer_of(*callbacks: Callback, **options: Any) -> Trainer:
    """Two epochs unless told otherwise; all randomness begins anew."""
    seed_everything(1, verbose=False)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    defaults = {"max_epochs": 2, "logger": False, "enable_checkpointing": False}
    return Trainer(callbacks=list(callbacks), **{**quiet, **defaults, **options})


def loaders() -> tuple[Any, Any]:
    """Five shuffled batches to train on and two to validate on."""
    return DataLoader(TRAIN, 8, shuffle=True), DataLoader(VAL, 10)


class AtTheSecondEpoch(Callback):
    """Does what it is told at the start of the second epoch: by then all state and the loaders are there."""

    def __init__(self, check: Callable[[Trainer, LightningModule], None]) -> None:
        self.check = check
        self.told = 0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            self.check(trainer, pl_module)
            self.told += 1
