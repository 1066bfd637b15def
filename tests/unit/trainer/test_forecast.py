"""Forecasts of real fits: the rates that they then have, step by step; and a fit with a forecast is the same fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import nn
from torch.optim import lr_scheduler as lrs
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo.learning_rate.lookahead import Forecast
from lightning_gammabo.trainer.forecast import HORIZON, forecast_of
from tests.integration.identity.fingerprint import differences, fingerprint

pytestmark = pytest.mark.filterwarnings("ignore")

Make = Callable[[Any, "Net"], Any]


class Net(LightningModule):
    def __init__(self, make: Make, adam: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.make = make
        self.adam = adam

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.layer(batch[0]).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        groups: list[dict[str, Any]] = [{"params": [self.layer.weight]}, {"params": [self.layer.bias], "lr": 0.001}]
        optimizer = torch.optim.AdamW(groups, lr=0.1) if self.adam else torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        return [optimizer], self.make(optimizer, self)


class OwnStep(Net):
    """Steps a scheduler that Lightning knows nothing of."""

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        self.asked = self.global_step
        scheduler.step(self.global_step + self.current_epoch)


class Looks(Callback):
    """Looks ahead at the start of an epoch, and writes down the rates from then on."""

    def __init__(self, epoch: int = 0, look: bool = True) -> None:
        self.epoch, self.look = epoch, look
        self.forecast: Any = None
        self.rates: list[list[float]] = []
        self.momenta: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.current_epoch == self.epoch and self.look:
            self.forecast = forecast_of(trainer)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        if trainer.current_epoch >= self.epoch:
            groups = optimizer.param_groups
            self.rates.append([group["lr"] for group in groups])
            self.momenta.append(groups[0]["betas"][0] if "betas" in groups[0] else groups[0]["momentum"])


def fit(make: Make, looks: Looks, adam: bool = False, module: Any = Net, callbacks: Any = (), **options: Any) -> Any:
    seed_everything(0, verbose=False)
    given = {"max_epochs": 4, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False, **options}
    trainer = Trainer(**given, callbacks=[looks, *callbacks], enable_model_summary=False, accelerator="cpu")
    net = (OwnStep if "Timely" in make.__code__.co_names else module)(make, adam)
    trainer.fit(net, DataLoader(TensorDataset(torch.randn(7, 2)), batch_size=1, shuffle=True))
    return trainer, net


def one(scheduler: Any, interval: str = "step", frequency: int = 1) -> list[Any]:
    return [{"scheduler": scheduler, "interval": interval, "frequency": frequency}]


def one_cycle(optimizer: Any, module: Net) -> Any:
    return one(lrs.OneCycleLR(optimizer, [0.5, 0.05], int(module.trainer.estimated_stepping_batches)))


def sequential(optimizer: Any, module: Net) -> Any:
    parts = [lrs.LinearLR(optimizer, 0.01, 1.0, 5), lrs.CosineAnnealingLR(optimizer, 20)]
    return one(lrs.SequentialLR(optimizer, parts, [5]))


class Timely:
    """Not of torch."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer, self.steps = optimizer, 0

    def step(self, steps: int) -> None:
        self.steps = steps
        for group in self.optimizer.param_groups:
            group["lr"] *= 1.5 if self.steps < 5 else 0.8

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


