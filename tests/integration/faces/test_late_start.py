"""A fit that begins anywhere: its first epoch is the first that may be searched, and the history goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from lightning_gammabo import GammaLRSearch, SearchHistory, SearchPolicy
from tests.integration.faces.fits import QUIET, Fit, default, several
from tests.integration.identity.scenarios import TRAIN, VAL, Net

pytestmark = pytest.mark.filterwarnings("ignore")

SAVERS: dict[str, Callable[[Path], ModelCheckpoint]] = {
    "at the epoch's end": lambda path: ModelCheckpoint(path, filename="{epoch}", save_top_k=-1),
    "after a validation": lambda path: ModelCheckpoint(path, filename="{epoch}", monitor="val_loss", save_top_k=-1),
    "within an epoch": lambda path: ModelCheckpoint(path, filename="{epoch}", save_top_k=-1, every_n_train_steps=3),
}


def said(caplog: Any) -> str:
    return "\n".join(record.message for record in caplog.records)


@pytest.mark.parametrize("policy", ["epochwise", "once", "thorough"])
@pytest.mark.parametrize(
    ("saver", "checkpoint", "first"),
    [
        ("at the epoch's end", "epoch=0.ckpt", 1),
        ("after a validation", "epoch=0.ckpt", 1),
        ("within an epoch", "epoch=1.ckpt", 2),
    ],
)
def test_resumed_from_a_plain_checkpoint(
    tmp_path: Path, caplog: Any, saver: str, checkpoint: str, first: int, policy: str
) -> None:
    Fit(callbacks=lambda: [SAVERS[saver](tmp_path)], enable_checkpointing=True, epochs=2)
    search = GammaLRSearch(SearchPolicy(base=policy, first_random=2, first_model=0, later_candidates=2), progress=False)
    with caplog.at_level("INFO"):
        fit = Fit(search=search, ckpt_path=tmp_path / checkpoint, epochs=4)
    assert search.history[0].epoch == first
    assert len(search.history[0].results) == 2
    assert [rate.epoch for rate in search.rates][-2:] == [2, 3]
    assert fit.trainer.current_epoch == 4
    assert f"policy '{policy}" in said(caplog)
    assert len(search.history) == (4 - first if policy == "thorough" else 1)
    assert search.history.run is not None
    assert search.history.run.epochs == 4 - first
    assert search.history.cost.epochs == 4 - first


def test_resumed_within_the_last_epoch(tmp_path: Path, caplog: Any) -> None:
    Fit(callbacks=lambda: [SAVERS["within an epoch"](tmp_path)], enable_checkpointing=True, epochs=2)
    search = default()
    with caplog.at_level("INFO"):
        Fit(search=search, ckpt_path=sorted(tmp_path.glob("*.ckpt"))[-1], epochs=2)
    assert len(search.history) == 0
    assert "no epoch is searched: the run ends with epoch 1, in the midst of which it goes on" in said(caplog)


def test_a_second_fit_of_the_same_trainer(tmp_path: Path, caplog: Any) -> None:
    seed_everything(7, verbose=False)
    file = tmp_path / "history.jsonl"
    search = default(policy="once", history_file=str(file))
    module, trainer = Net(), Trainer(max_epochs=2, callbacks=[search], **QUIET)
    loaders = DataLoader(TRAIN, 8, shuffle=True), DataLoader(VAL, 10)
    trainer.fit(module, *loaders)
    first = list(search.history)
    trainer.fit_loop.max_epochs = 5
    with caplog.at_level("INFO"):
        trainer.fit(module, *loaders)
    assert [record.epoch for record in search.history] == [0, 2]
    assert search.history[0] == first[0]
    assert len(search.history[1].results) == len(first[0].results)
    assert [one.epoch for one in search.history.trained] == [rate.epoch for rate in search.rates] == [0, 1, 2, 3, 4]
    assert search.rates[-1].start < search.rates[2].start
    assert search.history.cost.planned_epochs == search.history.cost.epochs == 5
    assert SearchHistory.load(file) == search.history
    assert "policy 'once, changed': 4 candidates over the whole range" in said(caplog)


def test_a_finished_run_goes_on_for_more_epochs(tmp_path: Path, caplog: Any) -> None:
    saver = SAVERS["at the epoch's end"]
    Fit(search=several(0.02), callbacks=lambda: [saver(tmp_path)], enable_checkpointing=True, epochs=2)
    search = several(0.02)
    with caplog.at_level("INFO"):
        Fit(search=search, ckpt_path=tmp_path / "epoch=1.ckpt", epochs=4)
    assert [record.epoch for record in search.history] == [0, 1, 2, 3]
    assert "the run goes on at epoch 2, after 2 searched epochs; 2 more will be, from epoch 2 on" in said(caplog)


def test_a_fit_that_went_on_is_resumed_with_all_its_history(tmp_path: Path) -> None:
    def go(trainer: Any, module: Any, epochs: int, **fit: Any) -> None:
        trainer.fit_loop.max_epochs = epochs
        trainer.fit(module, DataLoader(TRAIN, 8, shuffle=True), DataLoader(VAL, 10), **fit)

    seed_everything(7, verbose=False)
    search, module = several(0.02), Net()
    trainer = Trainer(max_epochs=1, callbacks=[search], **QUIET)
    go(trainer, module, 1)
    go(trainer, module, 2)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = several(0.02)
    go(Trainer(max_epochs=3, callbacks=[again], **QUIET), Net(), 3, ckpt_path=tmp_path / "last.ckpt")
    assert [record.epoch for record in again.history] == [0, 1, 2]
    assert list(again.history[:2]) == list(search.history)


@pytest.mark.parametrize("when", ["in the last epoch", "after the fit"])
def test_a_finished_searched_run_trains_on_without_the_callback(tmp_path: Path, when: str) -> None:
    """The rate has come down to zero, and nothing would write another."""
    search = default(policy="once")
    fit = Fit(search=search, callbacks=lambda: [SAVERS["at the epoch's end"](tmp_path)], enable_checkpointing=True)
    path = tmp_path / "epoch=2.ckpt"
    if when == "after the fit":
        path = tmp_path / "last.ckpt"
        fit.trainer.save_checkpoint(path)
    assert fit.trainer.optimizers[0].param_groups[0]["lr"] == 0.0
    peak = search.rates[-1].peak
    plain = Fit(ckpt_path=path, epochs=4)
    assert plain.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(peak)
    assert plain.left["parameters"] != fit.left["parameters"]
    searched = Fit(search=default(policy="once"), ckpt_path=path, epochs=3)
    assert searched.trainer.optimizers[0].param_groups[0]["lr"] == 0.0
    assert searched.left["parameters"] == fit.left["parameters"]
