"""What the machinery of a search costs: time over that of plain epochs, and memory, measured in one run.

A search of ``K`` candidates trains and validates ``K`` epochs. The ratio printed is the processor time of such a search
(state taken, rewound, end states held, winner committed; its proposals cost nothing: they are a list) over ``K`` times
a plain epoch with its validation, both from the same process, plain and searched fits in turn, medians of several
rounds. Each epoch's time is in units of its own optimizer steps, forward and backward pass included: a machine's speed
drifts by a quarter within a minute, and the ratio of two times would show that. Once with a bare Trainer (no progress
bar, logger or checkpoints) and once as Lightning sets it up by default, where a plain epoch pays for a bar, log lines
and a checkpoint that candidates do without. Memory is the peak above what the model, its optimizer and one step need,
in copies of parameters, buffers and optimizer state.

Usage: ``python -m benchmarks.speed.overhead [--candidates 12] [--rounds 5] [--json FILE]``
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import itertools
import json
import logging
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo import GammaLRSearch, ListSampler

STEPS: list[float] = []
"""seconds of the optimizer steps of this epoch; in this module, so that no search rewinds them"""


class Classifier(LightningModule):
    """A multilayer perceptron; ``width`` sets how long a step takes."""

    def __init__(self, features: int, width: int, depth: int, optimizer: str) -> None:
        super().__init__()
        sizes = [features] + [width] * depth
        layers: list[nn.Module] = []
        for left, right in itertools.pairwise(sizes):
            layers += [nn.Linear(left, right), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Linear(width, 10))
        self.optimizer = optimizer

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        out = self.net(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(out, batch[1]))
        self.log("val_acc", (out.argmax(1) == batch[1]).float().mean())

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        began = time.process_time()
        super().optimizer_step(*args, **kwargs)
        STEPS.append(time.process_time() - began)

    def configure_optimizers(self) -> Any:
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[self.optimizer]
        return kind(self.parameters(), lr=1e-3)


class EpochTime(NamedTuple):
    """Seconds of the processor that an epoch took, and its optimizer steps alone."""

    whole: float
    steps: float
    n_steps: int

    @property
    def in_steps(self) -> float:
        """The time in units of a step of this very epoch."""
        return self.whole / self.steps * self.n_steps


class EpochTimes(Callback):
    """Seconds of the processor between the first and the last hook of an epoch; a busy machine does not count."""

    def __init__(self) -> None:
        self.epochs: list[EpochTime] = []

    def on_train_epoch_start(self, *args: Any) -> None:
        STEPS.clear()
        self.began = time.process_time()

    def on_train_epoch_end(self, *args: Any) -> None:
        self.epochs.append(EpochTime(time.process_time() - self.began, sum(STEPS), len(STEPS)))


SETTINGS: dict[str, dict[str, Any]] = {
    "500 images, 6 hidden layers of 100 (thesis, table 2)": {
        "features": 784, "width": 100, "depth": 6, "optimizer": "sgd", "train": 400, "val": 100, "batch": 50,
    },
    "a step of 5 ms or more, few steps (MLP of 0.9 M parameters, Adam, 25 steps)": {
        "features": 784, "width": 512, "depth": 3, "optimizer": "adam", "train": 1600, "val": 400, "batch": 64,
    },
    "a step of 5 ms or more, more steps (the same, 100 steps)": {
        "features": 784, "width": 512, "depth": 3, "optimizer": "adam", "train": 6400, "val": 1600, "batch": 64,
    },
}  # fmt: skip


def loaders(setting: dict[str, Any]) -> tuple[DataLoader[Any], DataLoader[Any]]:
    generator = torch.Generator().manual_seed(0)
    total = setting["train"] + setting["val"]
    x = torch.randn(total, setting["features"], generator=generator)
    y = torch.randint(10, (total,), generator=generator)
    train, val = (
        TensorDataset(x[: setting["train"]], y[: setting["train"]]),
        TensorDataset(x[setting["train"] :], y[setting["train"] :]),
    )
    return DataLoader(train, setting["batch"], shuffle=True), DataLoader(val, setting["batch"])


def fit(setting: dict[str, Any], epochs: int, *callbacks: Callback, bare: bool = True) -> list[EpochTime]:
    seed_everything(0, verbose=False)
    times = EpochTimes()
    model = Classifier(*(setting[name] for name in ("features", "width", "depth", "optimizer")))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        options: dict[str, Any] = {"default_root_dir": folder, "logger": CSVLogger(folder)}
        if bare:
            options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = Trainer(
            max_epochs=epochs, accelerator="cpu", callbacks=[times, *callbacks], enable_model_summary=False, **options
        )
        trainer.fit(model, *loaders(setting))
    return times.epochs[1:]  # the first epoch warms caches


def time_ratio(setting: dict[str, Any], candidates: int, rounds: int, *, bare: bool) -> dict[str, float]:
    rates = [1e-3 * (1 + i / 10) for i in range(candidates - 1)]
    plain: list[EpochTime] = []
    searched: list[EpochTime] = []
    for _ in range(rounds):
        plain += fit(setting, 4, bare=bare)
        # whole candidates in every epoch
        search = GammaLRSearch("thesis", sampler=ListSampler(rates), objective="loss", progress=False)
        searched += fit(setting, 3, search, bare=bare)
    epoch = statistics.median(time.whole for time in plain)
    return {
        "plain epoch, seconds": epoch,
        "a step, milliseconds": 1e3 * epoch / plain[0].n_steps,
        "search, seconds": statistics.median(time.whole for time in searched),
        "ratio": statistics.median(time.in_steps for time in searched)
        / (candidates * statistics.median(time.in_steps for time in plain)),
    }


def one_quiet_thread() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)


class PeakMemory(Callback):
    """The most tensor memory alive at the end of any batch or validation, in bytes."""

    def __init__(self) -> None:
        self.peak = 0

    def look(self) -> None:
        storages = {
            (t.untyped_storage().data_ptr(), t.untyped_storage().nbytes())
            for t in gc.get_objects()
            if isinstance(t, Tensor)
        }
        self.peak = max(self.peak, sum(size for _, size in storages))


class Watched(Classifier):
    """Looks at the memory after each step and in each validation, in candidates too."""

    watch: PeakMemory

    def on_train_batch_end(self, *args: Any) -> None:
        self.watch.look()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.watch.look()


def peak(setting: dict[str, Any], *callbacks: Callback) -> tuple[int, int]:
    """The peak, and the size of parameters, buffers and optimizer state."""
    seed_everything(0, verbose=False)
    gc.collect()
    model = Watched(*(setting[name] for name in ("features", "width", "depth", "optimizer")))
    model.__dict__["watch"] = watch = PeakMemory()
    small = {**setting, "train": 4 * setting["batch"], "val": setting["batch"]}
    trainer = Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=list(callbacks),
    )  # fmt: skip
    trainer.fit(model, *loaders(small))
    state = [value for entry in trainer.optimizers[0].state.values() for value in entry.values()]
    held = [*model.parameters(), *model.buffers(), *(value for value in state if isinstance(value, Tensor))]
    return watch.peak, sum(value.untyped_storage().nbytes() for value in held)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=12, help="candidates in a search")
    parser.add_argument("--rounds", type=int, default=5, help="plain and searched fits, in turn")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    one_quiet_thread()
    results: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        results[name] = time_ratio(setting, args.candidates, args.rounds, bare=True)
        default = time_ratio(setting, args.candidates, args.rounds, bare=False)
        results[name]["ratio, default Trainer"] = default["ratio"]
        plain, unit = peak(setting)
        searched, _ = peak(
            setting, GammaLRSearch("thesis", sampler=ListSampler([1e-3, 2e-3, 3e-3]), objective="loss", progress=False)
        )
        results[name]["extra copies at the peak"] = (searched - plain) / unit
        print(name)
        for key, value in results[name].items():
            print(f"  {key:28s} {value:10.4f}")
    if args.json:
        args.json.write_text(json.dumps({"torch": torch.__version__, **results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
