"""Six ways in which Lightning's own ``LearningRateFinder`` fails (2.6.6), each as a test that a search passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo import GammaLRSearch, ListSampler
from tests.helpers.matrix import WHOLE
from tests.helpers.searching import gamma_search
from tests.integration.identity.scenarios import TRAIN, VAL, ByHand, Groups, Net

pytestmark = pytest.mark.filterwarnings("ignore")


class Rates(Callback):
    """The rates that each epoch ends with, and those that each step of a candidate is trained at."""

    def __init__(self) -> None:
        self.at_end: list[list[float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.at_end.append([group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups])


def fit(module: LightningModule, search: GammaLRSearch, *callbacks: Callback, **options: Any) -> Rates:
    seed_everything(1, verbose=False)
    rates = Rates()
    checkpoint = options.pop("ckpt_path", None)
    defaults = {"max_epochs": 3, "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    defaults["enable_checkpointing"] = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    trainer = Trainer(callbacks=[search, rates, *callbacks], accelerator="cpu", **{**defaults, **options})
    trainer.fit(module, DataLoader(TRAIN, 8, shuffle=True), DataLoader(VAL, 10), ckpt_path=checkpoint)
    return rates


def test_every_epoch_is_searched_in_full() -> None:
    """The finder's documented recipe for every epoch probes 100 steps, then 1, then 0."""
    search = GammaLRSearch("thesis", sampler=ListSampler([0.01, 0.1]))
    fit(Net(), search)
    assert [[result.steps for result in record.results] for record in search.history] == [[5, 5, 5]] * 3
    assert all(record.chosen is not None for record in search.history)


@pytest.mark.parametrize("mode", ["override", "scale"])
def test_the_rate_found_outlives_a_scheduler(mode: Any) -> None:
    """A scheduler's first step puts the rate from before the finder back."""

    class Constant(Net):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.01)
            return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)]

    search = gamma_search("thesis", sampler=ListSampler([0.3]), lr_schedulers=mode, stop_epoch=1, objective="loss")
    rates = fit(Constant(), search)
    assert search.history[0].chosen.lr == 0.3
    assert rates.at_end == [[pytest.approx(0.3, rel=1e-12)]] * 3


def test_ratios_of_parameter_groups_stay() -> None:
    """The finder writes one rate to all groups."""
    search = GammaLRSearch("thesis", sampler=ListSampler([0.002, 0.05]))
    rates = fit(Groups(), search)
    for (first, second), record in zip(rates.at_end, search.history, strict=True):
        assert first == record.chosen.lr
        assert second / first == pytest.approx(10.0, rel=1e-12)


def test_manual_optimisation_is_searched() -> None:
    """With manual optimisation the finder's sweep changes nothing, and leaves a rate of 1e-8 behind."""
    trained: list[tuple[float, float]] = []

    class Notes(ByHand):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            trained.append(tuple(optimizer.param_groups[0]["lr"] for optimizer in self.optimizers()))
            return super().training_step(batch, batch_idx)

    search = GammaLRSearch("thesis", sampler=ListSampler([0.01, 0.1]))
    rates = fit(Notes(), search, max_epochs=1)
    assert [first for first, _ in dict.fromkeys(trained)] == [0.05, 0.01, 0.1]
    assert all(second / first == pytest.approx(0.2, rel=1e-12) for first, second in trained)
    assert rates.at_end[0][0] == search.history[0].chosen.lr


def test_a_resumed_fit_repeats_neither_epoch_nor_search(tmp_path: Path) -> None:
    """Resumed with the finder, a finished epoch is trained again and the checkpoint's rate is lost."""
    steps: list[int] = []

    class Counts(Net):
        def on_train_epoch_end(self) -> None:
            steps.append(self.global_step)

    first = GammaLRSearch("thesis", sampler=ListSampler([0.2]))
    fit(Counts(), first, ModelCheckpoint(tmp_path, filename="last"), max_epochs=2)
    second = GammaLRSearch("thesis", sampler=ListSampler([0.2]))
    rates = fit(Counts(), second, max_epochs=3, ckpt_path=tmp_path / "last.ckpt")
    assert steps == [5, 10, 15]
    assert [record.epoch for record in second.history] == [0, 1, 2]
    assert second.history[2].results[0].lr == first.history[1].chosen.lr
    assert len(rates.at_end) == 1


@pytest.mark.parametrize("seed", range(6 if WHOLE else 2))
def test_the_rate_found_trains(seed: int) -> None:
    """On a linearly separable problem the finder suggests about 1e-7, at which nothing is learnt (loss 0.70)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(512, 8, generator=generator)
    y = (x @ torch.randn(8, generator=generator) > 0).long()
    train, val = TensorDataset(x[:384], y[:384]), TensorDataset(x[384:], y[384:])

    class Linear(Net):
        def __init__(self, lr: float) -> None:
            super().__init__(lr)
            self.net = nn.Linear(8, 2)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    def loss_after(lr: float, *callbacks: Callback) -> float:
        seed_everything(seed, verbose=False)
        trainer = Trainer(
            max_epochs=2, accelerator="cpu", callbacks=list(callbacks), logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(Linear(lr), DataLoader(train, 16, shuffle=True), DataLoader(val, 128))
        return float(trainer.callback_metrics["val_loss"])

    grid = min(loss_after(lr) for lr in (1e-3, 1e-2, 1e-1, 1.0))
    assert loss_after(1e-6, gamma_search("thesis", first_model=4, seed=seed)) < grid + 0.05
