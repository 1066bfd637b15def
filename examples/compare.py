"""What the examples share: a classifier to train, and a searched run beside plain ones, with what each of them cost."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.report.html import write_report

Loaders = dict[str, DataLoader]
"""loaders of the splits train, val (rates are chosen by it) and test (no search sees it)"""


class Classifier(LightningModule):
    """Any network that gives logits, with cross entropy and SGD; logs loss and accuracy."""

    cosine = False
    """whether the rate falls along a cosine, to zero at the run's end"""

    def __init__(self, net: nn.Module, *, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        super().__init__()
        self.net = net
        self.sgd = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        return cross_entropy(self.net(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._log_scores(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._log_scores(batch, "test")

    def measure(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        images, labels = batch
        logits = self.net(images)
        return {"loss": cross_entropy(logits, labels), "acc": (logits.argmax(dim=1) == labels).float().mean()}

    def _log_scores(self, batch: tuple[Tensor, Tensor], split: str) -> None:
        for name, value in self.measure(batch).items():
            self.log(f"{split}_{name}", value, prog_bar=True)

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.SGD(self.parameters(), **self.sgd)
        if not self.cosine:
            return {"optimizer": optimizer}
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def run(
    make: Callable[[], Classifier],
    loaders: Loaders,
    *,
    epochs: int,
    seed: int,
    accelerator: str = "cpu",
    search: GammaLRSearch | None = None,
    cosine: bool = False,
) -> dict[str, float]:
    """Train a network from the same start as every other run of that seed, and judge it on the test split."""
    seed_everything(seed, verbose=False)
    module = make()
    module.cosine = cosine
    common = {"accelerator": accelerator, "devices": 1, "logger": False, "enable_model_summary": False}
    callbacks = [search] if search else None
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=search is not None,
        **common,
    )
    began = time.perf_counter()
    trainer.fit(module, loaders["train"], loaders["val"])
    seconds = time.perf_counter() - began
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # the search has told its story
    (scores,) = Trainer(enable_progress_bar=False, **common).test(module, loaders["test"], verbose=False)
    history = search.history if search else ()
    return {
        "epochs": epochs,
        "test accuracy": scores["test_acc"],
        "test loss": scores["test_loss"],
        "train passes": sum(record.train_passes for record in history) + epochs - len(history),
        "val passes": sum(record.val_passes for record in history) + epochs - len(history),
        "seconds": round(seconds, 1),
    }


def quiet() -> None:
    """For long series of short fits: no advice, no word from Lightning or a search below an error."""
    ignore_advice()
    warnings.filterwarnings("ignore", ".*`tree_.*` is deprecated.*|.*lr_scheduler.step.*")
    for name in ("lightning.pytorch", "lightning.fabric", "lightning_gammabo"):
        logging.getLogger(name).setLevel(logging.ERROR)


def ignore_advice() -> None:
    """Lines that do not fit networks of this size, and one of Lightning about itself."""
    warnings.filterwarnings("ignore", ".*does not have many workers.*|.*The number of training batches.*|.*LeafSpec.*")


def compare(
    make: Callable[[], Classifier],
    loaders: Loaders,
    search: GammaLRSearch,
    *,
    epochs: int,
    seed: int,
    out: Path,
    accelerator: str = "cpu",
) -> None:
    """One searched run; plain ones of as many epochs, and of as many passes; tables, history and a picture."""
    ignore_advice()
    sizes = {name: len(loader.dataset) for name, loader in loaders.items()}
    common = {"seed": seed, "accelerator": accelerator}
    print("{train} images to train, {val} to choose rates by, {test} to judge by\n".format(**sizes))
    runs = {"searched": run(make, loaders, epochs=epochs, search=search, **common)}
    rate = f"lr {make().sgd['lr']:g}"
    same_cost = round(runs["searched"]["train passes"])
    for kind in ("constant", "cosine"):
        for name, n in ((f"{kind}, {rate}", epochs), (f"{kind}, {rate}, same cost", same_cost)):
            print(f"{name}: {n} epochs ...", flush=True)
            runs[name] = run(make, loaders, epochs=n, cosine=kind == "cosine", **common)

    out.mkdir(parents=True, exist_ok=True)
    search.history.save(out / "history.jsonl")
    search.history.save(out / "history.csv")
    draw_glance(search).savefig(out / "schedule.png", dpi=150)
    write_report(search.history, out / "report.html")

    print(f"\nOn the {sizes['test']} images that no search saw:\n")
    print(comparison_table(runs), end="\n\n")
    print(f"history.jsonl, history.csv, schedule.png and report.html are in {out}")


def comparison_table(runs: dict[str, dict[str, float]]) -> str:
    """One line for each run: its name on the left, numbers on the right."""
    lines = [("run", *runs["searched"])]
    lines += [(name, *(f"{value:.4g}" for value in values.values())) for name, values in runs.items()]
    width, *widths = (max(map(len, column)) for column in zip(*lines, strict=True))
    return "\n".join("  ".join([line[0].ljust(width), *map(str.rjust, line[1:], widths)]) for line in lines)


def draw_glance(search: GammaLRSearch) -> plt.Figure:
    """Rates tried and kept and the objective by epoch; beside them what the surrogate made of the first epoch."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", width_ratios=(3, 2))
    search.plot("schedule", ax=left)
    search.plot("surrogate", epoch=search.history[0].epoch, ax=right)
    return figure
