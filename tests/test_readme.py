"""What the README shows runs, and its table of settings is the signature's."""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo import GammaLRSearch

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


class Model(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 2)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Data(LightningDataModule):
    def train_dataloader(self):
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=8)

    val_dataloader = train_dataloader


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.chdir(tmp_path)
    names = {"model": Model(), "data": Data()}
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)
    out = capsys.readouterr().out
    assert "SearchHistory(10 epochs)" in out
    assert "10 epochs searched with 120 candidates" in out
    assert (tmp_path / "history.csv").read_text().count("\n") == 121


def test_the_pages_on_reports_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    pytest.importorskip("jinja2")
    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parent.parent / "docs" / "report.md").read_text(encoding="utf-8")
    names = {"model": Model(), "data": Data()}
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for block in blocks:
            exec(block, names)
    plt.close("all")
    assert {path.name for path in tmp_path.rglob("*.*")} >= {
        "schedule.png",
        "surrogate.png",
        "report.html",
        "again.html",
    }


def test_the_settings_are_the_signatures() -> None:
    rows = re.findall(r"^\| (`lr_min`.*?|`\w+`.*?) \| (.*?) \| ", README, flags=re.MULTILINE)
    shown = {}
    for names, defaults in rows:
        values = [ast.literal_eval(value) for value in re.findall(r"`(.*?)`", defaults)]
        shown |= dict(zip(re.findall(r"`(\w+)`", names), values, strict=True))
    parameters = inspect.signature(GammaLRSearch).parameters.values()
    assert shown == {parameter.name: parameter.default for parameter in parameters}