SCHEDULES: dict[str, Make] = {
    "one-cycle": one_cycle,
    "sequential": sequential,
    "restarts": lambda o, m: one(lrs.CosineAnnealingWarmRestarts(o, 4)),
    "lambda from zero": lambda o, m: one(lrs.LambdaLR(o, lambda s: min(1.0, s / 9))),
    "own lambda for each group": lambda o, m: one(lrs.LambdaLR(o, [lambda s: 0.9**s, lambda s: float(s > 5)])),
    "every third batch": lambda o, m: one(lrs.ExponentialLR(o, 0.7), frequency=3),
    "every second epoch": lambda o, m: one(lrs.ExponentialLR(o, 0.7), "epoch", 2),
    "two": lambda o, m: one(lrs.LinearLR(o, 0.1, 1.0, 9)) + one(lrs.StepLR(o, 2), "epoch"),
    "not of torch": lambda o, m: one(Timely(o)),
    "none": lambda o, m: [],
}
RUNS: dict[str, dict[str, Any]] = {
    "epochs": {},
    "accumulated": {"accumulate_grad_batches": 3},
    "by steps": {"max_epochs": -1, "max_steps": 17},
    "limited": {"limit_train_batches": 5, "max_steps": 13},
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_fit_has_the_rates_of_its_forecast_and_is_not_changed_by_it(name: str, run: str) -> None:
    looks = Looks()
    trainer, net = fit(SCHEDULES[name], looks, adam=run == "limited", **RUNS[run])
    found = looks.forecast
    assert isinstance(found, Forecast), found
    steps = len(looks.rates)
    reference = np.array([rates[0] for rates in looks.rates])
    if name == "none":
        assert found.constant
        assert found.peak == 0.1
    else:
        assert len(found.multipliers) == steps
        np.testing.assert_array_equal(found.multipliers * found.peak, reference / reference.max() * found.peak)
        ahead = [[m * found.peak * r for r in found.ratios_at(i)] for i, m in enumerate(found.multipliers)]
        np.testing.assert_allclose(ahead, looks.rates, rtol=1e-5, atol=1e-12)
    if name == "one-cycle":
        np.testing.assert_array_equal(found.momenta, looks.momenta)
    again, plain = fit(SCHEDULES[name], Looks(look=False), adam=run == "limited", **RUNS[run])
    assert differences(fingerprint(again, plain), fingerprint(trainer, net)) == []


def test_a_later_epoch_sees_what_is_left() -> None:
    looks = Looks(epoch=2)
    fit(sequential, looks)
    assert len(looks.forecast.multipliers) == len(looks.rates) == 14
    np.testing.assert_array_equal(
        looks.forecast.multipliers, np.array([r for r, _ in looks.rates]) / looks.forecast.peak
    )


def test_a_run_without_end_is_seen_for_some_epochs() -> None:
    class Stops(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
            trainer.should_stop = True

    looks = Looks()
    fit(sequential, looks, callbacks=[Stops()], max_epochs=-1)
    assert len(looks.forecast.multipliers) == HORIZON * 7


# ---- what cannot be known


class ByHand(Net):
    def __init__(self, make: Make, adam: bool) -> None:
        super().__init__(make, adam)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.layer(batch[0]).square().mean())
        optimizer.step()
        self.lr_schedulers().step()  # type: ignore[union-attr]


class AsksItsTrainer(Net):
    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        if self.trainer.current_epoch < 3:
            scheduler.step()


class Writes(Net):
    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, closure: Any = None) -> None:
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * min(1.0, (self.trainer.global_step + 1) / 9)
        optimizer.step(closure=closure)


class LogsRate(Net):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.log("rate", self.trainer.optimizers[0].param_groups[0]["lr"])


class WarmsUp(Callback):
    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        trainer.optimizers[0].param_groups[0]["lr"] *= 1.01


@pytest.mark.parametrize(
    ("module", "callbacks", "reason"),
    [
        (ByHand, [], "ByHand steps its LR schedulers by hand (automatic_optimization=False)"),
        (AsksItsTrainer, [], "AsksItsTrainer.lr_scheduler_step asks for its Trainer"),
        (Writes, [], "Writes.optimizer_step writes the learning rate"),
        (Net, [WarmsUp()], "WarmsUp.on_train_batch_start writes the learning rate"),
    ],
)
def test_what_moves_the_rate_otherwise_is_named(module: Any, callbacks: list[Any], reason: str) -> None:
    looks = Looks()
    fit(sequential, looks, module=module, callbacks=callbacks)
    assert looks.forecast == reason


def test_reading_the_rate_moves_nothing() -> None:
    looks = Looks()
    fit(sequential, looks, module=LogsRate)
    assert isinstance(looks.forecast, Forecast)
