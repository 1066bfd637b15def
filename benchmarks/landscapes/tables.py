"""Recorded learning-rate landscapes: what is in a table, how it is read, and the objective that is derived from it.

A table holds loss and accuracy only; kappa is always derived by :func:`kappa`, so that a table never goes stale when
the objective changes. A cell that diverged (a loss that is not finite, while training or validating) is NaN.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLOOR", "FOLDER", "Landscape", "kappa", "load", "names"]

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "unit" / "bayesopt" / "landscapes"
"""Where the tables of this repository lie."""

CAP = 3.0
"""A loss counts as at most this many times the loss of guessing; nothing is learned from how badly a rate failed."""

FLOOR = -math.log(CAP)
"""The smallest kappa: no accuracy, the loss at its cap. Regret counts a diverged cell as this."""


def kappa(loss: NDArray[Any], accuracy: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """The improved kappa (eq. 12, lambda = 1), the loss measured against guessing: ``Ma**2 - log(min(Ml, 3 c) / c)``.

    ``c = ln(classes)`` is the loss of guessing. It is not clipped at 0. A diverged cell stays NaN.

    >>> float(kappa(np.array(math.log(10)), np.array(0.5), 10))
    0.25
    """
    chance = math.log(classes)
    loss = np.asarray(loss, dtype=np.float64)
    capped = np.clip(loss, 1e-12, CAP * chance)  # np.clip leaves NaN a NaN
    return np.asarray(np.asarray(accuracy, dtype=np.float64) ** 2 - np.log(capped / chance))


@dataclass(frozen=True)
class Landscape:
    """One recorded task; S seeds, E epochs, R learning rates.

    Args:
        name: the task.
        classes: number of classes.
        lr: learning rates, ascending, ``R``.
        seeds: seeds of data split, weights and order of batches, ``S``.
        loss: validation loss, ``S x E x R``; NaN where the rate diverged.
        accuracy: validation accuracy, a fraction, ``S x E x R``.
        held_loss: loss on the images that no choice has seen, ``S x E x R``.
        held_accuracy: accuracy on those images.
        winner: index of the rate whose weights started the next epoch, ``S x E``.
        meta: command, versions and settings of the recording.
    """

    name: str
    classes: int
    lr: NDArray[np.float64]
    seeds: NDArray[np.int64]
    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    held_loss: NDArray[np.float64]
    held_accuracy: NDArray[np.float64]
    winner: NDArray[np.int64]
    meta: dict[str, Any]

    @property
    def score(self) -> NDArray[np.float64]:
        """Kappa on the validation images, ``S x E x R``; NaN where the rate diverged."""
        return kappa(self.loss, self.accuracy, self.classes)

    @property
    def held_score(self) -> NDArray[np.float64]:
        """The same on the images that no choice has seen."""
        return kappa(self.held_loss, self.held_accuracy, self.classes)


def names(folder: Path | None = None) -> list[str]:
    """The tables there are."""
    return sorted(path.stem for path in (folder or FOLDER).glob("*.npz"))


def load(name: str, folder: Path | None = None) -> Landscape:
    """Read one table."""
    with np.load((folder or FOLDER) / f"{name}.npz", allow_pickle=False) as table:
        arrays = {key: table[key] for key in table.files}
    meta = json.loads(str(arrays.pop("meta")))
    lr = arrays.pop("lr").astype(np.float64)
    seeds, winner = arrays.pop("seeds").astype(np.int64), arrays.pop("winner").astype(np.int64)
    values = {key: value.astype(np.float64) for key, value in arrays.items()}
    return Landscape(name=name, classes=int(meta["classes"]), lr=lr, seeds=seeds, winner=winner, meta=meta, **values)
