"""Optimizers that promise to need no rate, or no schedule, from their packages and with their documented defaults.

``schedule-free`` keeps its own default rate (1.0 for SGD, 0.0025 for AdamW) and 5 % warm-up; Prodigy and D-Adaptation
rate 1 with a cosine, as their own pages advise. None looks at the configured rate.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from benchmarks.training.counter import SAMPLES
from benchmarks.training.fitting import Fitted, Run, fit
from benchmarks.training.networks import sgd

WARM_UP = 0.05
NORM_BATCHES = 50
"""Batches that its page advises for BatchNorm's statistics of the averaged weights."""


class TrainEval(Callback):
    """Tells a schedule-free optimizer when its averaged weights are wanted."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._switch(trainer, "train")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._switch(trainer, "eval")
        last = trainer.current_epoch == (trainer.max_epochs or 0) - 1
        if last and any(isinstance(part, nn.BatchNorm2d) for part in pl_module.modules()):
            self._statistics(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch < (trainer.max_epochs or 0) - 1:
            self._switch(trainer, "train")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self._switch(trainer, "train")

    @staticmethod
    def _switch(trainer: Trainer, mode: str) -> None:
        for optimizer in trainer.optimizers:
            getattr(optimizer, mode)()

    @staticmethod
    def _statistics(trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.train()
        with torch.no_grad():
            for batch, _ in zip(trainer.train_dataloader or (), range(NORM_BATCHES), strict=False):
                pl_module.net(batch[0])
                SAMPLES.validated += len(batch[1])  # a forward pass, as a validated sample is
        pl_module.eval()


def schedule_free(run: Run) -> Fitted:
    import schedulefree

    workload = run.workload
    warm_up = int(WARM_UP * run.plain / workload.batch)
    kind, lr = (
        (schedulefree.SGDScheduleFree, 1.0) if workload.optimizer is sgd else (schedulefree.AdamWScheduleFree, 0.0025)
    )

    def make(parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
        return kind(list(parameters), lr=rate, weight_decay=5e-4, warmup_steps=warm_up)

    return fit(run, run.module(lr, optimizer=make), [TrainEval()])


def prodigy(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    from prodigyopt import Prodigy

    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it was asked for
        return Prodigy(list(parameters), lr=lr, weight_decay=5e-4)


def d_sgd(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    from dadaptation import DAdaptSGD

    return DAdaptSGD(list(parameters), lr=lr, momentum=0.9, weight_decay=5e-4)


def d_adam(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    from dadaptation import DAdaptAdam

    with contextlib.redirect_stdout(io.StringIO()):
        return DAdaptAdam(list(parameters), lr=lr, weight_decay=5e-4, decouple=True)


def rate_one(choose: Callable[[Run], Any]) -> Callable[[Run], Fitted]:
    """Rate 1 and a cosine over it."""

    def method(run: Run) -> Fitted:
        return fit(run, run.module(1.0, "cosine", choose(run)))

    return method


FREE = {
    "schedule-free": schedule_free,
    "prodigy": rate_one(lambda run: prodigy),
    "d-adaptation": rate_one(lambda run: d_sgd if run.workload.optimizer is sgd else d_adam),
}
