"""finetuning-scheduler, ``lightning.pytorch``: a callback that thaws layers, and adds their parameter group, in a run.

``pip install finetuning-scheduler scikit-learn`` (2.14). It is a callback itself, beside which the search stands in the
Trainer's list. The module is a small classifier of scikit-learn's handwritten digits; its head trains in the first
epoch, all of it from the second on.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from client_check import EPOCHS, check
from finetuning_scheduler import FinetuningScheduler
from lightning.pytorch import LightningModule, Trainer
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SCHEDULE = {
    0: {"params": ["head.*"], "max_transition_epoch": 1},
    1: {"params": ["body.*"], "max_transition_epoch": EPOCHS, "lr": 1e-3},
}


class Digits(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(32, 10)

    def loss(self, batch: Any, stage: str) -> torch.Tensor:
        out = self.head(self.body(batch[0]))
        loss = nn.functional.cross_entropy(out, batch[1])
        self.log(f"{stage}_loss", loss)
        self.log(f"{stage}_acc", (out.argmax(1) == batch[1]).float().mean())
        return loss

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.loss(batch, "train")

    def validation_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.loss(batch, "val")

    def configure_optimizers(self) -> Any:
        thawed = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(thawed, lr=1e-3)
        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch)]


def train(callbacks: list[Any]) -> Any:
    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            callbacks=[FinetuningScheduler(ft_schedule=SCHEDULE, epoch_transitions_only=True), *callbacks],
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(
            Digits(),
            DataLoader(TensorDataset(x[:1000], y[:1000]), 32, shuffle=True),
            DataLoader(TensorDataset(x[1000:1400], y[1000:1400]), 50),
        )
    return trainer


if __name__ == "__main__":
    check("finetuning-scheduler", "layers thawed in the run", train)
