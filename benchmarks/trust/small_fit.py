"""One small fit with a search in it, and all that it leaves behind: what the scripts of this folder run."""

from __future__ import annotations

import hashlib
import logging
import pickle
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo import GammaLRSearch, SearchPolicy

SEARCHES: dict[str, dict[str, Any]] = {
    "thesis": {"policy": SearchPolicy(base="thesis", first_random=2, first_model=1)},
    "epochwise": {"policy": SearchPolicy(first_random=2, first_model=2, later_share=0.3, min_steps=2)},
    "replayed": {"policy": SearchPolicy(base="thesis", first_random=1, first_model=1), "commit": "replay"},
}
"""arguments of the search, by name: whole candidates, partial ones that go on, epochs trained once more"""


class Small(LightningModule):
    """BatchNorm and dropout, Adam: a state in the weights, in the buffers, in the optimizer and in the generators."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        out = self.net(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(out, batch[1]))
        self.log("val_acc", (out.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01)


def loaders() -> tuple[DataLoader[Any], DataLoader[Any]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(120, 6, generator=generator)
    y = (x[:, 0] + 0.5 * x[:, 1] > 0).long() + (x[:, 2] > 0.8).long()
    return DataLoader(TensorDataset(x[:80], y[:80]), 8, shuffle=True), DataLoader(TensorDataset(x[80:], y[80:]), 20)


def quiet() -> None:
    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def fit(
    folder: Path,
    search: dict[str, Any],
    *,
    epochs: int,
    module: Small | None = None,
    callbacks: Iterable[Callback] = (),
    checkpoint: Path | None = None,
) -> dict[str, str]:
    """Train; a checkpoint of each epoch and the history go to the folder.

    What it gives is short enough to print: digests of the weights and buffers, of the optimizer's state, and the
    search's history and rates without times.
    """
    # a resumed process has other random numbers behind it
    seed_everything(1 if checkpoint is None else 99, verbose=False)
    callback = GammaLRSearch(**search, progress=False, history_file=str(folder / "history.jsonl"))
    keep = ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1)
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[callback, *callbacks, keep],
    )  # fmt: skip
    seed_everything(1, verbose=False)
    module = module or Small()
    trainer.fit(module, *loaders(), ckpt_path=checkpoint)
    records = [
        (record.epoch, record.chosen_number, [(r.lr, r.state.value, r.score, r.steps) for r in record.results])
        for record in callback.history
    ]
    return {
        "weights": digest(module.state_dict()),
        "optimizer": digest(trainer.optimizers[0].state_dict()["state"]),
        "steps": str(trainer.global_step),
        "history": repr(records),
        "rates": repr(callback.rates),
    }


def digest(tree: Any) -> str:
    """Of all tensors, to the bit."""
    summed = hashlib.sha256()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                summed.update(repr(key).encode())
                walk(value)
        elif isinstance(node, Tensor):
            summed.update(node.detach().contiguous().numpy().tobytes())
        else:
            summed.update(pickle.dumps(node))

    walk(tree)
    return summed.hexdigest()[:16]
