"""Record real learning-rate landscapes: loss and accuracy over many learning rates, epoch by epoch.

At the start of an epoch every rate trains one epoch from the same state (weights and optimizer) on the same batches in
the same order; loss and accuracy on the validation images and on held-out images are written down. The rate with the
lowest validation loss gives the state in which the next epoch starts. A rate whose loss turns non-finite is NaN.

    OMP_NUM_THREADS=1 python -m benchmarks.landscapes.record mnist500 --data-dir /path/to/data --seeds 10 --epochs 6

``--data-dir`` holds ``MNIST/raw`` (the four idx files) and ``cifar10.npz``; ``digits`` needs scikit-learn only.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from images import Images, read_cifar, read_digits, read_mnist
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.landscapes.tables import FOLDER


@dataclass(frozen=True)
class Task:
    """What is trained: sizes, network and optimizer."""

    load: Callable[[Path], Images]
    network: Callable[[], nn.Module]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    train: int
    val: int
    held: int
    batch: int
    settings: str


def load_mnist(folder: Path) -> Images:
    images, labels = read_mnist(folder)
    return images.flatten(1).float() / 255, labels


def load_cifar(folder: Path) -> Images:
    """The first 10,000 training images, averaged to 16 x 16."""
    return read_cifar(folder, 10_000)


def load_digits(folder: Path) -> Images:
    return read_digits()


def he(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return network


def mlp() -> nn.Module:
    """Six hidden layers of 100: the thesis's MNIST-500 network, without its dropout (bad at any rate on 400 images)."""
    hidden = [part for i in range(6) for part in (nn.Linear(784 if i == 0 else 100, 100), nn.ReLU())]
    return he(nn.Sequential(*hidden, nn.Linear(100, 10)))


def digits_cnn() -> nn.Module:
    return he(
        nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64, 10),
        )
    )  # fmt: skip


def cifar_cnn() -> nn.Module:
    return he(
        nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
        )
    )  # fmt: skip


TASKS = {
    "digits": Task(
        load_digits, digits_cnn, lambda net: torch.optim.SGD(net.parameters(), lr=1.0, momentum=0.9),
        train=1000, val=250, held=547, batch=50,
        settings="scikit-learn digits, CNN 8-16 channels, SGD with momentum 0.9",
    ),
    "mnist500": Task(
        load_mnist, mlp, lambda net: torch.optim.SGD(net.parameters(), lr=1.0, weight_decay=1e-3),
        train=400, val=100, held=2000, batch=50,
        settings="500 MNIST images, MLP 6 x 100, SGD, weight decay 0.001, no dropout",
    ),
    "cifar": Task(
        load_cifar, cifar_cnn, lambda net: torch.optim.Adam(net.parameters(), lr=1.0),
        train=1200, val=300, held=1000, batch=50,
        settings="CIFAR-10 subset at 16 x 16, CNN 16-32 channels and 64 hidden units, Adam",
    ),
}  # fmt: skip


@torch.no_grad()
def measure(network: nn.Module, images: Images) -> tuple[float, float]:
    logits = network(images[0])
    loss = float(cross_entropy(logits, images[1]))
    return (loss, float((logits.argmax(1) == images[1]).float().mean())) if math.isfinite(loss) else (math.nan,) * 2


def train_epoch(network: nn.Module, optimizer: torch.optim.Optimizer, batches: list[Images]) -> bool:
    """Train one epoch; False as soon as a loss is not finite."""
    for images, labels in batches:
        loss = cross_entropy(network(images), labels)
        if not torch.isfinite(loss):
            return False
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return True


def record_seed(task: Task, data: Images, seed: int, rates: np.ndarray, epochs: int) -> Iterator[dict[str, np.ndarray]]:
    """One table for each epoch: ``loss``, ``accuracy``, ``held_loss``, ``held_accuracy`` (``R``) and ``winner``."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(data[1]), generator=generator)
    ends = np.cumsum([0, task.train, task.val, task.held])
    train, val, held = (tuple(part[order[a:b]] for part in data) for a, b in itertools.pairwise(ends))
    torch.manual_seed(seed)  # the networks' initialisation has no generator of its own
    network = task.network()
    optimizer = task.optimizer(network)
    for _ in range(epochs):
        start = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
        shuffled = torch.randperm(task.train, generator=generator).split(task.batch)
        batches = [(train[0][i], train[1][i]) for i in shuffled]
        rows, best, winner_state, winner = [], math.inf, start, -1
        for index, rate in enumerate(rates):
            network.load_state_dict(start[0])
            optimizer.load_state_dict(copy.deepcopy(start[1]))
            optimizer.param_groups[0]["lr"] = float(rate)  # after loading, which brings its own rate
            finished = train_epoch(network, optimizer, batches)
            row = (*measure(network, val), *measure(network, held)) if finished else (math.nan,) * 4
            row = row if math.isfinite(row[0]) else (math.nan,) * 4
            rows.append(row)
            if row[0] < best:
                best, winner = row[0], index
                winner_state = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
        network.load_state_dict(winner_state[0])
        optimizer.load_state_dict(winner_state[1])
        columns = np.array(rows, dtype=np.float32).T
        names = ("loss", "accuracy", "held_loss", "held_accuracy")
        yield dict(zip(names, columns, strict=True)) | {"winner": np.array(winner)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds (default 10)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rates", type=int, default=121, help="learning rates, log-spaced from 1e-4 to 1")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for TASK.npz")
    args = parser.parse_args()

    torch.set_num_threads(1)
    task, rates, began = TASKS[args.task], np.logspace(-4, 0, args.rates), time.perf_counter()
    data = task.load(args.data_dir)
    tables: dict[str, list[list[np.ndarray]]] = {}
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    for seed in seeds:
        for table in record_seed(task, data, seed, rates, args.epochs):
            for name, values in table.items():
                tables.setdefault(name, [[] for _ in seeds])[seed - seeds[0]].append(values)
        lost = np.isnan(tables["loss"][seed - seeds[0]]).mean()
        print(f"{args.task} seed {seed}: {lost:.0%} diverged, {time.perf_counter() - began:.0f} s", flush=True)
    meta = {
        "task": args.task,
        "classes": 10,
        "settings": f"{task.settings}; {task.train} train, {task.val} val, {task.held} held out, batch {task.batch}",
        "command": f"record.py {args.task} --first-seed {seeds[0]} --seeds {len(seeds)} --epochs {args.epochs} "
        f"--rates {args.rates}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "seconds": round(time.perf_counter() - began),
    }
    # four significant digits of a loss are more than its validation set gives; they halve the file
    stored = {name: np.array(values) for name, values in tables.items()}
    stored = {name: values if name == "winner" else round_digits(values) for name, values in stored.items()}
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{args.task}.npz"
    np.savez_compressed(path, lr=rates, seeds=np.array(seeds), meta=np.array(json.dumps(meta)), **stored)
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")


def round_digits(values: np.ndarray, digits: int = 4) -> np.ndarray:
    """Round to significant digits; NaN stays."""
    with np.errstate(divide="ignore", invalid="ignore"):
        places = digits - 1 - np.floor(np.log10(np.abs(values.astype(np.float64))))
        scale = 10.0 ** np.where(np.isfinite(places), places, 0)
        return (np.round(values * scale) / scale).astype(np.float32)


if __name__ == "__main__":
    main()
