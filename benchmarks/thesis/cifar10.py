"""Table 7 and figure 21: CIFAR-10 with the small CNN of Keras's examples, written in PyTorch.

    OMP_NUM_THREADS=1 python -m benchmarks.thesis.cifar10 --data-dir data --seeds 0 --subset 2000 --epochs 3
    python -m benchmarks.thesis.cifar10 --data-dir data --seeds 0    # 12 x 50 x 40,000 images: for a larger machine

1.25 million parameters, SGD without momentum (table 2's, the text names none for this experiment), batches of 50.
"""

from __future__ import annotations

from pathlib import Path

import torch
from compare import Classifier, Loaders
from images import read_cifar
from torch import nn

from benchmarks.batches import loader
from benchmarks.thesis.experiment import Setting, four_searches


def block(n_in: int, n_out: int) -> list[nn.Module]:
    convolutions = (nn.Conv2d(n_in, n_out, 3, padding=1), nn.Conv2d(n_out, n_out, 3))
    return [convolutions[0], nn.ReLU(), convolutions[1], nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)]


def keras_cnn(lr: float) -> Classifier:
    layers = [*block(3, 32), *block(32, 64), nn.Flatten(), nn.Linear(64 * 6 * 6, 512), nn.ReLU(), nn.Dropout(0.5)]
    return Classifier(nn.Sequential(*layers, nn.Linear(512, 10)), lr=lr)


def make(setting: Setting, folder: Path) -> tuple[Classifier, Loaders]:
    size = setting["subset"]
    x, y = read_cifar(folder, 50_000, half=False)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(setting["seed"]))[:size]
    train, val = order[size // 5 :], order[: size // 5]
    test = read_cifar(folder, 10_000, train=False, half=False)
    loaders = {
        "train": loader((x[train], y[train]), 50, shuffle=True),
        "val": loader((x[val], y[val]), 500),
        "test": loader(test, 500),
    }
    return keras_cnn(0.01), loaders


if __name__ == "__main__":
    four_searches("cifar10", __doc__, make, subset=50_000, epochs=50)
