"""Ways of training with Lightning, each small: what a user's module, loader or Trainer can keep as state."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torchmetrics
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.callbacks import (
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelPruning,
    Timer,
)
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

_data = torch.Generator().manual_seed(0)
X = torch.randn(60, 6, generator=_data)
Y = (X[:, 0] + 0.5 * X[:, 1] > 0).long() + (X[:, 2] > 0.8).long()
TRAIN, VAL = TensorDataset(X[:40], Y[:40]), TensorDataset(X[40:], Y[40:])


@dataclass
class Scenario:
    """One way of training: makers, so that each fit begins from scratch."""

    module: Callable[[], LightningModule]
    train: Callable[[], Any] = lambda: DataLoader(TRAIN, 8, shuffle=True)
    val: Callable[[], Any] | None = lambda: DataLoader(VAL, 10)
    datamodule: Callable[[], LightningDataModule] | None = None
    trainer: dict[str, Any] = field(default_factory=dict)
    callbacks: Callable[[], list[Callback]] = list
    search: dict[str, Any] = field(default_factory=dict)
    """arguments for the search"""
    follows: bool = True
    """whether a plain fit at the chosen rates must equal the searched one"""


class Net(LightningModule):
    """Linear, BatchNorm, dropout; loss and accuracy logged; SGD with momentum."""

    def __init__(self, lr: float = 0.05) -> None:
        super().__init__()
        self.lr = lr
        self.net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        out = self(x)
        self.log("val_loss", nn.functional.cross_entropy(out, y), prog_bar=True)
        self.log("val_acc", (out.argmax(1) == y).to(out.dtype).mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class KeepsState(Net):
    """Lists, counters, plain tensors, deques, generators, closures, an EMA copy, a non-persistent buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()), persistent=False)
        self.outputs: list[Tensor] = []
        self.history: dict[str, list[float]] = {"loss": []}
        self.steps = 0
        self.recent: deque[float] = deque(maxlen=3)
        self.labels: set[int] = set()
        self.bank = torch.zeros(4, 6)
        self.hidden: Tensor | None = None
        self.counts = np.zeros(3)
        self.noise = np.random.default_rng(3)
        self.dice = random.Random(4)
        self.generator = torch.Generator().manual_seed(5)
        self.ema = {name: p.detach().clone() for name, p in self.named_parameters()}
        total = 0

        def tally(amount: int) -> int:
            nonlocal total
            total += amount
            return total

        self.tally = tally

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        self.seen += len(x)
        self.steps += 1
        self.outputs.append(x.mean())
        self.labels.update(y.tolist())
        self.bank[self.steps % 4] = x[0]
        self.hidden = x.mean(0) if self.hidden is None else 0.5 * self.hidden + x.mean(0)
        self.counts[batch_idx % 3] += 1
        weight = 1 + 0.1 * self.noise.random() + 0.1 * self.dice.random()
        weight += 0.01 * float(torch.rand((), generator=self.generator)) + 0.001 * self.tally(1)
        loss = weight * super().training_step(batch, batch_idx)
        self.history["loss"].append(float(loss))
        self.recent.append(float(loss))
        return loss

    def on_train_batch_end(self, *args: Any) -> None:
        for name, parameter in self.named_parameters():
            self.ema[name].lerp_(parameter.detach(), 0.1)

    def on_train_epoch_end(self) -> None:
        self.log("outputs", float(len(self.outputs)))
        self.outputs.clear()

    def on_validation_epoch_end(self) -> None:
        self.history.setdefault("validated", []).append(float(self.steps))

    def python_state(self) -> dict[str, Any]:
        return {
            "seen": self.seen,
            "outputs": self.outputs,
            "history": self.history,
            "steps": self.steps,
            "recent": list(self.recent),
            "labels": sorted(self.labels),
            "bank": self.bank,
            "hidden": self.hidden,
            "counts": list(self.counts),
            "noise": repr(self.noise.bit_generator.state),
            "dice": repr(self.dice.getstate()),
            "generator": self.generator.get_state(),
            "ema": self.ema,
            "tally": self.tally(0),
        }


