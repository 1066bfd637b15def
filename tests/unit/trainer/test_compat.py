"""A search is the same, to the bit, under both names of Lightning, and of neither before it was imported."""

from __future__ import annotations

import csv
import importlib
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.trainer.compat import NAMESPACES, join_namespaces
from tests.helpers.searching import gamma_search
from tests.integration.identity.fingerprint import without_times

pytestmark = pytest.mark.filterwarnings("ignore")


def module_of(namespace: Any) -> Any:
    class Net(namespace.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("train_loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            out = self.net(batch[0])
            self.log_dict({"val_loss": nn.functional.cross_entropy(out, batch[1])})
            self.log("val_acc", (out.argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)

    return Net()


def fit(name: str, folder: Path, policy: str, **options: Any) -> tuple[Any, GammaLRSearch]:
    namespace: Any = importlib.import_module(name)
    callbacks = importlib.import_module(f"{name}.callbacks")
    loggers = importlib.import_module(f"{name}.loggers")
    namespace.seed_everything(3, verbose=False)
    x = torch.randn(48, 4)
    data = TensorDataset(x, (x[:, 0] > 0).long())
    search = gamma_search(policy, first_random=2, first_model=1, later_overhead=100.0, progress=False)
    trainer = namespace.Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=[search, callbacks.ModelCheckpoint(folder), callbacks.LearningRateMonitor()],
        logger=loggers.CSVLogger(folder),
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    module = module_of(namespace)
    trainer.fit(module, DataLoader(data, 8, shuffle=True), DataLoader(data, 16))
    return module, search


def rows(folder: Path) -> list[dict[str, str]]:
    """What the logger has written, without the wall-clock times."""
    (path,) = folder.rglob("metrics.csv")
    found = csv.DictReader(path.read_text().splitlines())
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in found]


@pytest.mark.parametrize("policy", ["thesis", "epochwise"])
def test_both_names_give_the_same_run(policy: str, tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning")
    (one, first), (other, second) = (fit(name, tmp_path / name, policy) for name in NAMESPACES)
    assert len(first.history) == 2
    assert without_times(first.history) == without_times(second.history)
    assert first.rates == second.rates
    states = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(left, right) for left, right in states)
    logged = [rows(tmp_path / name) for name in NAMESPACES]
    assert logged[0] == logged[1]
    assert {"lr-SGD", "val_acc", "gamma/lr"} <= logged[0][0].keys()


def test_a_callback_alone_is_taken_by_both() -> None:
    """Not a list: then a Trainer asks whether it is one of its own Callbacks."""
    pytest.importorskip("pytorch_lightning")
    for name in NAMESPACES:
        namespace = importlib.import_module(name)
        search = GammaLRSearch()
        options = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
        trainer = namespace.Trainer(callbacks=search, accelerator="cpu", **options)
        assert GammaLRSearch.of(trainer) is search


def test_a_namespace_that_comes_later_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Callback): ...

    class Derived(Mine): ...

    class Theirs: ...

    later: Any = types.ModuleType("pytorch_lightning")
    monkeypatch.setitem(sys.modules, "pytorch_lightning", later)
    join_namespaces(Mine)
    assert Mine.__bases__ == (Callback,), "it was being imported"
    later.Callback = Theirs
    for _ in range(2):
        join_namespaces(Mine)
        assert Mine.__bases__ == (Callback, Theirs)
    assert isinstance(Derived(), Theirs)
