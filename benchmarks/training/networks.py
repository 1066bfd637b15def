"""The networks of the workloads, and the Lightning module that counts what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from compare import Classifier
from digits import small_cnn
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, LRScheduler, OneCycleLR

from benchmarks.batches import Pair
from benchmarks.training.counter import SAMPLES
from benchmarks.training.data import TEXT_LENGTH, corpus

Optimizer = Callable[[Iterable[nn.Parameter], float], torch.optim.Optimizer]
"""parameters and rate -> optimizer"""


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def cifar_cnn(*, norm: bool) -> nn.Module:
    """Conv 5x5 of stride 2 to 16 channels, conv 3x3 to 32, pool, one linear layer; for 16 x 16 images."""

    def block(n_in: int, n_out: int, size: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(n_in, n_out, size, stride=stride, padding=size // 2)
        return [conv, *([nn.BatchNorm2d(n_out)] if norm else []), nn.ReLU()]

    layers = [*block(3, 16, 5, 2), *block(16, 32, 3, 1)]
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 4 * 4, 10))


def cnn_norm() -> nn.Module:
    return cifar_cnn(norm=True)


def cnn() -> nn.Module:
    return cifar_cnn(norm=False)


def digits_cnn() -> nn.Module:
    return small_cnn(1.0).net


def tabular_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))


class CharTransformer(nn.Module):
    """Next-character logits ``n x characters x length`` from characters ``n x length``; two layers, no dropout."""

    def __init__(self, width: int = 32, heads: int = 2, layers: int = 2) -> None:
        super().__init__()
        characters = corpus()[1]
        self.embed = nn.Embedding(characters, width)
        self.place = nn.Parameter(0.02 * torch.randn(TEXT_LENGTH, width))
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, characters)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(TEXT_LENGTH), persistent=False)

    def forward(self, characters: Tensor) -> Tensor:
        hidden = self.embed(characters) + self.place
        return self.head(self.blocks(hidden, mask=self.mask, is_causal=True)).transpose(1, 2)


class Counted(Classifier):
    """A classifier whose samples are counted; optimizer and schedule are given.

    ``lr`` is an attribute because Lightning's tuner sets it.
    """

    def __init__(self, net: nn.Module, optimizer: Optimizer, lr: float, schedule: str = "constant") -> None:
        super().__init__(net, lr=lr)
        self.optimizer, self.lr, self.schedule = optimizer, lr, schedule

    def training_step(self, batch: Pair, batch_idx: int) -> Tensor:
        SAMPLES.trained += len(batch[1])
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Pair, batch_idx: int) -> None:
        SAMPLES.validated += len(batch[1])
        super().validation_step(batch, batch_idx)

    def groups(self, lr: float) -> Any:
        """What the optimizer trains: parameters, or groups of them with rates of their own."""
        return self.parameters()

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = self.optimizer(self.groups(self.lr), self.lr)
        if self.schedule == "constant":
            return {"optimizer": optimizer}
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = make_schedule(self.schedule, optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class Regressor(Counted):
    """The same with a squared error and no accuracy."""

    def training_step(self, batch: Pair, batch_idx: int) -> Tensor:
        SAMPLES.trained += len(batch[1])
        return self.measure(batch)["loss"]

    def measure(self, batch: Pair) -> dict[str, Tensor]:
        x, y = batch
        return {"loss": mse_loss(self.net(x), y)}


def make_schedule(name: str, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
    """A schedule from the optimizer's rates down to 0 in ``steps``; PyTorch's defaults for one-cycle.

    ``warm-up`` rises along a line over a tenth of the steps and falls along another.
    """
    if name == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    if name == "linear":
        return LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=steps)
    if name == "onecycle":
        peaks = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(optimizer, max_lr=peaks, total_steps=steps)
    if name == "warm-up":
        warm = steps // 10
        return LambdaLR(optimizer, lambda n: (n + 1) / warm if n < warm else max(steps - n, 0) / (steps - warm))
    raise ValueError(f"schedule={name!r}: choose one of 'constant', 'cosine', 'linear', 'onecycle', 'warm-up'")


def sgd(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=5e-4)


def adamw(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=5e-4)
