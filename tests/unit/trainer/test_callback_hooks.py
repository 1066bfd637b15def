"""Which hooks of the user's callbacks are called while a candidate trains."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import Callback, callbacks
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

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.trainer.callback_hooks import (
    for_candidates,
    has_batch_hooks,
    hook_owner,
    only_shows,
    takes_part,
)


class Preprocessing(Callback):
    """Changes the batch; its other hooks must not run for candidates."""

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None: ...

    def on_train_batch_end(self, *args: Any) -> None: ...

    def on_validation_end(self, *args: Any) -> None: ...


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


INPUT = {
    "on_train_batch_start", "on_before_backward", "on_after_backward", "on_before_optimizer_step",
    "on_before_zero_grad",
}  # fmt: skip


def test_of_an_observer_all_hooks_run_and_of_others_those_that_change_a_step() -> None:
    monitor, changing = LearningRateMonitor(), Preprocessing()
    first, second = for_candidates([monitor, changing])
    assert first[0] is monitor
    assert first[1] is None
    assert second[0] is changing
    assert set(second[1] or ()) == INPUT


@pytest.mark.skipif(not hasattr(callbacks, "WeightAveraging"), reason="Lightning has averaged weights from 2.6 on")
def test_averaged_weights_take_part_with_all_their_hooks_and_need_no_replay() -> None:
    class Mine(callbacks.EMAWeightAveraging):
        def should_update(self, step_idx: Any = None, epoch_idx: Any = None) -> bool:
            return step_idx is not None and step_idx % 2 == 0

    for averaging in (callbacks.WeightAveraging(), callbacks.EMAWeightAveraging(), Mine()):
        assert takes_part(averaging)
        assert not has_batch_hooks(averaging)
        assert for_candidates([averaging]) == [(averaging, None)]


def test_bars_and_the_search_only_show() -> None:
    shows = [TQDMProgressBar(), RichProgressBar(), MyBar(), GammaLRSearch()]
    assert all(map(only_shows, shows))
    assert not any(map(only_shows, [Collecting(), LearningRateMonitor(), ModelCheckpoint()]))
