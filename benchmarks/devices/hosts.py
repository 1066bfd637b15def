"""One host's process of ``hosts.sh``: ``python -m benchmarks.devices.hosts identity|dies``."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo import GammaLRSearch, SearchPolicy

WHOLE_EPOCHS = {"base": "thesis", "first_random": 1}


class Net(LightningModule):
    """A small classifier; on the second host it may end its process in the middle of a search.

    Args:
        dies: whether it does.
    """

    def __init__(self, dies: bool = False) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))
        self.dies = dies

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.dies and self.global_rank == 1 and self.optimizers().param_groups[0]["lr"] != 0.05:
            os._exit(7)
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]), sync_dist=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


def fit(*callbacks: Callback, dies: bool = False) -> dict[str, torch.Tensor]:
    seed_everything(1, verbose=False)
    x = torch.randn(128, 6)
    data = TensorDataset(x, (x.sum(1) > 0).long())
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", devices=1, num_nodes=2, strategy="ddp", callbacks=list(callbacks),
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    module = Net(dies)
    trainer.fit(module, DataLoader(data, 8, shuffle=True), DataLoader(data, 16))
    return module.state_dict()


def main(task: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    many = GammaLRSearch(SearchPolicy(**WHOLE_EPOCHS, first_model=3), objective="loss", progress=False)  # type: ignore[arg-type]
    if task == "dies":
        fit(many, dies=True)
        return
    one = GammaLRSearch(SearchPolicy(**WHOLE_EPOCHS, first_model=0), objective="loss", progress=False)  # type: ignore[arg-type]
    plain, searched = fit(), fit(one)
    same = all(torch.equal(plain[name], searched[name]) for name in plain)
    fit(many)
    tried = [len(record.results) for record in many.history]
    print(f"one candidate is the plain fit bit for bit: {same}; candidates tried in the epochs of a search: {tried}")
    sys.exit(not same)


if __name__ == "__main__":
    main(sys.argv[1])
