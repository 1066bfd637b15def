"""Checkpoints written by step within a searched epoch: a run resumed from any is the run that never stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from tests.integration.faces.fits import Fit, default, one
from tests.integration.identity.scenarios import Net, X, Y

pytestmark = pytest.mark.filterwarnings("ignore")
BATCHES = 6


class Stateful:
    """A loader that goes on in the midst of an epoch."""

    def __init__(self) -> None:
        self.epoch = self.at = self.start = 0

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self) -> Iterator[Any]:
        first, self.start = self.start, 0
        order = torch.randperm(40, generator=torch.Generator().manual_seed(self.epoch))
        for index in range(first, BATCHES):
            self.at = index + 1
            chosen = order[index * 6 : index * 6 + 6]
            yield X[chosen], Y[chosen]
        self.epoch += 1
        self.at = 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.start, self.at = state["epoch"], state["at"], state["at"]


class Linear(Net):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(6, 3)  # type: ignore[assignment]


@pytest.mark.parametrize("search", [lambda: None, one, default])
def test_a_stateful_loader(tmp_path: Path, search: Any) -> None:
    def saving() -> list[Any]:
        return [ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1, filename="{step}")]

    whole = Fit(Linear, search(), train=Stateful, callbacks=saving, enable_checkpointing=True, epochs=2)
    for step in (2, 4, 8, 10):
        path = tmp_path / f"step={step}.ckpt"
        loops = torch.load(path, weights_only=False)["loops"]
        assert loops["fit_loop"]["state_dict"]["combined_loader"][0]["at"] == (step - 1) % BATCHES + 1
        resumed = Fit(Linear, search(), train=Stateful, ckpt_path=path, epochs=2)
        assert resumed.trainer.global_step == whole.trainer.global_step == 2 * BATCHES
        assert resumed.left["parameters"] == whole.left["parameters"]
        assert resumed.left["optimizer state"] == whole.left["optimizer state"]
