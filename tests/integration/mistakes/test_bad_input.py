"""What does not fit a run, and the message at its set-up or in its first epoch (arguments: ``test_settings.py``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LearningRateMonitor, StochasticWeightAveraging

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.trainer.compat import remarks
from tests.helpers.searching import gamma_search
from tests.helpers.trainers import loaders, trainer_of
from tests.integration.identity.scenarios import Net, Scheduled


def test_a_history_file_that_is_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"history_file='.*': is a folder; name a file that ends in .jsonl or .csv"):
        GammaLRSearch(history_file=str(tmp_path))


AT_SET_UP: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"val_dataloaders": 42}, TypeError, r"val_dataloaders=42\): need a loader, or the name of a method .* not int"),
    ({"val_dataloaders": []}, ValueError, r"val_dataloaders=\[\]\): the loader has no batch to score on"),
    ({"val_dataloaders": "nothing"}, ValueError, r"'nothing'\): neither the data module nor the module has a method"),
    ({"val_dataloaders": "python_number"}, TypeError, r"'python_number'\): need a loader, .* not int"),
    ({"annealing": "scheduler"}, ValueError, r"annealing='scheduler'\): the module configures no LR scheduler"),
    ({"monitor_loss": "val_los"}, ValueError, r"monitor_loss='val_los'\): no such metric was logged .*'val_loss'"),
    ({"monitor_accuracy": "acc"}, ValueError, r"monitor_accuracy='acc'\): no such metric was logged .*'val_acc'"),
    ({"objective": "val_f1"}, ValueError, r"objective='val_f1'\): no such metric was logged .*'val_loss'"),
]


class Numbered(Net):
    def python_number(self) -> int:
        return 3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("arguments", "error", "message"), AT_SET_UP, ids=[str(bad[0]) for bad in AT_SET_UP])
def test_what_does_not_fit_the_run_is_refused_in_its_first_epoch(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    trainer = trainer_of(gamma_search(progress=False, **arguments))
    with pytest.raises(error, match=message):
        trainer.fit(Numbered(), *loaders())
    assert trainer.current_epoch == 0


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_is_refused_is_named() -> None:
    with pytest.raises(ValueError, match=r"lr_schedulers='error'\): the module configures StepLR. Remove the LR"):
        trainer_of(GammaLRSearch(lr_schedulers="error")).fit(Scheduled("step"), *loaders())


@pytest.mark.filterwarnings("ignore")
def test_two_searches_in_one_run_are_refused() -> None:
    with pytest.raises(RuntimeError, match="more than one stateful callback of type `GammaLRSearch`"):
        trainer_of(GammaLRSearch(), GammaLRSearch())


@pytest.mark.filterwarnings("ignore")
def test_a_start_beyond_the_run_is_said() -> None:
    with pytest.warns(UserWarning, match=r"no epoch is searched: start_epoch=20, .* the run has 2 epochs, from 0"):
        trainer_of(gamma_search(start_epoch=20)).fit(Net(), *loaders())


@pytest.mark.parametrize(
    ("callback", "scales", "said"),
    [
        (LearningRateMonitor("epoch"), False, ["logging_interval='step' logs the rates that are trained at"]),
        (LearningRateMonitor("step"), False, []),
        (StochasticWeightAveraging(0.1), False, ["lr_schedulers='scale' lets the search multiply it instead"]),
        (StochasticWeightAveraging(0.1), True, []),
    ],
)
def test_neighbours_that_need_a_word(callback: Callback, scales: bool, said: list[str]) -> None:
    trainer = trainer_of(callback, logger=True)
    found = list(remarks(trainer, scales=scales, keeps_history=False))
    assert len(found) == len(said)
    assert all(words in remark for words, remark in zip(said, found, strict=True))


def test_processes_that_give_no_history_back_are_named() -> None:
    trainer = trainer_of(strategy="ddp_spawn", devices=2)
    trainer.strategy._configure_launcher()
    assert "history_file='history.jsonl' keeps it" in next(remarks(trainer, scales=False, keeps_history=False))
    assert list(remarks(trainer, scales=False, keeps_history=True)) == []
