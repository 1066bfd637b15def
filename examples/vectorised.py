"""What K candidates cost when they are trained together, as a multiple of one candidate's training.

Each network is trained on random images, by plain steps (forward, backward, SGD with momentum) and by stacked ones, in
one process and in turn; the figure is the median over rounds of a stacked step's time over a plain step's.
``sequential`` is the same for K candidates one after the other: K, give or take the machine's noise. Neither column
contains what Lightning adds to a step, which a stacked step would pay once and sequential ones K times.

Usage: ``python examples/vectorised.py [--device cuda] [--candidates 1 2 4 8] [--steps 20] [--rounds 5]``
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gammabo.vectorised import VectorisedTrainer, check_equal


class Classifier(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(*layers)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])


def mlp() -> Classifier:
    return Classifier(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def mlp_norm_dropout() -> Classifier:
    hidden = [nn.Linear(784, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 64)]
    return Classifier(nn.Flatten(), *hidden, nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))


def lenet() -> Classifier:
    convolutions = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU()]
    dense = [nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    return Classifier(*convolutions, nn.MaxPool2d(2), nn.Flatten(), *dense)


NETWORKS: dict[str, Callable[[], Classifier]] = {
    "MLP 784-128-64-10": mlp,
    "the same, BatchNorm and dropout": mlp_norm_dropout,
    "LeNet": lenet,
}


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


def batches_of(steps: int, size: int, device: str) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(steps, size, 1, 28, 28, generator=generator).to(device)
    labels = torch.randint(10, (steps, size), generator=generator).to(device)
    return list(zip(images, labels, strict=True))


def seconds(work: Callable[[], object], device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def train_alone(model: Any, optimizer: torch.optim.Optimizer, batches: list[Any]) -> None:
    for number, batch in enumerate(batches):
        optimizer.zero_grad()
        model.training_step(batch, number).backward()
        optimizer.step()


def train_together(trainer: VectorisedTrainer, batches: list[Any]) -> None:
    for number, batch in enumerate(batches):
        trainer.step(batch, number)


def measure(
    network: str, candidates: int, *, device: str, steps: int = 20, rounds: int = 5, size: int = 64
) -> dict[str, Any]:
    """Ratios to one candidate's time, and why the network cannot be vectorised, or None."""
    torch.manual_seed(0)
    batches = batches_of(steps, size, device)
    models = [NETWORKS[network]().to(device) for _ in range(candidates)]
    optimizers = [sgd(model) for model in models]
    rates = [[0.01 * 2.0**-number] for number in range(max(candidates, 2))]
    reason = check_equal(models[0], optimizers[:1], batches[:3], lambda _: rates)
    options: dict[str, Any] = {"candidates": candidates, "rates": lambda _: rates[:candidates]}
    trainer = VectorisedTrainer(models[0], optimizers[:1], **options) if reason is None else None
    pairs = list(zip(models, optimizers, strict=True))
    stacked: list[float] = []
    sequential: list[float] = []
    one: list[float] = []
    for number in range(rounds + 1):
        times = [seconds(lambda: train_alone(*pairs[0], batches), device)]
        times += [seconds(lambda: [train_alone(*pair, batches) for pair in pairs], device)]
        times += [seconds(lambda: train_together(trainer, batches), device) if trainer is not None else float("nan")]
        if number > 0:  # the first round warms caches
            for row, value in zip((one, sequential, stacked), times, strict=True):
                row.append(value)
    alone = statistics.median(one)
    return {
        "stacked": statistics.median(stacked) / alone,
        "sequential": statistics.median(sequential) / alone,
        "milliseconds": 1e3 * alone / steps,
        "reason": reason,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="K candidates trained together, as a multiple of one")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--candidates", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=64, help="images in a batch")
    args = parser.parse_args()
    name = torch.cuda.get_device_name() if args.device != "cpu" else f"cpu, {torch.get_num_threads()} thread(s)"
    print(f"torch {torch.__version__}, {name}, batches of {args.size}")
    print("| network | a step alone | K | together | one after the other |")
    print("| --- | --- | --- | --- | --- |")
    for network in NETWORKS:
        for k in args.candidates:
            row = measure(network, k, device=args.device, steps=args.steps, rounds=args.rounds, size=args.size)
            together = f"{row['stacked']:.2f}" if row["reason"] is None else row["reason"]
            print(f"| {network} | {row['milliseconds']:.2f} ms | {k} | {together} | {row['sequential']:.2f} |")


if __name__ == "__main__":
    main()
