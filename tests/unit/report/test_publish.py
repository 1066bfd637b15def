"""Pictures, matrices and report of real fits."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.loggers import Logger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassConfusionMatrix

from lightning_gammabo import GammaLRSearch, ListSampler
from lightning_gammabo.report.surrogate import rebuild_search
from tests.helpers.searching import gamma_search

plt = pytest.importorskip("matplotlib.pyplot")


class Digits(LightningModule):
    """Three classes on a line; counts a confusion matrix in validation, and resets it by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(2, 3)
        self.cm = MulticlassConfusionMatrix(3)
        self.seen: list[list[list[float]]] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        logits = self.net(batch[0])
        self.cm.update(logits, batch[1])
        self.log("val_loss", nn.functional.cross_entropy(logits, batch[1]))

    def on_validation_epoch_end(self) -> None:
        self.seen.append(self.cm.compute().tolist())
        self.cm.reset()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Writer:
    def __init__(self) -> None:
        self.figures: list[tuple[str, int]] = []

    def add_figure(self, name: str, figure: Any, global_step: int) -> None:
        self.figures.append((name, global_step))


class FigureLogger(Logger):
    """A logger whose experiment takes figures."""

    name, version = "figures", 0

    def __init__(self) -> None:
        super().__init__()
        self.experiment = Writer()

    def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

    def log_hyperparams(self, params: Any, *args: Any, **more: Any) -> None: ...


@pytest.fixture(autouse=True)
def no_window() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def fit(search: GammaLRSearch, root: Path, epochs: int = 2, **more: Any) -> tuple[Digits, Trainer]:
    seed_everything(0, verbose=False)
    x = torch.randn(24, 2, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()), batch_size=8)
    module = Digits()
    ckpt_path = more.pop("ckpt_path", None)
    more = {"logger": False, "enable_checkpointing": False} | more
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=root,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"callbacks": [search], **more},
    )
    trainer.fit(module, loader, loader, ckpt_path=ckpt_path)
    return module, trainer


def test_the_matrices_are_those_of_the_committed_epochs(tmp_path: Path) -> None:
    search = GammaLRSearch("thesis", sampler=ListSampler([0.3, 1e-3]))
    module, trainer = fit(search, tmp_path)
    # the module's own hook ran for every candidate as well; the committed validations are the last of each epoch
    assert sorted(search.confusion) == [0, 1]
    assert search.confusion[1] == {"cm": module.seen[-1]}
    assert sum(map(sum, search.confusion[0]["cm"])) == 24
    assert search.plot("confusion", 0).get_title(loc="left").startswith("epoch 0: ")
    noted = copy.deepcopy(search.confusion)
    trainer.validate(module, trainer.val_dataloaders, verbose=False)
    assert search.confusion == noted  # a validation outside a fit is none of an epoch
    assert copy.copy(search).confusion == noted


def test_plot_draws_the_callbacks_own_history(tmp_path: Path) -> None:
    search = gamma_search("thesis", first_model=1)
    with pytest.raises(ValueError, match="the history has no epochs"):
        search.plot()
    fit(search, tmp_path, epochs=1)
    assert search.plot("landscape").get_title(loc="left") == "epoch 0: 3 candidates"
    axes = search.plot("schedule").figure.axes
    assert search.plot("schedule", ax=axes[0]) is axes[0]


def test_the_rebuilt_search_proposes_what_the_run_tried(tmp_path: Path) -> None:
    # a range of one's own is not widened on the way
    search = gamma_search(first_model=4, later_candidates=5, min_steps=1, when=[0.3, 0.6], max_lr=1.0)
    fit(search, tmp_path, epochs=4)
    proposed = 0
    for record in search.history:
        for k, result in enumerate(record.results):
            if result.origin == "acquisition":
                assert rebuild_search(record, after=k).ask().lr == result.lr
                proposed += 1
    assert proposed >= 5
    assert any(result.origin == "region" for record in search.history for result in record.results)
    rates = [line for line in search.plot("schedule").lines if line.get_label() == "trained with"]
    assert rates[0].get_ydata()[0] == search.rates[0].start


def test_figures_go_to_the_loggers_once_an_epoch(tmp_path: Path) -> None:
    logger = FigureLogger()
    fit(gamma_search("thesis", first_model=1, log_figures=True), tmp_path, logger=logger)
    search = ["gamma/landscape", "gamma/schedule", "gamma/cost"]
    names = [name for name, _ in logger.experiment.figures if name != "gamma/surrogate"]
    assert names == ["gamma/confusion", *search] * 2
    assert [step for name, step in logger.experiment.figures if name == "gamma/cost"] == [3, 6]
    assert [step for name, step in logger.experiment.figures if name == "gamma/confusion"] == [3, 6]


def test_no_figure_is_logged_unasked(tmp_path: Path) -> None:
    logger = FigureLogger()
    fit(gamma_search("thesis", first_model=1), tmp_path, epochs=1, logger=logger)
    assert logger.experiment.figures == []


def test_the_report_is_written_when_the_fit_ends(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    path = tmp_path / "runs" / "report.html"
    fit(gamma_search("thesis", first_model=1, report=str(path)), tmp_path)
    page = path.read_text(encoding="utf-8")
    assert "2 epochs (0 to 1) searched with 6 candidates, 3 each." in page
    assert "Which classes were taken for which others after epoch 1" in page


def test_a_report_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    search = gamma_search("thesis", first_model=1, report=str(tmp_path / "taken" / "report.html"))
    # since the set-up
    spoil = LambdaCallback(on_train_start=lambda *_: (tmp_path / "taken").write_text("a file"))
    with pytest.warns(UserWarning, match=r"report='.*report.html'\): the report could not be written"):
        fit(search, tmp_path, epochs=1, callbacks=[search, spoil])
    assert len(search.history) == 1


@pytest.mark.parametrize(
    ("arguments", "package", "words"),
    [
        ({"report": "r.html"}, "jinja2", r"GammaLRSearch\(report='r.html'\) needs jinja2: pip install"),
        ({"log_figures": True}, "matplotlib", r"GammaLRSearch\(log_figures=True\) needs matplotlib: pip install"),
    ],
)
def test_a_missing_package_is_said_before_the_training(
    arguments: Any, package: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    search = gamma_search(**arguments)
    with pytest.raises(ModuleNotFoundError, match=words):
        fit(search, tmp_path, epochs=1)


def test_a_resumed_run_knows_the_matrices_of_before(tmp_path: Path) -> None:
    search = GammaLRSearch("thesis", sampler=ListSampler([0.3]))
    _, trainer = fit(search, tmp_path, epochs=1)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    again = GammaLRSearch("thesis", sampler=ListSampler([0.3]))
    fit(again, tmp_path, epochs=2, ckpt_path=str(tmp_path / "run.ckpt"))
    assert sorted(again.confusion) == [0, 1]
    assert again.confusion[0] == search.confusion[0]
