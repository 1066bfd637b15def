"""Thirty-two typical mistakes and what each is answered with (arguments alone: unit/scheduler/test_arguments.py)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LearningRateFinder, LearningRateMonitor, StochasticWeightAveraging
from lightning.pytorch.loggers import CSVLogger

from lightning_gammabo import GammaLRSearch, ListSampler, SearchPolicy
from lightning_gammabo.cli.main import main
from lightning_gammabo.trainer.compat import remarks
from tests.helpers.searching import gamma_search
from tests.helpers.trainers import loaders, trainer_of
from tests.integration.identity.scenarios import Net, Scheduled


class Numbered(Net):
    def python_number(self) -> int:
        return 3


class Unlogged(Net):
    """Validates, and logs nothing that candidates can be ranked by."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_thing", torch.tensor(1.0))


class Fixed(Net):
    """Writes the learning rate itself."""

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        for group in optimizer.param_groups:
            group["lr"] = 0.01
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)


def fit(
    module: Any = Net, *callbacks: Any, data: Any = None, trainer: Any = None, **arguments: Any
) -> Callable[[], Any]:
    """A fit with one mistake in it, to be begun later."""

    def begin() -> None:
        whole = isinstance(arguments.get("policy"), SearchPolicy)
        search = (GammaLRSearch if whole else gamma_search)(progress=False, **arguments)
        trainer_of(search, *(make() for make in callbacks), **(trainer or {})).fit(module(), *(data or loaders)())

    return begin


def only_training() -> tuple[Any]:
    return (loaders()[0],)


def command(*words: str) -> Callable[[], None]:
    model = ("--model=tests.integration.project.model.Classifier", "--data=tests.integration.project.model.Numbers")
    return lambda: main(["fit", *model, "--trainer.logger=false", *words])


