"""The range of the first search, in whole fits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo import GammaLRSearch, SearchPolicy

pytestmark = pytest.mark.filterwarnings("ignore")


class Gentle(LightningModule):
    """Its gradients are so small that the best rate lies above the usual range."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(2, 1, bias=False)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return 3e-2 * torch.nn.functional.mse_loss(self.line(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", torch.nn.functional.mse_loss(self.line(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def searched(capsys: pytest.CaptureFixture[str], **arguments: Any) -> tuple[GammaLRSearch, str]:
    seed_everything(0, verbose=False)
    x = torch.randn(64, 2)
    data = TensorDataset(x, x @ torch.tensor([[1.0], [-2.0]]))
    policy = SearchPolicy(base="once", min_steps=6, stop_below="never", prune_at="never")
    search = GammaLRSearch(policy, progress=False, **arguments)
    Trainer(
        max_epochs=2, accelerator="cpu", callbacks=[search], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    ).fit(Gentle(), DataLoader(data, 4), DataLoader(data, 32))  # fmt: skip
    return search, capsys.readouterr().out


def test_a_range_whose_end_is_best_is_widened_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    search, said = searched(capsys)
    record = search.history[0]
    assert record.max_lr == pytest.approx(10.0)
    assert record.chosen is not None
    assert record.chosen.lr > 1.0
    assert len(record.results) == 7  # at no further cost
    assert "lies at an end of the range: it is now 1e-04 to 1e+01" in said


def test_a_range_of_the_users_own_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    search, said = searched(capsys, max_lr=1.0)
    assert search.history[0].max_lr == pytest.approx(1.0)
    assert max(result.lr for result in search.history[0].results) <= 1.0 + 1e-9
    assert "lies at an end of the range" not in said
