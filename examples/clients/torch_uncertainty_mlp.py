"""torch-uncertainty, ``lightning.pytorch``: a routine that computes a dozen metrics, by a Trainer of its own class.

``pip install torch-uncertainty`` (0.13). ``TUTrainer`` inherits from Lightning's Trainer, and the routine logs its
collections of metrics at the end of the validation. The data are synthetic.
"""

from __future__ import annotations

from typing import Any

import torch
from client_check import EPOCHS, check
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch_uncertainty import TUTrainer
from torch_uncertainty.routines import ClassificationRoutine


def samples(number: int, seed: int) -> TensorDataset:
    drawn = torch.Generator().manual_seed(seed)
    x = torch.randn(number, 8, generator=drawn)
    return TensorDataset(x, (x[:, 0] * x[:, 1] > 0).long() + (x[:, 2] > 1).long())


def train(callbacks: list[Any]) -> Any:
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))
    routine = ClassificationRoutine(
        model=model,
        num_classes=3,
        loss=nn.CrossEntropyLoss(),
        optim_recipe=torch.optim.Adam(model.parameters(), lr=1e-3),
    )
    trainer = TUTrainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        devices=1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(routine, DataLoader(samples(320, 1), batch_size=16, shuffle=True), DataLoader(samples(96, 2), 32))
    return trainer


if __name__ == "__main__":
    check("torch-uncertainty", "classification routine, a dozen metrics", train)
