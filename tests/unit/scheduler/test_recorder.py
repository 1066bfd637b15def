"""The records of a fit: kept once for each epoch, written to a file and to loggers, summed up."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lightning_gammabo import SearchHistory
from lightning_gammabo.records import EpochRecord, Result, TrainedEpoch, TrialState
from lightning_gammabo.scheduler.recorder import Recorder


class Messages:
    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, message: str) -> None:
        self.warned.append(message)


class Logger:
    def __init__(self) -> None:
        self.lines: list[tuple[dict[str, float], int]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.lines.append((metrics, step))


def trainer(*loggers: Logger, zero: bool = True) -> Any:
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(_batches_that_stepped=7))
    return SimpleNamespace(loggers=list(loggers), fit_loop=loop, is_global_zero=zero)


def recorder(path: Any = None) -> Recorder:
    return Recorder(path, Messages())  # type: ignore[arg-type]


def record(epoch: int, *, chosen: int | None = 0, **fields: Any) -> EpochRecord:
    done = Result(
        number=0, lr=0.1, state=TrialState.COMPLETE, score=0.5, loss=0.25, accuracy=0.75, value=0.5, passes=1.0
    )
    lost = Result(number=1, lr=0.9, state=TrialState.DIVERGED)
    values = {"train_passes": 1.5, "val_passes": 4.0, "seconds": 2.0, "scorings": 3, "reason": "because"}
    return EpochRecord(epoch=epoch, results=(done, lost), chosen_number=chosen, **(values | fields))


def test_an_epoch_has_one_record_the_newest() -> None:
    book, run = recorder(), trainer()
    for epoch, reason in ((0, "a"), (1, "b"), (1, "c"), (2, "d")):
        book.add(run, record(epoch, reason=reason))
    assert [(one.epoch, one.reason) for one in book.history] == [(0, "a"), (1, "c"), (2, "d")]


def test_the_history_is_one_object_throughout() -> None:
    book = recorder()
    history = book.history
    book.add(trainer(), record(0))
    assert book.history is history
    assert len(history) == 1


def told(book: Recorder, logger: Logger, epoch: int) -> dict[str, float]:
    book.log_epoch(trainer(logger), epoch, lr=0.1, validated=True)
    return logger.lines[-1][0]


def test_every_logger_is_told() -> None:
    loggers, book = (Logger(), Logger()), recorder()
    book.add(trainer(*loggers), record(4))
    assert [logger.lines for logger in loggers] == [[], []]
    book.log_epoch(trainer(*loggers), 4, lr=0.1, validated=True)
    summary = {
        "gamma/candidates": 2.0, "gamma/search_seconds": 2.0, "gamma/train_passes": 1.5, "gamma/val_passes": 4.0,
        "gamma/lr": 0.1, "gamma/score": 0.5, "gamma/loss": 0.25, "gamma/accuracy": 0.75, "gamma/kappa": 0.5,
    }  # fmt: skip
    assert [logger.lines for logger in loggers] == [[(summary, 7)]] * 2


def test_each_epoch_tells_the_same_names() -> None:
    """Of one that was not searched, and of one without a winner, there is no value of the search."""
    book, logger = recorder(), Logger()
    book.add(trainer(), record(4))
    book.add(trainer(), record(5, chosen=None))
    names = told(book, logger, 4).keys()
    for epoch, candidates in ((3, 0.0), (5, 2.0)):
        line = told(book, logger, epoch)
        assert line.keys() == names
        assert (line["gamma/candidates"], line["gamma/lr"]) == (candidates, 0.1)
        assert {name for name, value in line.items() if math.isnan(value)} == {
            "gamma/score", "gamma/loss", "gamma/accuracy", "gamma/kappa",
        }  # fmt: skip


def test_of_another_objective_it_is_called_so() -> None:
    book, logger = Recorder(None, Messages(), objective="val_f1"), Logger()  # type: ignore[arg-type]
    book.add(trainer(), record(4, objective="val_f1"))
    line = told(book, logger, 4)
    assert line["gamma/objective"] == 0.5
    assert "gamma/kappa" not in line


def test_loggers_that_are_to_be_told_nothing_are_told_nothing() -> None:
    book, logger = Recorder(None, Messages(), logs=False), Logger()  # type: ignore[arg-type]
    book.log_epoch(trainer(logger), 4, lr=0.1, validated=True)
    assert logger.lines == []


@pytest.mark.parametrize("name", ["history.jsonl", "deep/er/history.jsonl"])
def test_the_file_is_whole_after_every_record(name: str, tmp_path: Path) -> None:
    book = recorder(tmp_path / name)
    for epoch in range(3):
        book.add(trainer(), record(epoch))
        assert SearchHistory.load(tmp_path / name) == book.history


def test_other_ranks_write_no_file(tmp_path: Path) -> None:
    book = recorder(tmp_path / "history.jsonl")
    book.add(trainer(zero=False), record(0))
    assert list(tmp_path.iterdir()) == []
    assert len(book.history) == 1


def test_a_file_that_cannot_be_written_ends_no_training(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("a file where a folder is wanted")
    messages = Messages()
    book = Recorder(str(tmp_path / "full" / "history.jsonl"), messages)  # type: ignore[arg-type]
    book.add(trainer(), record(0))
    assert len(book.history) == 1
    assert len(messages.warned) == 1
    assert messages.warned[0].startswith(f"history_file='{tmp_path / 'full' / 'history.jsonl'}' could not be written (")
    assert messages.warned[0].endswith("); training goes on")


def test_what_epochs_end_with_is_in_the_file(tmp_path: Path) -> None:
    book = recorder(tmp_path / "history.jsonl")
    book.add(trainer(), record(0))
    book.note_epoch(trainer(), TrainedEpoch(epoch=0, loss=0.5, metrics={"val_loss": 0.5}))
    book.note_epoch(trainer(), TrainedEpoch(epoch=1, not_searched="the policy searches once"))
    assert SearchHistory.load(tmp_path / "history.jsonl") == book.history
    assert [end.loss for end in book.history.trained] == [0.5, None]


def test_records_of_earlier_fits_stand_first() -> None:
    earlier = SearchHistory([record(0), record(2)], [TrainedEpoch(epoch=epoch) for epoch in range(4)])
    kept = recorder()
    assert kept.whole is kept.history
    kept.go_on_from(earlier, 2)
    kept.history.append(record(2, chosen=None))
    kept.history.note_epoch(TrainedEpoch(epoch=2))
    assert [(one.epoch, one.chosen_number) for one in kept.whole] == [(0, 0), (2, None)]
    assert [one.epoch for one in kept.whole.trained] == [0, 1, 2]
    assert [one.epoch for one in kept.history] == [2]
