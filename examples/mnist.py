"""The thesis's network on MNIST: 6 hidden layers of 100 units, searched at every epoch, beside plain runs.

    python examples/mnist.py --data-dir data --download --subset 500
    python examples/mnist.py --data-dir data                # all 60,000 images

Table 2 of the thesis: SGD, ReLU, He initialisation, batches of 50, weight decay 0.001, cross entropy, 20 % held out,
learning rates up to 0.5. The 10,000 test images are seen by no search. ``--download`` needs torchvision:
``pip install --group examples`` in the clone, pip 25.1 or newer.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from compare import Classifier, Loaders, compare
from images import read_mnist
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from lightning_gammabo import GammaLRSearch

WIDTHS = (28 * 28, *[100] * 6)


def thesis_mlp(lr: float, dropout: float) -> Classifier:
    """784-100-100-100-100-100-100-10 with ReLU."""
    layers: list[nn.Module] = [nn.Flatten()]
    for n_in, n_out in pairwise(WIDTHS):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(dropout)]
    net = nn.Sequential(*layers, nn.Linear(WIDTHS[-1], 10))
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # He et al. 2015
            nn.init.zeros_(layer.bias)
    return Classifier(net, lr=lr, weight_decay=0.001)


def load_splits(data_dir: Path, *, download: bool, subset: int, seed: int) -> Loaders:
    """Of all training images, or of ``subset`` of them, 80 % to train and 20 % to choose rates by; the test images."""
    if download:
        from torchvision.datasets import MNIST  # brings a build of torch with it, and is needed for nothing else

        MNIST(data_dir, download=True)
    train, test = (read_mnist(data_dir, train=train) for train in (True, False))
    all_train, all_test = (TensorDataset(images.unsqueeze(1) / 255.0, labels) for images, labels in (train, test))
    size = subset or len(all_train)
    parts = [size - size // 5, size // 5, len(all_train) - size]
    train_set, val_set, _ = random_split(all_train, parts, torch.Generator().manual_seed(seed))
    return {
        "train": DataLoader(train_set, batch_size=50, shuffle=True),
        "val": DataLoader(val_set, batch_size=500),
        "test": DataLoader(all_test, batch_size=500),
    }


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data-dir", type=Path, required=True, help="folder that holds, or will hold, MNIST/raw")
    add("--download", action="store_true", help="fetch MNIST into --data-dir first")
    add("--subset", type=int, default=0, help="use so many of the training images (the thesis: 500); 0 for all")
    add("--epochs", type=int, default=2, help="epochs of the searched run")
    add("--lr", type=float, default=0.01, help="the configured rate: the plain runs', and where the search starts")
    add("--sampler", default="gamma", help="gamma, gamma_thesis, gaussian, grid, random")
    add("--objective", default="kappa", help="kappa, kappa_original, kappa_thesis, loss, accuracy")
    # Table 2 names a dropout of 0.5. With it this network stays near chance for several epochs at every rate, which
    # does not go with the accuracies that the thesis reports; without it they are reached. So it is off by default.
    add("--dropout", type=float, default=0.0)
    add("--accelerator", default="cpu")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs/mnist"))
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    loaders = load_splits(args.data_dir, download=args.download, subset=args.subset, seed=args.seed)
    # the thesis searches 0.0 to 0.5; a log scale needs a lowest rate above 0
    search = GammaLRSearch(
        "thesis", min_lr=1e-3, max_lr=0.5, sampler=args.sampler, objective=args.objective, seed=args.seed
    )
    make = partial(thesis_mlp, args.lr, args.dropout)
    common = {"epochs": args.epochs, "seed": args.seed, "out": args.out, "accelerator": args.accelerator}
    compare(make, loaders, search, **common)


if __name__ == "__main__":
    main()