class Metrics(Net):
    """torchmetrics: alone, in a collection with compute groups, logged as objects."""

    def __init__(self) -> None:
        super().__init__()
        self.train_acc = torchmetrics.classification.MulticlassAccuracy(3)
        self.val_metrics = torchmetrics.MetricCollection(
            {
                "acc": torchmetrics.classification.MulticlassAccuracy(3),
                "precision": torchmetrics.classification.MulticlassPrecision(3),
                "recall": torchmetrics.classification.MulticlassRecall(3),
            },
            prefix="val_",
        )
        self.mean = torchmetrics.MeanMetric()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        out = self(x)
        self.train_acc(out, y)
        self.log("train_acc", self.train_acc, on_step=False, on_epoch=True)
        loss = nn.functional.cross_entropy(out, y)
        self.mean.update(loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("mean_loss", self.mean.compute())
        self.mean.reset()

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        out = self(x)
        self.val_metrics.update(out, y)
        self.log_dict(self.val_metrics)
        self.log("val_loss", nn.functional.cross_entropy(out, y))


class Groups(Net):
    def configure_optimizers(self) -> Any:
        parts = [{"params": self.net[0].parameters(), "lr": 0.01}, {"params": self.net[1:].parameters(), "lr": 0.1}]
        return torch.optim.AdamW(parts)


class ByHand(Net):
    """Two optimizers by hand, one of them accumulating over the end of the epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.batches = 0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        first, second = self.optimizers()
        loss = self.loss(batch)
        first.zero_grad()
        self.manual_backward(loss)
        first.step()
        self.batches += 1
        if self.batches % 3 == 0:
            second.step()
            second.zero_grad()
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.net[0].parameters(), lr=0.05), torch.optim.Adam(self.net[1:].parameters(), lr=0.01)


class LBFGS(Net):
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)


class SkipsSteps(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return None if batch_idx == 1 else super().training_step(batch, batch_idx)


class LeavesEpochEarly(Net):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
        return -1 if batch_idx == 3 else None


class StopsInside(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 7:
            self.trainer.should_stop = True
        return super().training_step(batch, batch_idx)


class Scheduled(Net):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)
        of = torch.optim.lr_scheduler
        scheduler: Any = {
            "step": lambda: {"scheduler": of.StepLR(optimizer, 3, 0.5), "interval": "step"},
            "epoch": lambda: of.ExponentialLR(optimizer, 0.7),
            "plateau": lambda: {"scheduler": of.ReduceLROnPlateau(optimizer, patience=0), "monitor": "val_loss"},
            "cosine": lambda: {"scheduler": of.CosineAnnealingLR(optimizer, 15), "interval": "step"},
            "onecycle": lambda: {"scheduler": of.OneCycleLR(optimizer, 0.2, total_steps=40), "interval": "step"},
            "warmup from zero": lambda: {
                "scheduler": of.LambdaLR(optimizer, lambda step: min(1.0, step / 6)),
                "interval": "step",
            },
            "sequential": lambda: of.SequentialLR(
                optimizer, [of.ConstantLR(optimizer, 0.5, 1), of.ExponentialLR(optimizer, 0.8)], [1]
            ),
        }[self.kind]()
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


class SchedulerByHand(Net):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss = self.loss(batch)
        self.manual_backward(loss)
        optimizer.step()
        self.lr_schedulers().step()
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)]


class WritesItsRate(Net):
    """A warm-up by hand in ``optimizer_step``."""

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, closure: Any = None) -> None:
        for group in optimizer.param_groups:
            group["lr"] = self.lr * min(1.0, (self.global_step + 1) / 8)
        optimizer.step(closure=closure)


class NoValidation(Net):
    validation_step = LightningModule.validation_step


class LogsNothing(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)


class TakesIterator(Net):
    def training_step(self, dataloader_iter: Iterator[Any]) -> Any:
        batch, _, _ = next(dataloader_iter)
        return self.loss(batch)


class ChangesMode(Net):
    """A frozen part: its mode is set again at each epoch's start; a weight-normed layer; a plain non-leaf tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.net[0] = nn.utils.parametrizations.weight_norm(self.net[0])
        self.scale = self.net[4].weight.sum() * 2

    def on_train_epoch_start(self) -> None:
        self.net[1].eval()
        for parameter in self.net[1].parameters():
            parameter.requires_grad_(self.current_epoch > 0)


class WritesInValidation(Net):
    """Averages its weights for the validation and puts them back (by ``.data``), and draws random numbers."""

    def on_validation_start(self) -> None:
        self.kept = [p.data for p in self.parameters()]
        for parameter in self.parameters():
            parameter.data = parameter.data * 0.9

    def on_validation_end(self) -> None:
        for parameter, kept in zip(self.parameters(), self.kept, strict=True):
            parameter.data = kept
        torch.rand(3)


class DriftsInValidation(Net):
    """Its validation really changes its weights."""

    def on_validation_epoch_end(self) -> None:
        with torch.no_grad():
            self.net[4].weight.mul_(0.99)


class DriftsBehindTheCounter(Net):
    """The same through ``.data``, which no version counter sees."""

    def on_validation_epoch_end(self) -> None:
        self.net[4].weight.data.mul_(0.99)


class Lazy(Net):
    """A parameter that is set from the first batch, and an optimizer that is replaced in mid-run."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if not hasattr(self, "shift"):
            self.shift = nn.Parameter(batch[0].mean(0))
            self.trainer.optimizers[0].add_param_group({"params": [self.shift], "lr": self.lr})
        return self.loss((batch[0] + self.shift, batch[1]))


class Augmented(Dataset[Any]):
    """Random augmentation through NumPy and ``random``, in the worker or here."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        x, y = TRAIN[index]
        return x + float(np.random.rand()) * 0.1 + random.random() * 0.1 + torch.rand(6) * 0.1, y


class OwnGenerators(Dataset[Any]):
    """Generators and a counter of its own."""

    def __init__(self, counts: bool = True) -> None:
        self.numpy, self.python, self.torch = np.random.default_rng(1), random.Random(2), torch.Generator()
        self.torch.manual_seed(3)
        self.counts = counts
        self.served = 0

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        x, y = TRAIN[index]
        self.served += self.counts
        noise = torch.randn(6, generator=self.torch) * 0.1 + self.numpy.random() + self.python.random()
        return x + noise + 0.001 * self.served, y


class Stream(IterableDataset[Any]):
    """No length; shuffled by the global generator."""

    def __iter__(self) -> Iterator[Any]:
        for index in torch.randperm(40).tolist():
            yield TRAIN[index]


class Endless:
    """No DataLoader: each ``iter`` goes on where the last one stopped."""

    def __init__(self) -> None:
        self.position = 0

    def __iter__(self) -> Endless:
        return self

    def __next__(self) -> Any:
        start = self.position % 40
        self.position += 8
        return [X[start : start + 8], Y[start : start + 8]]


class LiveGenerator:
    """No DataLoader: holds a generator that cannot be asked again."""

    def __init__(self) -> None:
        self.stream = self.batches()

    def batches(self) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(9)
        while True:
            index = torch.randint(40, (8,), generator=generator)
            yield [X[index], Y[index]]

    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Iterator[Any]:
        return (next(self.stream) for _ in range(5))


class Batches:
    """No DataLoader: a fixed list of batches, handed out as they are."""

    def __init__(self) -> None:
        self.batches = [[X[i : i + 8].clone(), Y[i : i + 8]] for i in range(0, 40, 8)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


class TwoValidations(Net):
    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        super().validation_step(batch, batch_idx)


class OwnOrder(torch.utils.data.Sampler[int]):
    """An order of its own, by a count of its own."""

    def __init__(self) -> None:
        self.epoch = 0

    def __len__(self) -> int:
        return 40

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        return iter(torch.randperm(40, generator=torch.Generator().manual_seed(self.epoch)).tolist())


class Compiled(Net):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.compile(self.net, backend="eager")


class Data(LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    def train_dataloader(self) -> Any:
        self.made += 1
        torch.rand(2)  # making a loader may draw
        return DataLoader(TRAIN, 8, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(VAL, 10, shuffle=self.made % 2 == 0)


class Preprocesses(Callback):
    """Changes the batch in place before the step: a candidate needs it."""

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        batch[0].mul_(0.5).add_(torch.rand(()))


class CountsBatches(Callback):
    def __init__(self) -> None:
        self.batches = 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.batches += 1
        pl_module.log("batches", float(self.batches))


def _combined() -> CombinedLoader:
    loaders = {"a": DataLoader(TRAIN, 8, shuffle=True), "b": DataLoader(VAL, 5, shuffle=True)}
    return CombinedLoader(loaders, "max_size_cycle")


class TwoStreams(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch["a"]) + 0.1 * self.loss(batch["b"])


def _workers(dataset: Callable[[], Any] = lambda: TRAIN, **options: Any) -> Callable[[], Any]:
    return lambda: DataLoader(dataset(), 8, shuffle=True, num_workers=2, **options)


SCALE = {"lr_schedulers": "scale"}
SCENARIOS: dict[str, Scenario] = {
    "plain": Scenario(Net, train=lambda: DataLoader(TRAIN, 8)),
    "shuffled": Scenario(Net),
    "workers": Scenario(Net, train=_workers()),
    "persistent workers": Scenario(Net, train=_workers(persistent_workers=True)),
    "augmented": Scenario(Net, train=lambda: DataLoader(Augmented(), 8, shuffle=True)),
    "augmented workers": Scenario(Net, train=_workers(Augmented)),
    "augmented persistent workers": Scenario(Net, train=_workers(Augmented, persistent_workers=True)),
    "own generators": Scenario(Net, train=lambda: DataLoader(OwnGenerators(), 8, shuffle=True)),
    "data generators": Scenario(Net, train=lambda: DataLoader(OwnGenerators(counts=False), 8, shuffle=True)),
    "own generators in workers": Scenario(Net, train=_workers(OwnGenerators)),
    "loader generator": Scenario(
        Net, train=lambda: DataLoader(TRAIN, 8, shuffle=True, generator=torch.Generator().manual_seed(3))
    ),
    "iterable": Scenario(Net, train=lambda: DataLoader(Stream(), 8)),
    "iterable, limited": Scenario(Net, train=lambda: DataLoader(Stream(), 8), trainer={"limit_train_batches": 3}),
    "iterable in workers": Scenario(Net, train=lambda: DataLoader(Stream(), 8, num_workers=2)),
    "own order": Scenario(Net, train=lambda: DataLoader(TRAIN, 8, sampler=OwnOrder())),
    "unbatched": Scenario(Net, train=lambda: DataLoader([(X[i : i + 8], Y[i : i + 8]) for i in (0, 8, 16)], None)),
    "list of batches": Scenario(Net, train=Batches),
    "endless": Scenario(Net, train=Endless, trainer={"limit_train_batches": 4}),
    "live generator": Scenario(Net, train=LiveGenerator),
    "combined": Scenario(TwoStreams, train=_combined),
    "takes iterator": Scenario(TakesIterator),
    "datamodule": Scenario(Net, datamodule=Data),
    "reloaded": Scenario(Net, datamodule=Data, trainer={"reload_dataloaders_every_n_epochs": 1}),
    "keeps state": Scenario(KeepsState),
    "metrics": Scenario(Metrics),
    "groups": Scenario(Groups),
    "by hand": Scenario(ByHand),
    "lbfgs": Scenario(LBFGS),
    "skips steps": Scenario(SkipsSteps),
    "leaves epoch early": Scenario(LeavesEpochEarly),
    "stops inside": Scenario(StopsInside, trainer={"max_epochs": 4}),
    "changes mode": Scenario(ChangesMode),
    "writes in validation": Scenario(WritesInValidation),
    "drifts in validation": Scenario(DriftsInValidation),
    "drifts behind the counter": Scenario(DriftsBehindTheCounter),
    "lazy": Scenario(Lazy, follows=False),
    "writes its rate": Scenario(WritesItsRate),
    "accumulates": Scenario(Net, trainer={"accumulate_grad_batches": 2}),
    "accumulates over a limit": Scenario(Net, trainer={"accumulate_grad_batches": 3, "limit_train_batches": 4}),
    "clips norm": Scenario(Net, trainer={"gradient_clip_val": 0.1}),
    "clips value": Scenario(Net, trainer={"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"}),
    "bf16": Scenario(Net, trainer={"precision": "bf16-mixed"}),
    "64 bit": Scenario(Net, trainer={"precision": "64-true"}),
    "limited": Scenario(Net, trainer={"limit_train_batches": 3, "limit_val_batches": 1}),
    "overfits": Scenario(Net, train=lambda: DataLoader(TRAIN, 8), trainer={"overfit_batches": 2}),
    "validates every other epoch": Scenario(Net, trainer={"check_val_every_n_epoch": 2}),
    "validates in mid-epoch": Scenario(Net, trainer={"val_check_interval": 0.5}),
    "validates by steps": Scenario(Net, trainer={"val_check_interval": 3, "check_val_every_n_epoch": None}),
    "no sanity check": Scenario(Net, trainer={"num_sanity_val_steps": 0}),
    "stops in mid-epoch": Scenario(Net, trainer={"max_epochs": -1, "max_steps": 8}),
    "no validation": Scenario(NoValidation, val=None),
    "validation off": Scenario(Net, trainer={"limit_val_batches": 0}),
    "logs nothing": Scenario(LogsNothing),
    "barebones": Scenario(Net, trainer={"barebones": True}),
    "shuffled validation": Scenario(Net, val=lambda: DataLoader(VAL, 10, sampler=torch.utils.data.RandomSampler(VAL))),
    "two validation loaders": Scenario(TwoValidations, val=lambda: [DataLoader(VAL, 10), DataLoader(TRAIN, 20)]),
    "augmented validation": Scenario(Net, val=lambda: DataLoader(Augmented(), 10, num_workers=2)),
    "augmented validation, persistent workers": Scenario(
        Net, val=lambda: DataLoader(Augmented(), 10, num_workers=2, persistent_workers=True)
    ),
    "live validation": Scenario(Net, val=LiveGenerator),
    "endless validation": Scenario(Net, val=Endless, trainer={"limit_val_batches": 2}),
    "compiled": Scenario(Compiled),
    "detects anomalies": Scenario(Net, trainer={"detect_anomaly": True}),
    "finder before": Scenario(Net, callbacks=lambda: [LearningRateFinder(num_training_steps=5)], follows=False),
    "stops early": Scenario(Net, callbacks=lambda: [EarlyStopping("val_loss", patience=0)], follows=False),
    "accumulates by epoch": Scenario(Net, callbacks=lambda: [GradientAccumulationScheduler({0: 2, 1: 1})]),
    "timer": Scenario(Net, callbacks=lambda: [Timer("00:01:00:00")]),
    "prunes": Scenario(Net, callbacks=lambda: [ModelPruning("l1_unstructured", amount=0.2)], follows=False),
    "preprocessing callback": Scenario(Net, callbacks=lambda: [Preprocesses()]),
    "counting callback, persistent workers": Scenario(
        Net, train=_workers(Augmented, persistent_workers=True), callbacks=lambda: [CountsBatches()]
    ),
    "counting callback": Scenario(Net, callbacks=lambda: [CountsBatches()]),
    **{
        f"scheduler: {kind}": Scenario(lambda kind=kind: Scheduled(kind), search=SCALE, follows=False)
        for kind in ("step", "epoch", "plateau", "cosine", "onecycle", "warmup from zero", "sequential")
    },
    "scheduler by hand": Scenario(SchedulerByHand, search=SCALE, follows=False),
}

TYPICAL = (
    "shuffled", "augmented workers", "augmented persistent workers", "own generators", "iterable, limited",
    "combined", "takes iterator", "datamodule", "keeps state", "metrics", "groups", "by hand", "lbfgs",
    "writes in validation", "accumulates over a limit", "validates in mid-epoch", "stops in mid-epoch",
    "no validation", "augmented validation, persistent workers", "counting callback",
)  # fmt: skip
"""one of each kind, for a second way of searching where the first one goes through all"""
