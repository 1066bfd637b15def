"""What is asked of a Trainer, on as much of one as a question needs; that the answers fit is for whole fits to show."""

from __future__ import annotations

import math
import re
import sys
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, Timer, TQDMProgressBar
from torch import nn

from lightning_gammabo.trainer.inspection import (
    check_lightning,
    goes_on_inside,
    log_to_loggers,
    module_of,
    needs_native_batches,
    overrides,
    shape_of_run,
    trains_weights,
    validates_within,
)

PLAIN = {
    "callbacks": [],
    "num_training_batches": 10,
    "accumulate_grad_batches": 1,
    "max_epochs": 5,
    "max_steps": -1,
    "limit_train_batches": 1.0,
    "limit_val_batches": 1.0,
    "enable_validation": True,
    "val_check_interval": 1.0,
    "val_check_batch": 10,
    "check_val_every_n_epoch": 1,
    "_val_check_time_interval": None,
}


def loader_of(samples: int, batch_size: int | None = 4) -> Any:
    return SimpleNamespace(dataset=range(samples), batch_size=batch_size)


def trainer_of(trained: int | None = 40, validated: int | None = 20, **changed: Any) -> Any:
    loaders = [None if n is None else SimpleNamespace(flattened=[loader_of(n)]) for n in (trained, validated)]
    progress = SimpleNamespace(total=SimpleNamespace(ready=0))
    epoch_loop = SimpleNamespace(val_loop=SimpleNamespace(_combined_loader=loaders[1]), batch_progress=progress)
    fit_loop = SimpleNamespace(_combined_loader=loaders[0], epoch_loop=epoch_loop)
    return SimpleNamespace(fit_loop=fit_loop, **{**PLAIN, **changed})


def shape(trainer: Any, *, scored: int | None = None, own: int | None = None, replays: bool = False) -> Any:
    return shape_of_run(trainer, replays=replays, scored=scored, own=own)


# ---- how long it runs


def test_a_run_has_a_shape() -> None:
    found = shape(trainer_of(accumulate_grad_batches=2), replays=True)
    assert (found.epochs, found.batches, found.accumulate, found.val_ratio, found.replays) == (5, 10, 2, 0.5, True)


@pytest.mark.parametrize(
    ("changed", "epochs"),
    [
        ({"max_epochs": None}, None),
        ({"max_epochs": -1}, None),
        ({"max_epochs": 1}, 1),
        ({"max_steps": None}, 5),
        ({"max_steps": 30}, 3),
        ({"max_steps": 31}, 4),
        ({"max_steps": 1}, 1),
        ({"max_steps": 90}, 5),
        ({"max_steps": 30, "max_epochs": -1}, 3),
        ({"max_steps": 30, "max_epochs": -1, "num_training_batches": math.inf}, None),
        # 10 batches are 4 steps, the last one of a single batch
        ({"max_steps": 9, "accumulate_grad_batches": 3}, 3),
        ({"max_steps": 30, "num_training_batches": 1, "max_epochs": -1}, 30),
    ],
    ids=str,
)
def test_epochs_end_by_themselves_or_by_steps(changed: dict[str, Any], epochs: int | None) -> None:
    assert shape(trainer_of(**changed)).epochs == epochs


@pytest.mark.parametrize(("length", "batches"), [(10, 10), (1, 1), (0, None), (math.inf, None)])
def test_batches_are_known_or_not(length: float, batches: int | None) -> None:
    assert shape(trainer_of(num_training_batches=length)).batches == batches


