"""What is trained: data, network, optimizer and the rate that people would start with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.batches import Pair, loader
from benchmarks.training.data import Splits, chunks, corpus, draw, pool
from benchmarks.training.kinds import (
    Augmented,
    CharGRU,
    Clipped,
    Encoder,
    FineTuned,
    Generative,
    forecaster,
    residual,
    rmsprop,
    tabular,
    with_new_head,
)
from benchmarks.training.networks import (
    CharTransformer,
    Counted,
    Optimizer,
    Regressor,
    adamw,
    cnn,
    cnn_norm,
    digits_cnn,
    mlp,
    sgd,
    tabular_mlp,
)

GRID = tuple(float(f"{10 ** (k / 2):.4g}") for k in range(-4, 4))
"""Eight half-decades about the default rate, as factors of it: 1e-4 ... 0.3 for SGD, 1e-5 ... 0.03 for AdamW."""

VAL_BATCH = 50


@dataclass(frozen=True)
class Workload:
    """One task; ``batch`` is chosen for 100 steps an epoch, or 25 where there is little data; of other kinds for 500.

    ``schedule`` is the task's own, by ``make_schedule``; ``pretrained`` a network and the data that it has seen;
    ``guess`` the loss of a network that has learnt nothing.
    """

    title: str
    source: str
    network: Callable[[], nn.Module]
    optimizer: Optimizer
    train: int = 4000
    val: int = 1000
    batch: int = 40
    module: type[Counted] = Counted
    schedule: str = "constant"
    pretrained: tuple[str, str] | None = None
    guess: float = math.log(10)

    def build(self, folder: Path) -> nn.Module:
        """The network before training; of a pretrained one the head is new."""
        return self.network() if self.pretrained is None else with_new_head(*self.pretrained, folder)

    @property
    def lr(self) -> float:
        """The default rate."""
        return 0.01 if self.optimizer is sgd else 1e-3

    @property
    def range(self) -> tuple[float, float]:
        """Rates among which methods with a range of their own search."""
        return (1e-4, 1.0) if self.optimizer is sgd else (1e-5, 0.1)

    def splits(self, folder: Path, seed: int) -> Splits:
        return draw(self.source, folder, seed, self.train, self.val)

    def loaders(self, folder: Path, seed: int) -> tuple[DataLoader[Pair], DataLoader[Pair]]:
        train, val = self.splits(folder, seed)
        return loader(train, self.batch, shuffle=True), loader(val, VAL_BATCH)

    def judge(self, module: Counted, folder: Path) -> dict[str, float]:
        """Test loss and accuracy; called by the runner alone, after a method has made its last choice."""
        return judged(module, pool(self.source, folder).test)


def judged(module: Counted, pair: Pair) -> dict[str, float]:
    """Mean loss, and accuracy where there is one; leaves the network in evaluation."""
    module.eval()
    total: dict[str, float] = {}
    with torch.no_grad():
        for batch in chunks(pair):
            for name, value in module.measure(batch).items():
                total[name] = total.get(name, 0.0) + float(value) * len(batch[1])
    return {name: value / len(pair[1]) for name, value in total.items()}


CHARACTERS = math.log(corpus()[1])

FAMILIAR = {
    "digits-sgd": Workload("digits, CNN, SGD", "digits", digits_cnn, sgd, train=1000, val=400),
    "fashion-sgd": Workload("Fashion-MNIST, MLP, SGD", "fashion", mlp, sgd),
    "fashion-adamw": Workload("Fashion-MNIST, MLP, AdamW", "fashion", mlp, adamw),
    "cifar-norm-sgd": Workload("CIFAR-10 (16x16), CNN with BatchNorm, SGD", "cifar", cnn_norm, sgd),
    "cifar-adamw": Workload("CIFAR-10 (16x16), CNN, AdamW", "cifar", cnn, adamw),
    "text-adamw": Workload(
        "Python's reference, Transformer, AdamW",
        "text", CharTransformer, adamw, train=2000, val=500, batch=20, guess=CHARACTERS,
    ),
    "diabetes-sgd": Workload(
        "diabetes, MLP, SGD", "diabetes", tabular_mlp, sgd, train=250, val=90, batch=10, module=Regressor, guess=1.0
    ),
}  # fmt: skip
"""tasks of 25 or 100 steps an epoch, on which rules were looked at"""

OTHER_KINDS = {
    "residual-sgd": Workload(
        "CIFAR-10 (16x16), residual, augmented, SGD", "cifar", residual, sgd, train=16_000, batch=32, module=Augmented
    ),
    "gru-adamw": Workload(
        "Python's reference, GRU, clipped, AdamW",
        "text", CharGRU, adamw, train=10_000, val=500, batch=20, module=Clipped, guess=CHARACTERS,
    ),
    "vae-adamw": Workload(
        "Fashion-MNIST, variational autoencoder, AdamW",
        "fashion", Encoder, adamw, train=16_000, batch=32, module=Generative, guess=math.log(2),
    ),
    "forecast-rmsprop": Workload(
        "forecast of a series, MLP, RMSprop",
        "series", forecaster, rmsprop, train=8000, batch=16, module=Regressor, guess=1.0,
    ),
    "imbalanced-adamw": Workload(
        "imbalanced table, MLP, AdamW, own warm-up",
        "imbalanced", tabular, adamw, train=8000, batch=16, schedule="warm-up", guess=math.log(2),
    ),
    "text-onecycle": Workload(
        "Python's reference, Transformer, AdamW, own one-cycle",
        "text", CharTransformer, adamw, train=10_000, val=500, batch=20, schedule="onecycle", guess=CHARACTERS,
    ),
    "tune-cifar-adamw": Workload(
        "CIFAR-10 (16x16), fine-tuned CNN, two groups, AdamW, own warm-up",
        "cifar-rest", cnn, adamw, train=8000, batch=16, module=FineTuned, schedule="warm-up",
        pretrained=("cnn", "cifar-first"),
    ),
    "tune-fashion-sgd": Workload(
        "Fashion-MNIST, MLP fine-tuned from MNIST, two groups, SGD",
        "fashion", mlp, sgd, batch=8, module=FineTuned, pretrained=("mlp", "mnist"),
    ),
}  # fmt: skip
"""tasks of 500 steps an epoch, by which the rules are judged; to be run for three epochs"""


def of_length(name: str, source: str, steps: int, batch: int) -> Workload:
    """A task with another number of steps an epoch, of more data; no sample twice in one epoch."""
    work = (FAMILIAR | OTHER_KINDS)[name]
    title = f"{work.title}, {steps} steps an epoch"
    return replace(work, title=title, source=source, train=steps * batch, batch=batch)


LENGTHS = {
    f"{short}-{steps}": of_length(name, source, steps, batch)
    for short, name, source, batches in (
        ("series", "forecast-rmsprop", "series-long", {500: 16, 1000: 16, 10_000: 16}),
        ("table", "imbalanced-adamw", "imbalanced-long", {500: 16, 1000: 16, 10_000: 16}),
        ("text", "text-onecycle", "text", {1000: 10}),
        ("images", "fashion-sgd", "fashion-whole", {1000: 16, 10_000: 5}),
    )
    for steps, batch in batches.items()
}
"""runs of other lengths, for what a search costs there"""

WORKLOADS = FAMILIAR | OTHER_KINDS | LENGTHS
