"""Recorded learning-rate landscapes: what a short, cooled candidate sees, and what the whole run ends with.

One file holds one landscape (workload, number of epochs, seed): 13 peak rates a quarter of a decade apart, each trained
to its end along a line to zero, from the same weights and on the same batches. ``cool`` holds the loss and the
rightness of each validation sample after 50, 100, 200 or 400 steps and a quarter of that many steps with the rate going
linearly to zero; ``trace`` the training loss of each batch; ``final`` the validation and test results of the whole run.
"""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LOSS_CAP = 3.0
"""a loss counts as at most this many losses of the untrained network"""


class Landscape:
    """One recorded landscape.

    Args:
        path: ``<workload>-E<epochs>-s<seed>.npz``.

    Attributes:
        x: log10 of the peak rates, rising.
        steps: optimizer steps of an epoch.
        total: optimizer steps of the run.
        reference: validation loss of the untrained network.
    """

    def __init__(self, path: Path) -> None:
        self.name, epochs, seed = path.stem.rsplit("-", 2)
        self.epochs, self.seed = int(epochs[1:]), int(seed[1:])
        with np.load(path) as data:
            self.data = {name: data[name] for name in data.files}
        self.x = math.log10(float(self.data["lr"])) + self.data["quarters"].astype(float) / 4
        self.steps = int(self.data["steps"])
        self.total = self.steps * self.epochs
        self.reference = float(self.data["init"][0].mean())
        self.cooled = [
            int(s)
            for s in self.data["cooled"]
            if np.isfinite(self.data["cool"][:, list(self.data["cooled"]).index(s)]).any()
        ]
        guess = float(self.data["guess"])
        final = self.data["final"].astype(float)
        unlearned = ~np.isfinite(final[:, 0])
        final[unlearned] = [guess, math.exp(-guess), guess, math.exp(-guess)]
        self.val, _, self.test, self.test_accuracy = final.T
        self.val, self.test = np.minimum(self.val, guess), np.minimum(self.test, guess)
        self.best = int(np.argmin(self.val))

    @property
    def adaptive(self) -> bool:
        """Whether the optimizer is AdamW rather than SGD with momentum."""
        return "adamw" in self.name

    @property
    def workload(self) -> str:
        """The name without the length of an epoch: what is left out together."""
        return self.name.removeprefix("small-")

    @cached_property
    def optimum(self) -> float:
        """log10 of the best peak: a parabola of the log validation loss through the best rate and its neighbours."""
        i = min(max(self.best, 1), len(self.x) - 2)
        a, b, c = np.log(self.val[i - 1 : i + 2])
        bend = a - 2 * b + c
        return float(self.x[i] + (0.125 * (a - c) / bend if bend > 1e-9 else 0.0))

    def excess(self, x: float) -> tuple[float, float]:
        """Test loss above that of the best recorded peak in per cent, and the difference in accuracy in points.

        Args:
            x: log10 of a peak rate.
        """
        x = min(max(x, float(self.x[0])), float(self.x[-1]))
        loss, accuracy = np.interp(x, self.x, self.test), np.interp(x, self.x, self.test_accuracy)
        return 100 * (loss / self.test[self.best] - 1), 100 * (accuracy - self.test_accuracy[self.best])

    def scores(self, steps: int, by: str = "log_loss", samples: int = 256) -> Array:
        """Scores of candidates of so many steps, by rate; greater is better. Between recorded lengths: interpolated.

        Args:
            steps: optimizer steps before the cooling.
            by: ``log_loss`` or ``kappa``.
            samples: validation samples, at most 1000.
        """
        place = math.log(min(max(steps, self.cooled[0]), self.cooled[-1]))
        known = np.log(self.cooled)
        right = int(np.searchsorted(known, place))
        if known[right] == place:
            return self._scores(right, by, samples)
        share = (place - known[right - 1]) / (known[right] - known[right - 1])
        return (1 - share) * self._scores(right - 1, by, samples) + share * self._scores(right, by, samples)

    def _scores(self, index: int, by: str, samples: int) -> Array:
        loss = self.data["cool"][:, index, 0, :samples].astype(float).mean(axis=1)
        right = self.data["cool"][:, index, 1, :samples].astype(float).mean(axis=1)
        relative = np.minimum(np.where(np.isfinite(loss), loss, np.inf) / self.reference, LOSS_CAP)
        score = -np.log(relative)
        return score + np.where(np.isfinite(right), right, 0.0) ** 2 if by == "kappa" else score

    def late(self, steps: int, x: float) -> float:
        """Progress in the last quarter of a candidate's steps over that in the second: above 2 it has not got going.

        Args:
            steps: optimizer steps of the candidate.
            x: log10 of its rate.
        """
        trace = self.data["trace"][int(np.argmin(np.abs(self.x - x)))].astype(float)[:steps]
        steps = len(trace)
        last, second = trace[3 * steps // 4 :].mean(), trace[steps // 4 : steps // 2].mean()
        progress = [math.log(self.reference / loss) if math.isfinite(loss) else -1.0 for loss in (last, second)]
        return progress[0] / max(progress[1], 1e-3)

    def train_loss(self, steps: int) -> Array:
        """Mean training loss over the second half of so many steps, by rate."""
        loss = self.data["trace"][:, steps // 2 : steps].astype(float).mean(axis=1)
        return np.where(np.isfinite(loss), loss, np.inf)


def read(folder: Path) -> list[Landscape]:
    """All landscapes of a folder, by name."""
    return [Landscape(path) for path in sorted(folder.glob("*.npz"))]
