"""What a person sees of a real fit: its own numbers, recovery, a line for each search, nothing on standard error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import TQDMProgressBar
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo import GammaLRSearch, SearchHistory
from lightning_gammabo.report.progress import SearchProgress
from tests.helpers.processes import run
from tests.helpers.searching import searching, searching_in_part

BATCHES = 5


class Line(LightningModule):
    """A line fitted by one weight; loss and accuracy are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Linear(4, 2)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        guess = self.net(batch[0])
        self.log("val_loss", torch.nn.functional.cross_entropy(guess, batch[1]))
        self.log("val_acc", (guess.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.05)


class Scripted(Line):
    """Its committed epochs end at losses that are written down: the fourth and fifth lose what was reached."""

    LOSSES = (1.0, 0.5, 0.4, 0.9, 0.9, 0.35, 0.3)

    def on_validation_epoch_end(self) -> None:
        self.log("val_loss_scripted", self.LOSSES[self.trainer.current_epoch])


class Noted(Callback):
    """What the Trainer had logged when each of its own validations ended."""

    def __init__(self) -> None:
        self.ended: dict[int, dict[str, float]] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self.ended[trainer.current_epoch] = logged


def fit(search: GammaLRSearch, *callbacks: Callback, module: LightningModule | None = None, **more: Any) -> Trainer:
    seed_everything(0, verbose=False)
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=8)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
    }
    trainer = Trainer(accelerator="cpu", callbacks=[search, *callbacks], **{"max_epochs": 3, **quiet, **more})
    trainer.fit(module or Line(), loader, loader)
    return trainer


@pytest.mark.parametrize("make", [searching, searching_in_part])
def test_the_numbers_are_those_that_the_trainer_logged(make: Any) -> None:
    search, noted = make(), Noted()
    trainer = fit(search, noted)
    assert [end.epoch for end in search.history.trained] == [0, 1, 2]
    for end in search.history.trained:
        logged = noted.ended[end.epoch]
        assert (end.loss, end.accuracy, dict(end.metrics)) == (logged["val_loss"], logged["val_acc"], logged)
        assert end.rate == search.rates[end.epoch]
    assert search.history.trained[-1].loss == float(trainer.callback_metrics["val_loss"])
    row = str(search.history).splitlines()[3].split()
    assert f"{noted.ended[2]['val_loss']:#.3g}" in row


def test_recovery_is_seen_in_table_and_cost() -> None:
    search = searching_in_part(monitor_loss="val_loss_scripted", objective="val_loss")
    with pytest.warns(UserWarning, match="the run goes on from there"):
        fit(search, module=Scripted(), max_epochs=7)
    assert [end.loss for end in search.history.trained] == pytest.approx(Scripted.LOSSES)
    assert [end.returned_to for end in search.history.trained] == [None] * 5 + [2, None]
    assert search.history.lost == {3, 4}
    cells = [line.split()[0] for line in str(search.history).splitlines()[1:8]]
    assert cells == ["0", "1", "2", "3x", "4x", "5<2", "6"]
    assert search.history.cost.lost == 2
    assert "2 of 7 epochs were lost" in search.history.cost.in_words()


def test_why_an_epoch_was_not_searched_is_kept() -> None:
    search = searching(start_epoch=0, every_n_epochs=2)
    fit(search)
    assert [end.not_searched for end in search.history.trained] == ["", "one search in 2 epochs, by its price", ""]


def test_a_checkpoint_holds_what_epochs_ended_with(tmp_path: Path) -> None:
    search = searching_in_part()
    fit(search, max_epochs=1).save_checkpoint(tmp_path / "run.ckpt")
    again = searching_in_part()
    again.load_state_dict(torch.load(tmp_path / "run.ckpt", weights_only=True)["callbacks"]["GammaLRSearch"])
    assert again.history == search.history
    assert again.history.trained[0].loss is not None
    assert again.history.run == search.history.run


@pytest.mark.parametrize("how", ["interrupt", "error", "stop"])
def test_table_and_report_are_there_however_a_fit_ends(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Ends(Callback):
        def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
            if trainer.current_epoch == 1 and how != "stop":
                raise KeyboardInterrupt if how == "interrupt" else RuntimeError("boom")
            trainer.should_stop = how == "stop"

    caplog.set_level("INFO")
    pytest.importorskip("jinja2")
    search = searching(report=str(tmp_path / "report.html"))
    if how == "stop":
        fit(search, Ends())
    else:
        with pytest.raises((SystemExit, KeyboardInterrupt, RuntimeError)):
            fit(search, Ends())
    assert caplog.text.count("GammaLRSearch: what was found") == 1
    assert "cost: " in caplog.text
    assert "1 epoch (0) searched" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_every_batch_of_every_candidate_moves_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[int] = []
    monkeypatch.setattr(SearchProgress, "batch", lambda self, trained: moved.append(trained))
    fit(searching(progress=True), max_epochs=1)
    assert moved == [1, 2, 3, 4, 5] * 3


class Reads(Callback):
    """What Lightning's bar shows after each batch."""

    def __init__(self) -> None:
        self.rates: list[Any] = []

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.rates.append(trainer.progress_bar_metrics.get("lr"))


@pytest.mark.parametrize("progress", [True, False])
def test_lightnings_bar_shows_the_present_rate(progress: bool) -> None:
    search, reads = searching(progress=progress), Reads()
    trainer = fit(search, reads, TQDMProgressBar(), max_epochs=2, enable_progress_bar=True)
    assert reads.rates[-1] == (f"{search.rates[-1].end:.1e}" if progress else None)
    assert "lr" not in trainer.callback_metrics


def test_each_search_is_a_line_of_standard_output_and_standard_error_has_nothing(tmp_path: Path) -> None:
    out, error = tmp_path / "out", tmp_path / "error"
    run("tests.integration.screen.printed_fit", str(tmp_path), out=out, error=error)
    lines = out.read_text().splitlines()
    for epoch in range(2):
        (line,) = [line for line in lines if line.startswith(f"GammaLRSearch: epoch {epoch}: peak ")]
        assert "of 3 candidates" in line
    assert "GammaLRSearch" not in error.read_text()
    # the table is the same where it is read from the file
    assert out.read_text().count(str(SearchHistory.load(tmp_path / "history.jsonl"))) == 2
