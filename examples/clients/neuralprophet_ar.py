"""NeuralProphet, ``pytorch_lightning``: a decomposed time series with lags, and a table of all that was logged.

``pip install neuralprophet "pandas<3"`` (0.9). NeuralProphet makes the Trainer itself, and after ``fit`` a data frame
of what its logger was told, each name a column: all have to be of one length. The series is synthetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from client_check import EPOCHS, check
from neuralprophet import NeuralProphet, set_log_level
from pytorch_lightning import callbacks as lightning_callbacks

# NeuralProphet looks for a progress bar among the callbacks by a name that Lightning 2 has changed
lightning_callbacks.ProgressBarBase = lightning_callbacks.ProgressBar


def series() -> pd.DataFrame:
    days = np.arange(300)
    noise = np.random.default_rng(0).standard_normal(300)
    values = 0.02 * days + np.sin(2 * np.pi * days / 7) + 0.2 * noise
    return pd.DataFrame({"ds": pd.date_range("2020-01-01", periods=300, freq="D"), "y": values})


def train(callbacks: list[Any]) -> Any:
    set_log_level("ERROR")
    model = NeuralProphet(
        n_lags=7,
        epochs=EPOCHS,
        batch_size=16,
        learning_rate=0.01,
        yearly_seasonality=False,
        daily_seasonality=False,
        trainer_config={"callbacks": callbacks},
        accelerator="cpu",
    )
    training, validation = model.split_df(series(), freq="D", valid_p=0.2)
    table = model.fit(training, freq="D", validation_df=validation, progress=None, num_workers=0)
    assert len(table) == EPOCHS, table
    return model.trainer


if __name__ == "__main__":
    check("neuralprophet", "lags, trend and seasonality", train)
