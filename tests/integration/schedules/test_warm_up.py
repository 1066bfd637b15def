"""A scheduler of the user's that warms up: candidates are compared at the peak that it leads to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo import ListSampler
from tests.helpers.searching import SHORT, gamma_search
from tests.helpers.trainers import trainer_of

pytestmark = pytest.mark.filterwarnings("ignore")

STEPS = 40
SCHEDULES: dict[str, Any] = {
    "one-cycle": lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=4 * STEPS),
    "an epoch, then constant": lambda optimizer: torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, 1.0, STEPS),
    "two epochs, then a line": lambda optimizer: torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (2 * STEPS), max(0.0, 2.0 - step / (2 * STEPS)))
    ),
}


class Line(LightningModule):
    """Least squares of curvatures 1 and 0.6: a rate above 2 diverges, one below converges."""

    def __init__(self, schedule: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1, bias=False)
        self.schedule = schedule

    def loss(self, batch: Any) -> Any:
        return 0.5 * nn.functional.mse_loss(self.layer(batch[0]), 3.0 * batch[0].sum(1, keepdim=True), reduction="sum")

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [{"scheduler": self.schedule(optimizer), "interval": "step"}]


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_warm_up_misleads_no_first_search(name: str) -> None:
    """In the first steps of the warm-up 4 would be the best of these rates, at a hundredth of itself."""
    data = TensorDataset(torch.tensor([[1.0, 0.0], [0.0, 0.6**0.5]]).repeat(STEPS, 1))
    search = gamma_search(
        "once", sampler=ListSampler([4.0, 0.5, 0.01]), first_share=SHORT, min_steps=10, max_lr=5.0, progress=False
    )
    trainer = trainer_of(search, max_epochs=4)
    module = Line(SCHEDULES[name])
    trainer.fit(module, DataLoader(data, 2), DataLoader(data, 20))
    chosen = search.history[0].chosen
    assert chosen is not None, search.history[0].reason
    assert chosen.lr == pytest.approx(0.5)
    assert module.layer.weight.detach().flatten().tolist() == pytest.approx([3.0, 3.0], abs=1e-2)
