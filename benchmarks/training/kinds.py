"""Networks of other kinds than those on which the rules were chosen, with the modules that train them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from benchmarks.batches import Pair, loader
from benchmarks.training.data import corpus, pool
from benchmarks.training.networks import Counted, Regressor, adamw, cnn, mlp

CLIP = 1.0
"""norm to which the recurrent network's gradients are clipped"""
SLOWER = 0.1
"""rate of a pretrained body, as a share of its new head's"""
PRETRAINED_ON = 8000
"""samples of the other data, read twice"""


class Residual(nn.Module):
    """A convolution 3x3 of stride 2, then adds two of them to what comes in."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.skip = nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.path(images) + self.skip(images))


def residual() -> nn.Module:
    """Three blocks, for 16 x 16 images."""
    blocks = [Residual(3, 16, 2), Residual(16, 32, 2), Residual(32, 32, 1)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(32, 10))


class CharGRU(nn.Module):
    """Next-character logits ``n x characters x length`` from characters ``n x length``."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        characters = corpus()[1]
        self.embed = nn.Embedding(characters, width)
        self.recurrent = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, characters)

    def forward(self, characters: Tensor) -> Tensor:
        return self.head(self.recurrent(self.embed(characters))[0]).transpose(1, 2)


class Encoder(nn.Module):
    """A variational autoencoder's two halves, 784 pixels to 8 numbers and back."""

    def __init__(self, width: int = 128, code: int = 8) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 2 * code))
        self.decode = nn.Sequential(nn.Linear(code, width), nn.ReLU(), nn.Linear(width, 784))


def forecaster() -> nn.Module:
    return nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 12))


def tabular() -> nn.Module:
    return nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))


def rmsprop(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(parameters, lr=lr)


class Augmented(Counted):
    """Trains on images that are mirrored and moved by up to two pixels."""

    def training_step(self, batch: Pair, batch_idx: int) -> Tensor:
        images, labels = batch
        images = images.flip(3) if torch.rand(()) < 0.5 else images
        moved = torch.roll(images, tuple(int(n) for n in torch.randint(-2, 3, (2,))), (2, 3))
        return super().training_step((moved, labels), batch_idx)


class Clipped(Counted):
    """Clips the gradients by their norm."""

    def configure_gradient_clipping(self, optimizer: Any, *limits: Any, **kinds: Any) -> None:
        nn.utils.clip_grad_norm_(self.parameters(), CLIP)


class Generative(Regressor):
    """Loss: the negative evidence lower bound, in nats a pixel; the code is drawn in training alone."""

    def measure(self, batch: Pair) -> dict[str, Tensor]:
        images = batch[0]
        mean, log_var = self.net.encode(images).chunk(2, dim=1)
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        logits = self.net.decode(mean + noise * (0.5 * log_var).exp())
        rebuilt = binary_cross_entropy_with_logits(logits, images)
        divergence = 0.5 * (mean.square() + log_var.exp() - 1.0 - log_var).sum(1).mean() / images.shape[1]
        return {"loss": rebuilt + divergence}


class FineTuned(Counted):
    """A pretrained body at a tenth of the rate of its new head."""

    def groups(self, lr: float) -> Any:
        *body, head = self.net
        return [
            {"params": [p for part in body for p in part.parameters()], "lr": SLOWER * lr},
            {"params": list(head.parameters()), "lr": lr},
        ]


@cache
def pretrained(network: str, source: str, folder: Path) -> nn.Sequential:
    """A network trained for two epochs on other data, whatever the run's seed; its training costs the run nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = {"cnn": cnn, "mlp": mlp}[network]()
        assert isinstance(net, nn.Sequential)
        x, y = pool(source, folder).draw
        batches = loader((x[:PRETRAINED_ON], y[:PRETRAINED_ON]), 40, shuffle=True)
        optimizer = adamw(net.parameters(), 2e-3)
        for batch, labels in (pair for _ in range(2) for pair in batches):
            optimizer.zero_grad()
            cross_entropy(net(batch), labels).backward()
            optimizer.step()
    return net


def with_new_head(network: str, source: str, folder: Path) -> nn.Module:
    """The pretrained body, and a head as it is initialised."""
    *body, head = copy.deepcopy(pretrained(network, source, folder))
    assert isinstance(head, nn.Linear)
    return nn.Sequential(*body, nn.Linear(head.in_features, head.out_features))
