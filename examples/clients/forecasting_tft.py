"""pytorch-forecasting, ``lightning.pytorch``: a Temporal Fusion Transformer, validated, with ``ReduceLROnPlateau``.

``pip install pytorch-forecasting`` (1.8). The user makes the Trainer, as in its tutorials, so that callbacks are the
Trainer's. The data are the package's own made series. The module logs its losses itself, and keeps outputs of steps in
lists of its own until the end of an epoch.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from client_check import EPOCHS, check
from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.data.examples import generate_ar_data
from pytorch_forecasting.metrics import QuantileLoss


def train(callbacks: list[Any]) -> Any:
    data = generate_ar_data(n_series=10, timesteps=60, seasonality=10.0, seed=1).astype({"series": str})
    training = TimeSeriesDataSet(
        data[lambda frame: frame.time_idx <= 50],
        time_idx="time_idx",
        target="value",
        group_ids=["series"],
        max_encoder_length=20,
        max_prediction_length=5,
        static_categoricals=["series"],
        time_varying_unknown_reals=["value"],
    )
    validation = TimeSeriesDataSet.from_dataset(training, data, min_prediction_idx=51)
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        gradient_clip_val=0.1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = TemporalFusionTransformer.from_dataset(
        training,
        learning_rate=0.01,
        hidden_size=8,
        hidden_continuous_size=4,
        attention_head_size=2,
        dropout=0.1,
        loss=QuantileLoss(),
        reduce_on_plateau_patience=1,
    )
    trainer.fit(
        model,
        training.to_dataloader(train=True, batch_size=16),
        validation.to_dataloader(train=False, batch_size=16),
    )
    return trainer


if __name__ == "__main__":
    check("pytorch-forecasting", "TemporalFusionTransformer", train)
