"""The data of the workloads: for each seed other samples to train and to choose by, and one test split for all.

Text and tables ship with packages: the reference of the Python language (``pydoc_data.topics`` of the standard
library) and scikit-learn's diabetes. Images lie in the folder given by ``--data-dir``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import torch
from images import read_cifar, read_digits, read_mnist
from torch import Tensor

from benchmarks.batches import Pair

TEXT_LENGTH = 32
"""characters that the Transformer sees"""


class Pool(NamedTuple):
    """Samples from which a seed draws, and the test split that no choice sees."""

    draw: Pair
    test: Pair


class Splits(NamedTuple):
    """What one seed trains on and chooses by."""

    train: Pair
    val: Pair


def split_fixed(x: Tensor, y: Tensor, test: int) -> Pool:
    """Take the same ``test`` samples away whatever the run's seed."""
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return Pool((x[order[test:]], y[order[test:]]), (x[order[:test]], y[order[:test]]))


def fashion(folder: Path, most: int = 20_000) -> Pool:
    def scaled(pair: Pair) -> Pair:
        return pair[0].flatten(1).float() / 255, pair[1]

    train, test = (read_mnist(folder, "FashionMNIST", train=split) for split in (True, False))
    return Pool(scaled((train[0][:most], train[1][:most])), scaled((test[0][:5000], test[1][:5000])))


def cifar(folder: Path) -> Pool:
    return Pool(read_cifar(folder, 20_000), read_cifar(folder, 5000, train=False))


def digits(folder: Path) -> Pool:
    return split_fixed(*read_digits(), test=397)


def diabetes(folder: Path) -> Pool:
    """Columns are standardised in the package; the target with its own mean and deviation."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    target = torch.from_numpy((y - y.mean()) / y.std()).float().unsqueeze(1)
    return split_fixed(torch.from_numpy(x).float() * len(y) ** 0.5, target, test=102)


@cache
def corpus() -> tuple[Tensor, int]:
    """The text as numbers of characters, and how many different ones there are."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    number = {character: i for i, character in enumerate(sorted(set(text)))}
    return torch.tensor([number[character] for character in text]), len(number)


def text(folder: Path) -> Pool:
    """Windows of the first 80 % of the text to draw from, of its last 20 % to test: each character's next one."""
    codes = corpus()[0].unfold(0, TEXT_LENGTH + 1, TEXT_LENGTH)
    cut = len(codes) * 4 // 5
    draw, test = codes[:cut], codes[cut:]
    return Pool((draw[:, :-1], draw[:, 1:]), (test[:, :-1], test[:, 1:]))


def mnist(folder: Path) -> Pool:
    train, test = (read_mnist(folder, train=split) for split in (True, False))
    return Pool(*((x[:20_000].flatten(1).float() / 255, y[:20_000]) for x, y in (train, test)))


def some_classes(folder: Path, classes: range) -> Pool:
    """CIFAR-10 images of five classes, counted from 0."""

    def those(pair: Pair) -> Pair:
        x, y = pair
        kept = (y >= classes.start) & (y < classes.stop)
        return x[kept], y[kept] - classes.start

    return Pool(*map(those, cifar(folder)))


def series(folder: Path, length: int = 16_000) -> Pool:
    """A made series: two seasons whose strength wanders, a trend that wanders, noise; windows of 48 and the next 12."""
    made = torch.Generator().manual_seed(0)
    time = torch.arange(float(length))
    wander = torch.randn(3, len(time), generator=made).cumsum(1) / 60
    seasons = (1 + wander[0].tanh()) * (time * 0.2618).sin() + (1 + wander[1].tanh()) * (time * 0.0374).sin()
    values = seasons + wander[2].tanh() + 0.3 * torch.randn(len(time), generator=made)
    values = (values - values.mean()) / values.std()
    windows = values.unfold(0, 60, 1)
    cut = len(windows) * 4 // 5
    draw, test = windows[:cut], windows[cut + 60 :]
    return Pool((draw[:, :48], draw[:, 48:]), (test[:, :48], test[:, 48:]))


def imbalanced(folder: Path, rows: int = 14_000) -> Pool:
    """A made table of 30 columns in which one row in twenty is of the other class."""
    from sklearn.datasets import make_classification

    x, y = make_classification(rows, 30, n_informative=12, weights=[0.95], class_sep=0.8, random_state=0)
    return split_fixed(torch.from_numpy(x).float(), torch.from_numpy(y).long(), test=4000)


SOURCES: dict[str, Callable[[Path], Pool]] = {
    "fashion": fashion,
    "cifar": cifar,
    "digits": digits,
    "diabetes": diabetes,
    "text": text,
    "mnist": mnist,
    "cifar-first": partial(some_classes, classes=range(5)),
    "cifar-rest": partial(some_classes, classes=range(5, 10)),
    "series": series,
    "imbalanced": imbalanced,
    "fashion-whole": partial(fashion, most=60_000),
    "series-long": partial(series, length=210_000),
    "imbalanced-long": partial(imbalanced, rows=170_000),
}


@cache
def pool(source: str, folder: Path) -> Pool:
    """One source, read once in a process."""
    return SOURCES[source](folder)


def draw(source: str, folder: Path, seed: int, train: int, val: int) -> Splits:
    """The samples of one seed."""
    x, y = pool(source, folder).draw
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    parts = (order[:train], order[train : train + val])
    return Splits(*((x[part], y[part]) for part in parts))


def chunks(pair: Pair, size: int = 1000) -> Iterator[Pair]:
    yield from zip(pair[0].split(size), pair[1].split(size), strict=True)
