"""What the thesis's experiments share: a searched run by the published rule, judged epoch by epoch on unseen images.

The rule is ``policy="thesis"``: at every epoch so many full candidates, the best one wins, rates from 0.001 to 0.5 (the
thesis: 0.0 to 0.5; a log scale needs a lowest rate above 0). Rates are chosen by a fifth of the training images; the
test images are seen by no choice. In the thesis one split served both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from compare import Classifier, Loaders, quiet
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_matthews_corrcoef,
    multiclass_recall,
    multiclass_specificity,
)

from benchmarks.noted import missing, numbers, read_rows, rounded, run_all
from lightning_gammabo import GammaLRSearch, SearchPolicy

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "thesis"
CLASSES = 10
SEARCHES = ("grid", "gaussian", "gamma_thesis")
METHODS = (("grid", "accuracy"), ("gaussian", "accuracy"), ("gamma_thesis", "accuracy"), ("gamma_thesis", "kappa"))
"""search and objective of tables 6 and 7"""
Setting = dict[str, Any]
Make = Callable[[Setting, Path], tuple[Classifier, Loaders]]
"""setting and data folder -> network and loaders"""


class TrialScorer(Callback):
    """Measures every committed epoch on the test images (eqs. 16-19, macro averages)."""

    def __init__(self, loaders: Loaders) -> None:
        self.test, self.epochs = loaders["test"], []

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.eval()
        batches = [(pl_module.net(images), labels) for images, labels in self.test]
        pl_module.train()
        logits, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
        guesses, classes = logits.argmax(dim=1), {"num_classes": CLASSES}
        found = {
            "sensitivity": multiclass_recall(guesses, labels, **classes, average="macro"),
            "specificity": multiclass_specificity(guesses, labels, **classes, average="macro"),
            "accuracy": multiclass_accuracy(guesses, labels, **classes, average="micro"),
            "mcc": multiclass_matthews_corrcoef(guesses, labels, **classes),
            "loss": cross_entropy(logits, labels),
        }
        confusion = multiclass_confusion_matrix(guesses, labels, **classes).tolist()
        scores = {name: rounded(float(value)) for name, value in found.items()}
        self.epochs.append(scores | {"confusion": confusion})


def searched(setting: Setting, make: Make, folder: Path) -> dict[str, Any]:
    """One run; ``setting`` holds search, objective, candidates, epochs and seed."""
    torch.set_num_threads(1)
    quiet()
    seed_everything(setting["seed"], verbose=False)
    module, loaders = make(setting, folder)
    judge = TrialScorer(loaders)
    search = GammaLRSearch(
        SearchPolicy(base="thesis", first_model=setting["candidates"] - 2),
        min_lr=1e-3,
        max_lr=0.5,
        sampler=setting["search"],
        objective=setting["objective"],
        seed=setting["seed"],
        progress=False,
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=setting["epochs"],
        callbacks=[search, judge],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    began = time.perf_counter()
    trainer.fit(module, loaders["train"], loaders["val"])
    seconds = round(time.perf_counter() - began, 2)
    return setting | {"seconds": seconds, "epochs_found": [*map(told, search.history, judge.epochs)]}


def told(record: Any, scores: dict[str, Any]) -> dict[str, Any]:
    """One epoch: its rate, the score it was chosen by, its cost, and the test's judgement."""
    chosen = record.chosen
    by = {"lr": rounded(chosen.lr), "val_accuracy": chosen.accuracy, "val_loss": chosen.loss} if chosen else {}
    return by | {"passes": rounded(record.train_passes)} | scores


def say(row: dict[str, Any]) -> str:
    setting = ", ".join(f"{name} {value}" for name, value in row.items() if name != "epochs_found")
    return f"{setting}: test accuracy {row['epochs_found'][-1]['accuracy']:.1%}"


def parser(doc: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data-dir", type=Path, required=True, help="folder with MNIST/raw or cifar10.npz")
    made.add_argument("--seeds", type=numbers, default=numbers("0-4"), help="0-4 or 0,2,5")
    made.add_argument("--jobs", type=int, default=1, help="processes")
    made.add_argument("--out", type=Path, default=RESULTS)
    return made


def run_settings(name: str, settings: Sequence[Setting], make: Make, args: argparse.Namespace) -> None:
    """Those that are not noted in ``NAME.jsonl`` yet."""
    path = args.out / f"{name}.jsonl"
    todo = missing(settings, read_rows(path))
    print(f"{name}: {len(todo)} of {len(settings)} runs to make")
    run_all(todo, searched, say, lambda row: path, jobs=args.jobs, arguments=[make, args.data_dir])


def four_searches(name: str, doc: str | None, make: Make, *, subset: int, epochs: int) -> None:
    """The command line of tables 6 and 7: grid, Gaussian and Gamma by accuracy, Gamma by kappa."""
    arguments = parser(doc)
    arguments.add_argument("--subset", type=int, default=subset, help="training images, a fifth of them to choose by")
    arguments.add_argument("--grid", type=int, default=12, help="candidates of the grid; as many as the others have")
    arguments.add_argument("--epochs", type=int, default=epochs)
    args = arguments.parse_args()
    settings = [
        {"search": search, "objective": objective, "candidates": args.grid if search == "grid" else 12}
        | {"epochs": args.epochs, "seed": seed, "subset": args.subset}
        for seed in args.seeds
        for search, objective in METHODS
    ]
    run_settings(name, settings, make, args)