@pytest.mark.parametrize(
    ("trained", "validated", "options", "ratio"),
    [
        (40, 20, {}, 0.5),
        (40, 20, {"scored": 10}, 0.25),
        (40, 20, {"scored": 30}, 0.5),
        (40, 20, {"own": 60}, 1.5),
        (40, 20, {"own": 60, "scored": 10}, 1.5),
        (40, None, {}, 0.25),  # a guess
        (None, None, {}, None),  # a stream: nobody knows
        (None, None, {"own": 60}, None),
        (1, 1, {}, 1.0),
    ],
)
def test_what_is_validated_for_each_sample_that_is_trained(
    trained: int | None, validated: int | None, options: dict[str, Any], ratio: float | None
) -> None:
    assert shape(trainer_of(trained, validated), **options).val_ratio == ratio


def test_limits_and_a_validation_that_is_off_count() -> None:
    assert shape(trainer_of(limit_train_batches=5)).val_ratio == 1.0
    assert shape(trainer_of(limit_val_batches=2)).val_ratio == 0.2
    assert shape(trainer_of(limit_val_batches=1)).val_ratio == 0.1
    off = trainer_of(enable_validation=False)
    assert shape(off).val_ratio == shape(off, own=60).val_ratio == 0.0


@pytest.mark.parametrize(
    ("restarting", "ready", "inside"), [(True, 1, True), (True, 3, True), (True, 0, False), (False, 3, False)]
)
def test_whether_an_epoch_goes_on_inside(restarting: bool, ready: int, inside: bool) -> None:
    progress = SimpleNamespace(current=SimpleNamespace(ready=ready))
    loop = SimpleNamespace(restarting=restarting, batch_progress=progress)
    assert goes_on_inside(SimpleNamespace(fit_loop=SimpleNamespace(epoch_loop=loop))) is inside  # type: ignore[arg-type]


@pytest.mark.parametrize("skips", [True, False])
def test_an_epoch_without_backward_passes_trains_nothing(skips: bool) -> None:
    assert trains_weights(SimpleNamespace(fit_loop=SimpleNamespace(_skip_backward=skips))) is not skips  # type: ignore[arg-type]


# ---- what has to see batches


@pytest.mark.parametrize(
    ("changed", "when"),
    [
        ({}, None),
        ({"val_check_interval": 0.5, "val_check_batch": 5}, "validation in mid-epoch (val_check_interval=0.5)"),
        ({"val_check_interval": 1, "val_check_batch": 1}, "validation in mid-epoch (val_check_interval=1)"),
        ({"val_check_interval": 10}, None),
        # counted through the run: each end of an epoch, and every third, are no mid-epoch
        ({"val_check_interval": 10, "check_val_every_n_epoch": None}, None),
        ({"val_check_interval": 30, "val_check_batch": 30, "check_val_every_n_epoch": None}, None),
        (
            {"val_check_interval": 15, "val_check_batch": 15, "check_val_every_n_epoch": None},
            "validation in mid-epoch (val_check_interval=15)",
        ),
        ({"val_check_interval": 0.5, "val_check_batch": 5, "enable_validation": False}, None),
        ({"_val_check_time_interval": 60.0}, "validation by the clock (val_check_interval)"),
    ],
    ids=str,
)
def test_validations_within_an_epoch(changed: dict[str, Any], when: str | None) -> None:
    assert validates_within(trainer_of(**changed)) == when
    assert needs_native_batches(trainer_of(**changed)) == when


def test_validations_counted_through_a_run_after_an_epoch_that_ended_early() -> None:
    trainer = trainer_of(val_check_interval=10, check_val_every_n_epoch=None)
    trainer.fit_loop.epoch_loop.batch_progress.total.ready = 17
    assert validates_within(trainer) is not None


def test_a_trainer_that_knows_no_clock() -> None:
    trainer = trainer_of()
    del trainer._val_check_time_interval  # Lightning 2.5 has none
    assert validates_within(trainer) is None


class Counts(Callback):
    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        pass


