"""What stands in for the user's callbacks and loggers while a candidate trains."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    DeviceStatsMonitor,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
    Timer,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import CSVLogger

from lightning_gammabo.trainer.proxies import (
    LoggerTape,
    OnlyHooks,
    has_batch_hooks,
    hook_owner,
    stand_ins,
    takes_part,
)


class Preprocessing(Callback):
    """Changes the batch; its other hooks must not run for candidates."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.factor = 2.0

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.calls.append("on_train_batch_start")
        batch.mul_(self.factor)

    def on_train_batch_end(self, *args: Any) -> None:
        self.calls.append("on_train_batch_end")

    def on_validation_end(self, *args: Any) -> None:
        self.calls.append("on_validation_end")

    def setup(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append("setup")


class Heir(Preprocessing):
    """Inherits its batch hooks."""


class Watching(Callback):
    def on_train_batch_end(self, *args: Any) -> None: ...


class Collecting(Callback):
    def on_validation_epoch_end(self, *args: Any) -> None: ...


class MyBar(TQDMProgressBar):
    def on_train_batch_end(self, *args: Any) -> None: ...


def set_on_the_object() -> Callback:
    callback = Callback()
    callback.on_after_backward = lambda *args: None  # type: ignore[method-assign]
    return callback


@pytest.mark.parametrize(
    ("callback", "every_batch", "part"),
    [
        (Callback(), False, False),
        (Collecting(), False, False),
        (EarlyStopping("val_loss"), False, False),
        (TQDMProgressBar(), False, False),
        (RichProgressBar(), False, False),
        (MyBar(), False, False),
        (LearningRateMonitor(), False, True),
        (DeviceStatsMonitor(), False, True),
        (ModelCheckpoint(), True, False),
        (Timer("00:00:01:00"), True, False),
        (Watching(), True, False),
        (Preprocessing(), True, True),
        (Heir(), True, True),
        (set_on_the_object(), True, True),
        (GradientAccumulationScheduler({0: 1}), False, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Callback) else str(value),
)
def test_who_is_called_for_batches_and_who_takes_part(callback: Callback, every_batch: bool, part: bool) -> None:
    assert has_batch_hooks(callback) is every_batch
    assert takes_part(callback) is part


def test_the_owner_of_a_hook_is_named() -> None:
    assert hook_owner(Heir(), "on_train_batch_start") == "Preprocessing"
    assert hook_owner(Heir(), "on_train_start") == "Callback"
    assert hook_owner(set_on_the_object(), "on_after_backward") == "instance"
    assert hook_owner(SimpleNamespace(), "on_train_start") == ""


def test_observers_stand_for_themselves() -> None:
    monitor, changing = LearningRateMonitor(), Preprocessing()
    first, second = stand_ins([monitor, changing])
    assert first is monitor
    assert isinstance(second, OnlyHooks)


def test_only_the_input_side_of_a_callback_runs() -> None:
    callback = Preprocessing()
    side = OnlyHooks(callback)
    batch = torch.ones(2)
    side.setup(None, None, stage="fit")
    side.on_train_batch_start(None, None, batch, 0)
    side.on_train_batch_end(None, None, None, batch, 0)
    side.on_validation_end(None, None)
    side.teardown()
    assert callback.calls == ["on_train_batch_start"]
    assert batch.tolist() == [2.0, 2.0]
    assert side.state_key == callback.state_key
    assert side.factor == 2.0
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = side.nothing_of_the_kind


def test_of_a_callback_only_the_hooks_that_are_named_run() -> None:
    callback = Preprocessing()
    only = OnlyHooks(callback, ["on_train_batch_end"])
    batch = torch.ones(2)
    only.on_train_batch_start(None, None, batch, 0)
    only.on_train_batch_end(None, None, None, batch, 0)
    assert callback.calls == ["on_train_batch_end"]
    assert batch.tolist() == [1.0, 1.0]


# ---- the tape of a logger


class Board:
    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.images = SimpleNamespace(add=lambda *a, **k: self.lines.append(("image", a, k)))

    def add_scalar(self, *args: Any, **kwargs: Any) -> None:
        self.lines.append((args, kwargs))


class Logger:
    name, version, save_dir = "mine", 3, "here"

    def __init__(self) -> None:
        self.experiment = Board()
        self.lines: list[Any] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.lines.append((metrics, step))


def test_what_is_written_is_kept_until_it_is_played() -> None:
    logger = Logger()
    tape = LoggerTape(logger)
    assert tape.log_metrics({"a": 1.0}, step=2) is None
    tape.experiment.add_scalar("b", 2.0, global_step=3)
    tape.experiment.images.add("picture")
    assert (logger.lines, logger.experiment.lines) == ([], [])
    calls = tape.take()
    for _ in range(2):  # playing uses nothing up
        tape.play(calls)
    assert logger.lines == [({"a": 1.0}, 2)] * 2
    assert logger.experiment.lines == [(("b", 2.0), {"global_step": 3}), ("image", ("picture",), {})] * 2


def test_what_a_logger_can_tell_it_tells() -> None:
    tape = LoggerTape(Logger())
    assert (tape.name, tape.version, tape.save_dir) == ("mine", 3, "here")
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = tape.nothing_of_the_kind


def test_a_taken_winner_is_not_touched_by_the_next_candidate() -> None:
    logger = Logger()
    tape = LoggerTape(logger)
    tape.log_metrics({"lr": 0.1})
    winner = tape.take()
    tape.clear()
    tape.log_metrics({"lr": 0.2})
    assert len(tape.take()) == 1
    tape.play(winner)
    assert logger.lines == [({"lr": 0.1}, None)]


def test_what_is_changed_after_it_was_logged_is_written_as_it_was() -> None:
    logger = Logger()
    tape = LoggerTape(logger)
    metrics, picture = {"a": 1.0}, torch.zeros(2)
    tape.log_metrics(metrics)
    tape.experiment.add_scalar(picture)
    metrics["a"] = 9.0
    picture.fill_(9.0)
    tape.play(tape.take())
    assert logger.lines == [({"a": 1.0}, None)]
    assert logger.experiment.lines[0][0][0].tolist() == [0.0, 0.0]


def test_what_cannot_be_copied_is_kept_as_it_is() -> None:
    logger = Logger()
    tape = LoggerTape(logger)
    live = (number for number in range(3))
    tape.log_metrics(live)
    tape.play(tape.take())
    assert logger.lines[0][0] is live


def test_a_real_logger_writes_the_same_lines(tmp_path: Any) -> None:
    plain, taped = (CSVLogger(tmp_path, name=name, version=0) for name in ("plain", "taped"))
    tape = LoggerTape(taped)
    for logger in (plain, tape):
        for number in range(3):
            logger.log_metrics({"loss": 1.0 / (number + 1)}, step=number)
        logger.save()
    assert not (tmp_path / "taped" / "version_0" / "metrics.csv").exists()
    tape.play(tape.take())
    written = [(tmp_path / name / "version_0" / "metrics.csv").read_text() for name in ("plain", "taped")]
    assert written[0] == written[1]
    assert written[0].count("\n") == 4
