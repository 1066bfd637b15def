"""A plan before a fit: the words are the fit's own, and the fit is the one that nobody asked about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, random_split

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.trainer.before_fit import loaders_attached
from tests.helpers.trainers import loaders, trainer_of
from tests.integration.identity.scenarios import TRAIN, Net

pytestmark = pytest.mark.filterwarnings("ignore")


class Split(LightningDataModule):
    """Draws from the global generator when it is set up."""

    def setup(self, stage: str) -> None:
        self.parts = random_split(TRAIN, [24, len(TRAIN) - 24])

    def train_dataloader(self) -> Any:
        return DataLoader(self.parts[0], 8, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(self.parts[1], 8)


def test_the_estimate_is_what_the_fit_says_and_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    ended = []
    for asks in (False, True):
        search = GammaLRSearch("thesis", sampler="random", progress=False)
        trainer, net = trainer_of(search), Net()
        if asks:
            caplog.clear()
            words = search.estimate(trainer, net, datamodule=Split())
            assert words.startswith("policy 'thesis': 12 candidates over the whole range, whole epochs, then 1 search")
            assert words not in caplog.text
        trainer.fit(net, datamodule=Split())
        ended.append(torch.cat([weights.flatten() for weights in net.parameters()]))
    assert f"GammaLRSearch: {words}" in caplog.messages
    assert torch.equal(*ended)


def test_no_logger_is_opened_and_the_trainer_fits_nothing(tmp_path: Path) -> None:
    trainer, net = trainer_of(logger=CSVLogger(tmp_path)), Net()
    before, numbers = (trainer.state.fn, trainer.state.stage), torch.get_rng_state()
    with loaders_attached(trainer, net, train_dataloaders=loaders()[0]):
        assert trainer.num_training_batches == 5
        torch.rand(3)
    assert (trainer.state.fn, trainer.state.stage) == before
    assert torch.equal(torch.get_rng_state(), numbers)
    assert list(tmp_path.iterdir()) == []


def test_a_scoring_loader_of_its_own_counts() -> None:
    train, val = loaders()
    without = GammaLRSearch("thesis").estimate(trainer_of(), Net(), train, val)
    larger = GammaLRSearch("thesis", val_dataloaders=train).estimate(trainer_of(), Net(), train, val)
    assert without != larger
