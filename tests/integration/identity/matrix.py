"""Cells of the matrix of trust: optimizer, precision and callback, each a way of training in one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, callbacks
from lightning.pytorch.plugins import MixedPrecision

from tests.helpers.matrix import WHOLE
from tests.integration.identity.scenarios import TRAIN, Net, Scenario

schedulefree: Any
try:
    import schedulefree
except ImportError:  # not on the lowest versions
    schedulefree = None


class With(Net):
    """The usual module with an optimizer to choose."""

    def __init__(self, make: Callable[..., Any], **options: Any) -> None:
        super().__init__()
        self.make, self.options = make, options

    def configure_optimizers(self) -> Any:
        return self.make(self.parameters(), **{"lr": self.lr, **self.options})


class ScheduleFree(With):
    """Puts the optimizer into its modes, as its authors ask for."""

    def on_train_epoch_start(self) -> None:
        self.optimizers().optimizer.train()

    def on_validation_model_eval(self) -> None:
        super().on_validation_model_eval()
        self.optimizers().optimizer.eval()

    def on_validation_model_train(self) -> None:
        super().on_validation_model_train()
        self.optimizers().optimizer.train()


def _of(name: str, kind: type[With] = With, package: Any = torch.optim, **options: Any) -> Callable[[], With]:
    return lambda: kind(getattr(package, name), **options)


OPTIMIZERS: dict[str, Callable[[], With]] = {
    "SGD": _of("SGD"),
    "momentum": _of("SGD", momentum=0.9, weight_decay=1e-4),
    "Nesterov": _of("SGD", momentum=0.9, nesterov=True),
    "AdaGrad": _of("Adagrad"),
    "RMSprop": _of("RMSprop", lr=0.005),
    "Adam": _of("Adam", lr=0.005),
    "AdamW": _of("AdamW", lr=0.005, amsgrad=True),
    "LBFGS": _of("LBFGS", lr=0.1, max_iter=3),
    "SGD foreach": _of("SGD", momentum=0.9, foreach=True),
    "SGD fused": _of("SGD", momentum=0.9, fused=True),
    "Adam foreach": _of("Adam", lr=0.005, foreach=True),
    "Adam fused": _of("Adam", lr=0.005, fused=True),
    "AdamW fused": _of("AdamW", lr=0.005, fused=True),
    "Adam, rate in a tensor": lambda: With(torch.optim.Adam, lr=torch.tensor(0.005), foreach=False),
}
if schedulefree is not None:
    OPTIMIZERS |= {
        "schedule-free SGD": _of("SGDScheduleFree", ScheduleFree, schedulefree),
        "schedule-free AdamW": _of("AdamWScheduleFree", ScheduleFree, schedulefree, lr=0.005, warmup_steps=3),
    }


def _live_scaler() -> dict[str, Any]:
    # so high a scale overflows in the first steps, so short an interval lets it grow again
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=2)
    return {"plugins": [MixedPrecision("16-mixed", device="cpu", scaler=scaler)]}


PRECISIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "32": dict,
    "64": lambda: {"precision": "64-true"},
    "bf16-mixed": lambda: {"precision": "bf16-mixed"},
    "16-mixed": _live_scaler,
}

IMPOSSIBLE = {
    ("LBFGS", "16-mixed"): "an LBFGS step is a closure, which no GradScaler can scale; Lightning refuses it",
    ("SGD fused", "16-mixed"): "PyTorch's own fit is not the same twice: skipped first steps leave the momentum unset",
}


class Backbone(Net):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = self.net[0], self.net[1:]

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], lr=self.lr, momentum=0.9)


class Sized(Net):
    """Has a batch size to be found."""

    batch_size = 4

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(TRAIN, self.batch_size, shuffle=True)


def _plain(name: str, **options: Any) -> Callable[[], list[Callback]]:
    return lambda: [getattr(callbacks, name)(**options)]


def _checkpoint(**options: Any) -> Callable[[], list[Callback]]:
    return lambda: [callbacks.ModelCheckpoint("checkpoints", **options)]


def _sizes() -> list[Callback]:
    return [callbacks.BatchSizeFinder(mode="power", steps_per_trial=1, max_trials=2, init_val=4)]


_LOGS = {"logger": True, "log_every_n_steps": 1}
CALLBACKS: dict[str, Scenario] = {
    "EarlyStopping": Scenario(
        Net, callbacks=_plain("EarlyStopping", monitor="val_loss", patience=0), trainer={"max_epochs": 4}
    ),
    "EarlyStopping in training": Scenario(
        Net,
        callbacks=_plain("EarlyStopping", monitor="train_loss", patience=0, check_on_train_epoch_end=True),
        trainer={"max_epochs": 4},
    ),
    "ModelCheckpoint best": Scenario(Net, callbacks=_checkpoint(monitor="val_loss", save_last=True)),
    "ModelCheckpoint epochs": Scenario(Net, callbacks=_checkpoint(every_n_epochs=1, save_top_k=-1)),
    "ModelCheckpoint train end": Scenario(Net, callbacks=_checkpoint(save_on_train_epoch_end=True)),
    "ModelCheckpoint steps": Scenario(Net, callbacks=_checkpoint(every_n_train_steps=2, save_top_k=-1)),
    "ModelCheckpoint time": Scenario(
        Net, callbacks=lambda: [callbacks.ModelCheckpoint("checkpoints", train_time_interval=_hour())]
    ),
    "OnExceptionCheckpoint": Scenario(Net, callbacks=_plain("OnExceptionCheckpoint", dirpath="checkpoints")),
    # in the epoch's interval it logs before the search, as every hook at the epoch's start runs before it
    "LearningRateMonitor": Scenario(
        Net, callbacks=_plain("LearningRateMonitor", logging_interval="step"), trainer=_LOGS
    ),
    "LearningRateMonitor epochs": Scenario(
        Net, callbacks=_plain("LearningRateMonitor", logging_interval="epoch"), trainer=_LOGS, follows=False
    ),
    "DeviceStatsMonitor": Scenario(
        Net, callbacks=_plain("DeviceStatsMonitor", cpu_stats=False), trainer={"logger": True}
    ),
    # its schedule is an LR scheduler, so it goes on under lr_schedulers="scale" only
    "StochasticWeightAveraging": Scenario(
        Net,
        callbacks=_plain("StochasticWeightAveraging", swa_lrs=0.02, swa_epoch_start=1),
        search={"lr_schedulers": "scale"},
        follows=False,
    ),
    "StochasticWeightAveraging late": Scenario(
        Net,
        callbacks=_plain("StochasticWeightAveraging", swa_lrs=0.02, swa_epoch_start=3),
        search={"lr_schedulers": "scale"},
        trainer={"max_epochs": 5},
        follows=False,
    ),
    "BackboneFinetuning": Scenario(
        Backbone, callbacks=_plain("BackboneFinetuning", unfreeze_backbone_at_epoch=1, lambda_func=lambda epoch: 1.5)
    ),
    "GradientAccumulationScheduler": Scenario(
        Net, callbacks=_plain("GradientAccumulationScheduler", scheduling={0: 2, 1: 1})
    ),
    "Timer": Scenario(Net, callbacks=_plain("Timer", duration="00:01:00:00", interval="epoch")),
    "Timer in steps": Scenario(Net, callbacks=_plain("Timer", duration="00:01:00:00", interval="step")),
    "BatchSizeFinder": Scenario(Sized, train=lambda: None, callbacks=_sizes),
    "LearningRateFinder": Scenario(Net, callbacks=_plain("LearningRateFinder", num_training_steps=5)),
    "ModelPruning": Scenario(
        Net, callbacks=_plain("ModelPruning", pruning_fn="l1_unstructured", amount=0.2), follows=False
    ),
    "LambdaCallback": Scenario(Net, callbacks=_plain("LambdaCallback", on_train_epoch_end=lambda *_: torch.rand(()))),
}
if hasattr(callbacks, "WeightAveraging"):  # Lightning 2.6 on
    CALLBACKS |= {
        "WeightAveraging": Scenario(Net, callbacks=_plain("WeightAveraging")),
        "EMAWeightAveraging": Scenario(Net, callbacks=_plain("EMAWeightAveraging", decay=0.9)),
    }


def _hour() -> Any:
    import datetime

    return datetime.timedelta(hours=1)


def _cells() -> dict[str, Scenario]:
    cells = {
        f"{optimizer} | {precision} | none": Scenario(make, trainer={"precision of": options})
        for optimizer, make in OPTIMIZERS.items()
        for precision, options in PRECISIONS.items()
        if (optimizer, precision) not in IMPOSSIBLE
    }
    return cells | {f"momentum | 32 | {name}": scenario for name, scenario in CALLBACKS.items()}


FAST = (
    "Adam fused | 32 | none", "AdaGrad | 64 | none", "AdamW | bf16-mixed | none", "momentum | 16-mixed | none",
    "LBFGS | 32 | none", "Adam, rate in a tensor | 32 | none", "schedule-free AdamW | 32 | none",
    *(f"momentum | 32 | {name}" for name in CALLBACKS if name.startswith(("EMA", "Stoch", "Back", "Early"))),
)  # fmt: skip
"""what every run of the tests goes through"""
CELLS = {name: cell for name, cell in _cells().items() if WHOLE or name in FAST}
