"""Small fits: a quiet Trainer on the CPU, seeded, and the loaders that go with it."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, Trainer, seed_everything
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
