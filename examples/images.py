"""Raw image data read with NumPy alone: the idx files of MNIST and its relatives, CIFAR-10 from one ``.npz``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

Images = tuple[Tensor, Tensor]
"""images and labels"""


def read_idx(path: Path) -> Tensor:
    """One idx file as unsigned bytes."""
    raw = path.read_bytes()
    shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape).copy())


def read_mnist(folder: Path, name: str = "MNIST", *, train: bool = True) -> Images:
    """All images of ``MNIST`` or ``FashionMNIST`` as bytes, ``n x 28 x 28``, and their labels."""
    stem = folder / name / "raw" / ("train" if train else "t10k")
    images, labels = (read_idx(Path(f"{stem}-{kind}-ubyte")) for kind in ("images-idx3", "labels-idx1"))
    return images, labels.long()


def read_cifar(folder: Path, count: int, *, train: bool = True, half: bool = True) -> Images:
    """The first ``count`` CIFAR-10 images, -0.5 to 0.5, ``n x 3 x 16 x 16`` (averaged) or ``n x 3 x 32 x 32``."""
    split = "train" if train else "test"
    with np.load(folder / "cifar10.npz") as data:
        images, labels = (torch.from_numpy(data[f"{kind}_{split}"][:count]) for kind in ("x", "y"))
    images = images.permute(0, 3, 1, 2).float() / 255
    return (avg_pool2d(images, 2) if half else images) - 0.5, labels.flatten().long()


def read_digits() -> Images:
    """scikit-learn's 1,797 handwritten digits, 0 to 1, ``n x 1 x 8 x 8``."""
    from sklearn.datasets import load_digits  # an extra; the other readers do without

    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy(images / 16).float().reshape(-1, 1, 8, 8), torch.from_numpy(labels).long()
