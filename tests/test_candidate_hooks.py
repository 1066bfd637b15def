"""What stands in for the user's callbacks and loggers while a candidate trains."""

from __future__ import annotations

import math
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

from lightning_gammabo.candidate_hooks import (
    Diverged,
    InputSide,
    LoggerTape,
    Probe,
    has_batch_hooks,
    hook_owner,
    stand_ins,
    takes_part,
)

NAN, INF = math.nan, math.inf


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
    assert isinstance(second, InputSide)


def test_only_the_input_side_of_a_callback_runs() -> None:
    callback = Preprocessing()
    side = InputSide(callback)
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


# ---- the probe


def probe(*, distributed: bool = False, synchronises: bool = False, agree: Any = bool) -> Probe:
    return Probe(agree, distributed=distributed, synchronises=synchronises)


def step(watching: Probe, outputs: Any) -> None:
    watching.on_train_batch_end(None, None, outputs, None, watching.batches)


def test_the_training_loss_is_that_of_the_last_quarter() -> None:
    watching = probe()
    assert watching.train_loss is None
    for loss in range(1, 11):  # 10 steps: the last two
        step(watching, {"loss": torch.tensor(float(loss))})
    assert watching.batches == 10
    assert watching.train_loss == 9.5


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_of_few_steps_the_last_one_counts(steps: int) -> None:
    watching = probe()
    for loss in range(steps):
        step(watching, torch.tensor(float(loss)))
    assert watching.train_loss == steps - 1


@pytest.mark.parametrize("outputs", [None, {}, {"loss": None}, "text", {"loss": torch.zeros(3)}, torch.zeros(2), 0.5])
def test_a_step_without_a_loss_is_counted_and_nothing_else(outputs: Any) -> None:
    watching = probe()
    step(watching, outputs)
    watching.on_validation_batch_end(None, None, outputs, None, 0)
    assert (watching.batches, watching.train_loss, watching.val_loss) == (1, None, None)


def test_the_graph_of_a_loss_is_not_held() -> None:
    watching = probe()
    loss = torch.nn.Parameter(torch.tensor(2.0)) * 3.0
    step(watching, {"loss": loss})
    assert watching.train_loss == 6.0
    assert not watching._train[0].requires_grad


def test_the_validation_loss_is_the_mean_over_batches() -> None:
    watching = probe()
    for loss in (1.0, 2.0, 6.0):
        watching.on_validation_batch_end(None, None, {"loss": torch.tensor([loss])}, None, 0, 0)
    assert watching.val_loss == 3.0


@pytest.mark.parametrize("loss", [NAN, INF, -INF])
def test_a_loss_that_is_not_finite_ends_the_candidate_at_once(loss: float) -> None:
    watching = probe()
    step(watching, torch.tensor(1e38))
    step(watching, None)
    with pytest.raises(Diverged, match="training loss not finite at step 3"):
        step(watching, torch.tensor(loss))


def test_where_a_look_waits_for_a_device_it_is_taken_every_eighth_step() -> None:
    watching = probe(synchronises=True)
    for number in range(7):
        step(watching, torch.tensor(NAN if number == 2 else 1.0))
    with pytest.raises(Diverged, match="at step 8"):
        step(watching, torch.tensor(1.0))


def test_losses_are_looked_at_once() -> None:
    watching = probe(synchronises=True)
    looks: list[int] = []
    watching._is_bad = lambda: looks.append(watching.batches) or Probe._is_bad(watching)  # type: ignore[method-assign, func-returns-value]
    for _ in range(20):
        step(watching, torch.tensor(1.0))
    assert looks == [8, 16]
    assert watching._checked == 16


def test_all_ranks_end_at_the_same_step() -> None:
    asked: list[bool] = []

    def any_rank(bad: bool) -> bool:
        asked.append(bad)
        return len(asked) == 2  # the other rank diverges, this one does not

    watching = probe(distributed=True, agree=any_rank)
    for _ in range(15):
        step(watching, torch.tensor(1.0))
    with pytest.raises(Diverged, match="at step 16"):
        step(watching, torch.tensor(1.0))
    assert asked == [False, False]


def test_one_rank_alone_asks_nobody() -> None:
    watching = probe(agree=lambda bad: pytest.fail("asked"))
    step(watching, torch.tensor(1.0))


def test_other_hooks_of_a_probe_do_nothing() -> None:
    watching = probe()
    assert watching.on_train_epoch_end(None, None) is None
    assert watching.setup(None, None, stage="fit") is watching.teardown() is watching.state_dict() is None
    with pytest.raises(AttributeError, match="best_model_path"):
        _ = watching.best_model_path


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