class OwnCheckpoint(ModelCheckpoint):
    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("callback", "named"),
    [
        (Callback(), None),
        (TQDMProgressBar(), None),
        (Counts(), "the batch hooks of Counts"),
        (ModelCheckpoint(), None),
        (ModelCheckpoint(every_n_train_steps=2), "the batch hooks of ModelCheckpoint"),
        (
            ModelCheckpoint(train_time_interval=timedelta(1)),
            "the batch hooks of ModelCheckpoint",
        ),
        (OwnCheckpoint(), "the batch hooks of OwnCheckpoint"),
        (Timer("00:01:00:00", interval="epoch"), None),
        (Timer("00:01:00:00", interval="step"), "the batch hooks of Timer"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Callback) else str(value),
)
def test_callbacks_that_have_to_see_batches(callback: Callback, named: str | None) -> None:
    assert needs_native_batches(trainer_of(callbacks=[Callback(), callback])) == named


def test_timers_by_an_older_name_of_their_interval() -> None:
    timer = Timer("00:01:00:00", interval="epoch")
    timer._interval = "epoch"  # type: ignore[assignment]
    assert needs_native_batches(trainer_of(callbacks=[timer])) is None


def test_loggers_are_told_the_step() -> None:
    told: list[Any] = []
    logger = SimpleNamespace(log_metrics=lambda metrics, step: told.append((metrics, step)))
    fit_loop = SimpleNamespace(epoch_loop=SimpleNamespace(_batches_that_stepped=7))
    log_to_loggers(SimpleNamespace(loggers=[logger, logger], fit_loop=fit_loop), {"a": 1.0})  # type: ignore[arg-type]
    assert told == [({"a": 1.0}, 7)] * 2


# ---- whose method it is


class Own(LightningModule):
    def on_validation_model_zero_grad(self) -> None:
        pass


class Derived(Own):
    pass


def test_a_method_is_lightnings_or_the_users() -> None:
    assert overrides(Own(), "on_validation_model_zero_grad")
    assert overrides(Derived(), "on_validation_model_zero_grad")
    assert not overrides(Own(), "on_train_start")
    assert not overrides(Own(), "no_such_method")
    patched = LightningModule()
    patched.on_train_start = lambda: None  # type: ignore[method-assign]
    assert overrides(patched, "on_train_start")


def test_a_method_is_of_the_module_that_defines_it() -> None:
    assert module_of(Derived(), "on_validation_model_zero_grad").Own is Own
    assert module_of(Derived(), "on_train_start").__name__ == "lightning.pytorch.core.hooks"
    assert module_of(Derived(), "no_such_method") is None


# ---- whether this Lightning is known


class SingleDeviceStrategy:
    model = nn.Linear(1, 1)
    optimizers = broadcast = reduce_boolean_decision = None


class DDPStrategy(SingleDeviceStrategy):
    pass


class Loop:
    """Has all that is asked of any loop; its methods are of a module that has the function they call."""

    _data_fetcher = _combined_loader = _results = done = _batches_that_stepped = None
    run = setup_data = on_advance_end = reset = _should_check_val_fx = lambda self: None


_select_data_fetcher = None
call = SimpleNamespace(_call_callback_hooks=None)


def known(strategy: Any = None) -> Any:
    fit_loop = Loop()
    fit_loop.epoch_loop = Loop()  # type: ignore[attr-defined]
    fit_loop.epoch_loop.val_loop = Loop()  # type: ignore[attr-defined]
    return SimpleNamespace(
        fit_loop=fit_loop,
        strategy=strategy or SingleDeviceStrategy(),
        _logger_connector=SimpleNamespace(_callback_metrics={}, _first_loop_iter=None),
        precision_plugin=None,
        loggers=[],
        callbacks=[],
    )


@pytest.mark.parametrize("strategy", [SingleDeviceStrategy(), DDPStrategy(), type("Own", (DDPStrategy,), {})()])
def test_a_lightning_as_it_is_known(strategy: Any) -> None:
    check_lightning(known(strategy))