# refused before an epoch is trained: what was done, the error, its words
REFUSED: list[tuple[Callable[[], Any], type[BaseException], str]] = [
    (fit(val_dataloaders=42), TypeError, r"val_dataloaders=42\): need a loader, or the name of a method .* not int"),
    (fit(val_dataloaders=[]), ValueError, r"val_dataloaders=\[\]\): the loader has no batch to score on"),
    (fit(val_dataloaders="nothing"), ValueError, r"'nothing'\): neither the data module nor the module has a method"),
    (fit(Numbered, val_dataloaders="python_number"), TypeError, r"'python_number'\): need a loader, .* not int"),
    (fit(annealing="scheduler"), ValueError, r"annealing='scheduler'\): the module configures no LR scheduler"),
    (fit(monitor_loss="val_los"), ValueError, r"monitor_loss='val_los'\): no such .* \(did you mean 'val_loss'\?\)"),
    (fit(monitor_accuracy="acc"), ValueError, r"monitor_accuracy='acc'\): no such metric was logged .*'val_acc'"),
    (fit(objective="val_f1"), ValueError, r"objective='val_f1'\): no such metric was logged .*'val_loss'"),
    (fit(monitor_loss="val_acc"), ValueError, r"monitor_loss='val_acc': by its name it is better when it is higher"),
    (fit(objective="val_loss", mode="max"), ValueError, r"mode='max': by its name it is better when it is lower"),
    (fit(objective="val_fidelity"), ValueError, r"'val_fidelity': its name does not tell .* give mode='min' or mode="),
    (fit(lambda: Scheduled("step"), lr_schedulers="error"), ValueError, r"the module configures StepLR. Remove the LR"),
    (
        fit(history_file=__file__ + "/x.csv"),
        ValueError,
        r"history_file='.*'\): .*test_bad_input.py is no folder; name an",
    ),
    (fit(report="report.pdf"), ValueError, r"report='report.pdf': ends in '.pdf'; name a file that ends in .html"),
    # Lightning's own words, when the Trainer is made
    (fit(Net, GammaLRSearch), RuntimeError, "more than one stateful callback of type `GammaLRSearch`"),
    (command("--search.sampler=gama"), SystemExit, r"^lightning-gammabo fit: sampler='gama': choose one of 'gamma'"),
    (command("--search.polcy=once"), SystemExit, r"fit: there is no argument '--search.polcy' \(did you mean '--sea"),
    (command("--search.policy.first_modl=1"), SystemExit, r"SearchPolicy has no argument 'first_modl' \(did you mean"),
    (command("--search.max_lr=high"), SystemExit, r"^lightning-gammabo fit: search.max_lr=high: need float or null$"),
    (command("--search.objective=val_f1"), SystemExit, r"^lightning-gammabo fit: GammaLRSearch\(objective='val_f1'\)"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("mistake", "error", "message"), REFUSED, ids=[words for _, _, words in REFUSED])
def test_what_is_refused(
    mistake: Callable[[], Any],
    error: type[BaseException],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if error is SystemExit:
        pytest.importorskip("jsonargparse")
    monkeypatch.chdir(tmp_path)
    ended: list[int] = []
    monkeypatch.setattr(Net, "on_train_epoch_end", lambda self: ended.append(self.current_epoch), raising=False)
    with pytest.raises(error, match=message) as raised:
        mistake()
    assert ended == []
    assert "\n" not in str(raised.value)


# trained all the same: what was done, the words, and whether they are a warning
SAID: list[tuple[Callable[[], Any], str, bool]] = [
    (fit(Unlogged), "no validation loss was logged or returned, so candidates are ranked by a training loss", True),
    (
        fit(data=only_training),
        "so candidates are ranked by a training loss, which favours rates that fit quickly",
        True,
    ),
    (
        fit(start_epoch=20),
        "start_epoch=20, stop_epoch='never', and the epochs of the fit are 0 to 1",
        True,
    ),
    (fit(Fixed), "candidates have the same score: nothing was found. Does the module write the learning rate", True),
    (fit(log_figures=True), "(log_figures=True): a Trainer without a logger takes no figures", True),
    (fit(lambda: Scheduled("step"), policy="thesis"), "StepLR set aside from epoch 0 on: the search writes the", True),
    (fit(lambda: Scheduled("step")), "StepLR keeps its shape from epoch 0 on; the search scales it", False),
    (fit(max_overhead=0.01), "max_overhead=0.01 affords no second candidate (the smallest search costs", False),
    (fit(sampler=ListSampler([0.1]), max_lr=0.5), "without effect in this run: max_lr (the rates are a list)", False),
    (
        fit(policy=SearchPolicy(base="once", later_candidates=5)),
        "without effect in this run: later_candidates (this run has no",
        False,
    ),
    (fit(Net, lambda: LearningRateFinder(num_training_steps=5)), "LearningRateFinder runs first and sets the", False),
    (fit(trainer={"fast_dev_run": True}), "no epoch is searched: fast_dev_run is on", False),
]


@pytest.mark.parametrize(("mistake", "words", "warns"), SAID, ids=[words for _, words, _ in SAID])
def test_what_is_said(
    mistake: Callable[[], Any],
    words: str,
    warns: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mistake()
    said = [str(warning.message) for warning in caught] if warns else caplog.messages
    assert len([line for line in said if words in line]) == 1


def test_figures_that_no_logger_takes_are_named_with_the_logger(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"log_figures=True\): CSVLogger takes no figures; the loggers of TensorBoard"):
        fit(log_figures=True, trainer={"logger": CSVLogger(tmp_path), "max_epochs": 1})()


def test_a_history_file_that_is_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"history_file='.*': is a folder; name a file that ends in .jsonl or .csv"):
        GammaLRSearch(history_file=str(tmp_path))


@pytest.mark.parametrize(
    ("callback", "scales", "said"),
    [
        (LearningRateMonitor("epoch"), False, ["logging_interval='step' logs the rates that are trained at"]),
        (LearningRateMonitor("step"), False, []),
        (LearningRateFinder(), False, ["take it out, unless you want to pay for both"]),
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
