"""What every script of this folder does with its client: four fits, compared, and one row of the table.

The client trains four times from the same seed: without the callback; twice with three candidates in each epoch, of
which the one at the present rate always wins, once copied and once replayed: both must end as the first fit did, bit
for bit; and with the default policy, which searches the first of so few epochs. Then history and rates are looked at.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import platform
import random
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from lightning_gammabo import CustomObjective, GammaLRSearch, ListSampler
from lightning_gammabo.determinant.objective import ValidationMetrics

EPOCHS = 2
RATES = (3e-5, 3e-3)
"""tried beside the present one where the present one wins"""

Train = Callable[[list[Any]], Any]
"""trains the client with these callbacks, and gives the Trainer that did it"""


class EarlierIsBetter(CustomObjective):
    """Each candidate scores lower than the one before, so that the first one wins: the present rate."""

    scored = 0

    def score(self, validation: ValidationMetrics) -> float:
        self.scored += 1
        return float(-self.scored)


def kept(commit: Any) -> GammaLRSearch:
    """Several whole candidates an epoch, which come and go without changing anything."""
    return GammaLRSearch(
        "thesis",
        sampler=ListSampler(RATES),
        objective=EarlierIsBetter(),
        lr_schedulers="scale",
        commit=commit,
        progress=False,
    )


def check(package: str, shows: str, train: Train) -> None:
    """Fit, compare, print, and end with the row of the table as a line of JSON."""
    quiet()
    plain = Fit(train, [])
    differing = {}
    for commit in ("copy", "replay"):
        again = Fit(train, [kept(commit)])
        search = GammaLRSearch.of(again.trainer)
        assert [record.epoch for record in search.history] == list(range(EPOCHS)), search.history
        assert all(record.chosen_number == 0 for record in search.history), search.history
        differing[commit] = differences(plain.left, again.left)
    fit = Fit(train, [GammaLRSearch(progress=False)])
    search = GammaLRSearch.of(fit.trainer)
    print(search.history)
    trained_as_searched(search)
    row = {
        "client": f"{package} {importlib.metadata.version(package)}",
        **plain.ways(),
        "shows": shows,
        "candidates": [len(record.results) for record in search.history],
        "rates": [f"{rate.start:.2g}" for rate in search.rates],
        "differing": differing,
        "seconds": [round(plain.seconds, 1), round(fit.seconds, 1)],
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", plain.distribution)},
    }
    print(json.dumps(row))
    sys.exit(any(differing.values()))


class Fit:
    """One fit of the client, and all that it leaves behind."""

    def __init__(self, train: Train, callbacks: list[Any]) -> None:
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        began = time.perf_counter()
        self.trainer = train(callbacks)
        self.seconds = time.perf_counter() - began
        assert self.trainer.current_epoch == EPOCHS, f"{self.trainer.current_epoch} epochs were trained"
        self.left = {
            "weights": dict(self.trainer.lightning_module.state_dict()),
            "optimizers": [optimizer.state_dict() for optimizer in self.trainer.optimizers],
            "schedulers": [config.scheduler.state_dict() for config in self.trainer.lr_scheduler_configs],
            "metrics": dict(self.trainer.callback_metrics),
            "steps": self.trainer.global_step,
            "random": [random.getstate(), np.random.get_state(), torch.get_rng_state()],
        }

    @property
    def distribution(self) -> str:
        """The package whose Trainer it was."""
        name = type(self.trainer.fit_loop).__module__
        return "pytorch-lightning" if name.startswith("pytorch_lightning") else "lightning"

    def ways(self) -> dict[str, Any]:
        """How the client trains, read from its Trainer."""
        return {
            "namespace": "lightning.pytorch" if self.distribution == "lightning" else "pytorch_lightning",
            "optimizers": [type(optimizer).__name__ for optimizer in self.trainer.optimizers],
            "schedulers": [type(config.scheduler).__name__ for config in self.trainer.lr_scheduler_configs],
            "validated": bool(self.trainer.enable_validation),
            "by_hand": not self.trainer.lightning_module.automatic_optimization,
        }


def quiet() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    os.environ.setdefault("TQDM_DISABLE", "1")
    torch.set_num_threads(1)


def trained_as_searched(search: GammaLRSearch) -> None:
    """The first epoch was searched, and trained at the peak that was chosen; there is a rate of each epoch."""
    assert [rate.epoch for rate in search.rates] == list(range(EPOCHS)), search.rates
    record, rate = search.history[0], search.rates[0]
    assert record.epoch == 0, record
    assert len(record.results) > 1, record
    assert record.chosen is not None, record
    assert abs(rate.peak - record.chosen.lr) <= 1e-9 * rate.peak, (rate, record.chosen)


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Paths at which two trees are not the same to the bit."""
    if isinstance(a, dict):
        apart = [f"{path}: {sorted(map(str, a.keys() ^ b.keys()))}"] if a.keys() != b.keys() else []
        return apart + [found for key in a.keys() & b.keys() for found in differences(a[key], b[key], f"{path}/{key}")]
    if isinstance(a, (list, tuple)):
        apart = [] if len(a) == len(b) else [f"{path}: {len(a)} and {len(b)}"]
        return apart + [
            found for i, pair in enumerate(zip(a, b, strict=False)) for found in differences(*pair, f"{path}/{i}")
        ]
    return [] if same(a, b) else [path]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a.nan_to_num(1e30), b.nan_to_num(1e30))
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    return bool(a == b) or (a != a and b != b)
