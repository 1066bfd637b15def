"""GluonTS, ``lightning.pytorch``: DeepAR on an endless stream of drawn windows, nothing validated, with a plateau.

``pip install 'gluonts[torch]'`` (0.17). Callbacks are handed on in ``trainer_kwargs``, and joined there by GluonTS's
own ``ModelCheckpoint``. The series are made here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from client_check import EPOCHS, check
from gluonts.dataset.pandas import PandasDataset
from gluonts.torch import DeepAREstimator


def train(callbacks: list[Any]) -> Any:
    hours = np.arange(300)
    series = {
        f"series {i}": pd.DataFrame(
            {"target": 5 + np.sin(hours / 4 + i) + 0.1 * np.random.default_rng(i).standard_normal(300)},
            index=pd.period_range("2024-01-01", periods=300, freq="h"),
        )
        for i in range(5)
    }
    estimator = DeepAREstimator(
        freq="h",
        prediction_length=12,
        context_length=24,
        hidden_size=8,
        lr=1e-3,
        batch_size=16,
        num_batches_per_epoch=30,
        trainer_kwargs={
            "max_epochs": EPOCHS,
            "accelerator": "cpu",
            "callbacks": callbacks,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
    )
    output = estimator.train_model(PandasDataset(series, target="target"))
    return output.trainer


if __name__ == "__main__":
    check("gluonts", "DeepAR", train)
