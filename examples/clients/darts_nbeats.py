"""darts, ``pytorch_lightning``: N-BEATS through ``pl_trainer_kwargs``, validated, with an LR scheduler.

``pip install 'u8darts[torch]'`` (0.36). darts makes Trainer, module and loaders itself, in 64 bit; callbacks are handed
on in ``pl_trainer_kwargs``. The series is made by darts.
"""

from __future__ import annotations

from typing import Any

from client_check import EPOCHS, check
from darts.models import NBEATSModel
from darts.utils.timeseries_generation import gaussian_timeseries, sine_timeseries
from torch.optim.lr_scheduler import ExponentialLR


def train(callbacks: list[Any]) -> Any:
    series = sine_timeseries(length=400, value_frequency=0.05) + gaussian_timeseries(length=400, std=0.1)
    model = NBEATSModel(
        input_chunk_length=24,
        output_chunk_length=6,
        num_stacks=2,
        num_blocks=1,
        layer_widths=16,
        n_epochs=EPOCHS,
        batch_size=16,
        dropout=0.1,
        random_state=0,
        optimizer_kwargs={"lr": 1e-3},
        lr_scheduler_cls=ExponentialLR,
        lr_scheduler_kwargs={"gamma": 0.9},
        pl_trainer_kwargs={"accelerator": "cpu", "callbacks": callbacks, "enable_progress_bar": False},
    )
    model.fit(series[:300], val_series=series[300:])
    return model.trainer


if __name__ == "__main__":
    check("u8darts", "N-BEATS", train)
