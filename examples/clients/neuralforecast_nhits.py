"""neuralforecast, ``pytorch_lightning``: NHITS, limited by steps, validated by steps, with ``StepLR``.

``pip install neuralforecast`` (3.3). Callbacks are handed on as one of the model's ``trainer_kwargs``. neuralforecast
copies model and callbacks deeply before it trains, so the search that ran is ``GammaLRSearch.of(trainer)``; it also
drops its Trainer, which a callback keeps here. ``max_steps`` limits a fit, not ``max_epochs``. The data are
AirPassengers, which the package ships, copied with other levels.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytorch_lightning as pl
from client_check import EPOCHS, check
from neuralforecast import NeuralForecast
from neuralforecast.models import NHITS
from neuralforecast.utils import AirPassengersPanel

BATCHES = 8


class KeepsTrainer(pl.Callback):
    trainer: Any = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        KeepsTrainer.trainer = trainer


def panel() -> pd.DataFrame:
    """Two series for each batch."""
    levels = [
        AirPassengersPanel.assign(
            unique_id=AirPassengersPanel.unique_id + f" {level}", y=AirPassengersPanel.y * (1 + level)
        )
        for level in range(BATCHES)
    ]
    return pd.concat(levels)


def train(callbacks: list[Any]) -> Any:
    model = NHITS(
        h=6,
        input_size=12,
        max_steps=EPOCHS * BATCHES,
        val_check_steps=BATCHES,
        learning_rate=1e-3,
        num_lr_decays=2,
        mlp_units=[[16, 16]] * 3,
        batch_size=2,
        windows_batch_size=32,
        scaler_type="robust",
        random_seed=1,
        accelerator="cpu",
        callbacks=[*callbacks, KeepsTrainer()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    NeuralForecast(models=[model], freq="ME").fit(panel(), val_size=12)
    return KeepsTrainer.trainer


if __name__ == "__main__":
    check("neuralforecast", "NHITS", train)
