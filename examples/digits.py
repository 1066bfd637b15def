"""Search the learning rate of a small CNN on scikit-learn's handwritten digits, beside plain runs of it.

    python examples/digits.py --epochs 20 --lr 0.01 --policy epochwise --out runs/digits

Prints what each epoch's search found and what it cost, and judges all runs on a test split that no search saw. Writes
``history.jsonl``, ``history.csv``, ``schedule.png`` and ``report.html``.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from compare import Classifier, Loaders, compare
from images import read_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo import GammaLRSearch, SearchPolicy


def small_cnn(lr: float) -> Classifier:
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )
    return Classifier(net, lr=lr, momentum=0.9)


def load_splits(seed: int) -> Loaders:
    """60 % to train, 20 % to choose rates by, 20 % to judge the result by; each digit equally frequent in all three."""
    x, y = read_digits()
    train, rest = train_test_split(range(len(y)), test_size=0.4, stratify=y, random_state=seed)
    val, test = train_test_split(rest, test_size=0.5, stratify=y[rest], random_state=seed)
    return {
        name: DataLoader(TensorDataset(x[index], y[index]), batch_size=32, shuffle=name == "train")
        for name, index in (("train", train), ("val", val), ("test", test))
    }


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--epochs", type=int, default=20, help="epochs of the searched run")
    add("--lr", type=float, default=0.01, help="the configured rate: the plain runs', and where the search starts")
    add("--policy", default="epochwise", help="epochwise, once, thorough, thesis, identity")
    add("--first-model", type=int, default=None, help="candidates of the first search that the surrogate proposes")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs/digits"))
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    search = GammaLRSearch(SearchPolicy(base=args.policy, first_model=args.first_model), seed=args.seed)
    make = partial(small_cnn, args.lr)
    compare(make, load_splits(args.seed), search, epochs=args.epochs, seed=args.seed, out=args.out)


if __name__ == "__main__":
    main()
