"""Small modules and batches that the tests of this folder share."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


class Classifier(LightningModule):
    """Any network, trained by cross entropy, that logs."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss, prog_bar=True)
        self.log_dict({"twice": 2 * loss})
        return loss


def mlp(*, seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 4)))


def normed(*, seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    layers = (nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))
    return Classifier(nn.Sequential(nn.Flatten(), *layers))


def lenet(*, seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    convolutions = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    return Classifier(nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(36, 4)))


NETWORKS = {"mlp": mlp, "normed": normed, "lenet": lenet}


def batches(count: int = 6, *, size: int = 12) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(4, 1, 8, 8, generator=generator)
    made = []
    for _ in range(count):
        labels = torch.randint(4, (size,), generator=generator)
        made.append((centres[labels] + torch.randn(size, 1, 8, 8, generator=generator), labels))
    return made


def two_groups(module: nn.Module, kind: Any, **options: Any) -> Any:
    """An optimizer whose biases have a tenth of the rate and no weight decay."""
    weights = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    return kind([{"params": weights}, {"params": others, "lr": 0.001, "weight_decay": 0.0}], lr=0.01, **options)