@pytest.mark.parametrize(
    ("where", "name", "said"),
    [
        ("trainer", "precision_plugin", "Trainer.precision_plugin"),
        ("trainer", "loggers", "Trainer.loggers"),
        ("trainer", "callbacks", "Trainer.callbacks"),
        ("connector", "_callback_metrics", "LoggerConnector._callback_metrics"),
        ("connector", "_first_loop_iter", "LoggerConnector._first_loop_iter"),
        ("epoch_loop", "val_loop", "TrainingEpochLoop.val_loop, evaluation_loop._select_data_fetcher"),
        *(("Loop", n, f"FitLoop.{n}") for n in ("_data_fetcher", "_combined_loader")),
        *(
            ("Loop", n, f"TrainingEpochLoop.{n}")
            for n in ("run", "done", "on_advance_end", "_results", "_should_check_val_fx", "_batches_that_stepped")
        ),
        ("Loop", "setup_data", "FitLoop.setup_data, fit_loop._select_data_fetcher, call._call_callback_hooks"),
        ("call", "_call_callback_hooks", "call._call_callback_hooks"),
        ("Loop", "reset", "evaluation_loop._select_data_fetcher"),
        ("here", "_select_data_fetcher", "fit_loop._select_data_fetcher, evaluation_loop._select_data_fetcher"),
    ],
)
def test_what_a_lightning_lacks_is_named(monkeypatch: pytest.MonkeyPatch, where: str, name: str, said: str) -> None:
    trainer = known()
    owners = {
        "trainer": trainer,
        "connector": trainer._logger_connector,
        "epoch_loop": trainer.fit_loop.epoch_loop,
        "Loop": Loop,
        "here": sys.modules[__name__],
        "call": call,
    }
    monkeypatch.delattr(owners[where], name)
    message = rf"cannot rewind this Lightning \(version unknown\): it has no {said}\. Install a Lightning that "
    with pytest.raises(RuntimeError, match=message):
        check_lightning(trainer)


def test_the_version_that_is_not_known_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    monkeypatch.delattr(trainer.fit_loop.epoch_loop, "_batches_that_stepped")
    with pytest.raises(RuntimeError, match=re.escape(f"this Lightning (version {lightning.__version__}): it has no")):
        check_lightning(trainer)


def strategy_of(**changed: Any) -> Any:
    able = {"model": nn.Linear(1, 1), "optimizers": [], "broadcast": None, "reduce_boolean_decision": None}
    return type("OwnStrategy", (), {})(), {**able, **changed}


class FullyShardedDataParallel(nn.Linear):
    """Named as PyTorch's FSDP1."""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": nn.Sequential(FullyShardedDataParallel(1, 1))}, r"FullyShardedDataParallel \(FSDP1\) lays"),
        ({"handles_gradient_accumulation": True}, "an engine of its own accumulates gradients"),
    ],
)
def test_a_strategy_whose_weights_are_out_of_reach_is_refused(changed: dict[str, Any], said: str) -> None:
    strategy, attributes = strategy_of(**changed)
    vars(strategy).update(attributes)
    message = rf"the state of OwnStrategy: {said}.*choose ModelParallelStrategy with PyTorch's fully_shard \(FSDP2\);"
    with pytest.raises(ValueError, match=message):
        check_lightning(known(strategy))


def test_a_strategy_that_lacks_what_is_asked_of_it_is_refused() -> None:
    with pytest.raises(ValueError, match="the state of OwnStrategy: it has no model, optimizers, broadcast, reduce_"):
        check_lightning(known(strategy_of()[0]))


def test_a_strategy_of_the_users_own_is_taken_for_what_it_can_do() -> None:
    strategy, attributes = strategy_of()
    vars(strategy).update(attributes)
    check_lightning(known(strategy))


def test_a_lightning_whose_fit_loop_has_no_epoch_loop() -> None:
    trainer = known()
    del trainer.fit_loop.epoch_loop
    with pytest.raises(RuntimeError, match=r"it has no FitLoop\.epoch_loop, TrainingEpochLoop\.run, "):
        check_lightning(trainer)
