"""A project of ordinary Lightning code; nothing in it knows of a search."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class Classifier(LightningModule):
    def __init__(self, width: int = 8, lr: float = 0.05) -> None:
        super().__init__()
        self.lr = lr
        self.net = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        out = self(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(out, batch[1]))
        self.log("val_acc", (out.argmax(1) == batch[1]).float().mean())

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class Numbers(LightningDataModule):
    def __init__(self, batch_size: int = 8) -> None:
        super().__init__()
        self.batch_size = batch_size

    def loader(self, seed: int, shuffle: bool) -> Iterable[Any]:
        x = torch.randn(48, 6, generator=torch.Generator().manual_seed(seed))
        return DataLoader(TensorDataset(x, (x[:, 0] > 0.2).long()), self.batch_size, shuffle=shuffle)

    def train_dataloader(self) -> Iterable[Any]:
        return self.loader(0, True)

    def val_dataloader(self) -> Iterable[Any]:
        return self.loader(1, False)

    def test_dataloader(self) -> Iterable[Any]:
        return self.loader(2, False)
