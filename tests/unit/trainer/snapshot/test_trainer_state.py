"""The state of a fit at one moment: what is put back, what is left alone, what may wait to be copied."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo.trainer.snapshot.objects import DATA_ARRAY_LIMIT
from lightning_gammabo.trainer.snapshot.trainer_state import TrainerState
from tests.helpers.trainers import AtTheSecondEpoch, trainer_of
from tests.integration.identity.fingerprint import differences, fingerprint, plain
from tests.integration.identity.scenarios import TRAIN, VAL, Net

pytestmark = pytest.mark.filterwarnings("ignore")

Check = Callable[[Any, Any], None]


class Scheduled(Net):
    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Any] = {"list": [1, 2], "tensor": torch.ones(2)}

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
        # one that the optimizer alone knows
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))]})
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


class Data(LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []
        self.large = torch.zeros((DATA_ARRAY_LIMIT >> 2) + 1)
        self.trained, self.validated = (torch.Generator().manual_seed(seed) for seed in (1, 2))

    def train_dataloader(self) -> Any:
        return DataLoader(TRAIN, 8, shuffle=True, generator=self.trained)

    def val_dataloader(self) -> Any:
        return DataLoader(VAL, 10, shuffle=True, generator=self.validated)


def within_a_fit(check: Check, *loaders: Any) -> None:
    caller = AtTheSecondEpoch(check)
    trainer = trainer_of(caller)
    if loaders:
        trainer.fit(Scheduled(), *loaders)
    else:
        trainer.fit(Scheduled(), datamodule=Data())
    assert caller.told == 1


class Took(Callback):
    def __init__(self) -> None:
        self.count = [1]


def spoil(trainer: Any, module: Any) -> None:
    """Change all that training touches."""
    loop = trainer.fit_loop.epoch_loop
    optimizer = trainer.optimizers[0]
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers(), *optimizer.param_groups[1]["params"]]:
            tensor.add_(1)
        for state in optimizer.state.values():
            state["momentum_buffer"].mul_(2.0)
    optimizer.param_groups[0]["lr"] = 9.0
    trainer.lr_scheduler_configs[0].scheduler.step()
    trainer.lr_scheduler_configs[0].interval = "step"
    module.kept["list"].append(3)
    module.kept["tensor"] += 1.0
    module.eval()
    for progress in (loop.batch_progress, trainer.fit_loop.epoch_progress, loop.val_loop.batch_progress):
        progress.current.ready += 5
    loop.automatic_optimization.optim_progress.optimizer.step.total.completed += 5
    loop.manual_optimization.optim_step_progress.total.completed += 5
    loop._batches_that_stepped += 5
    loop._results["new"] = loop.val_loop._results["new"] = None
    trainer.should_stop = True
    trainer.state.stage = None
    trainer._logger_connector._callback_metrics["train_loss"] = torch.ones(())
    trainer._logger_connector._logged_metrics["new"] = torch.ones(())
    (random.random(), np.random.random(), torch.rand(1))


def more(trainer: Any, module: Any) -> list[Any]:
    """What :func:`fingerprint` does not look at."""
    loop = trainer.fit_loop.epoch_loop
    return plain([
        module.kept, trainer.optimizers[0].param_groups[1]["params"], trainer.lr_scheduler_configs[0].interval,
        str(trainer.state.stage), sorted(loop._results), sorted(loop.val_loop._results),
        loop._batches_that_stepped, loop.val_loop.batch_progress.current.ready,
        loop.manual_optimization.optim_step_progress.total.completed, [p.grad for p in module.parameters()],
    ])  # fmt: skip


def test_all_that_training_touches_is_put_back() -> None:
    def check(trainer: Any, module: Any) -> None:
        before, beside = fingerprint(trainer, module), more(trainer, module)
        state = TrainerState(trainer)
        spoil(trainer, module)
        assert len(differences(before, fingerprint(trainer, module))) > 8
        state.restore()
        assert differences(before, fingerprint(trainer, module)) == []
        assert more(trainer, module) == beside

    within_a_fit(check)


def test_of_callbacks_those_that_are_named_are_held() -> None:
    def check(trainer: Any, module: Any) -> None:
        held, left = Took(), Took()
        state = TrainerState(trainer, callbacks=[held])
        for callback in (held, left):
            callback.count.append(2)
        held.new = 3  # type: ignore[attr-defined]
        state.restore()
        assert (held.count, left.count) == ([1], [1, 2])
        assert not hasattr(held, "new")

    within_a_fit(check)


@pytest.mark.parametrize("data", [None, True, False])
@pytest.mark.parametrize("validation", [None, True, False])
def test_positions_of_data_are_held_or_left_alone(data: bool | None, validation: bool | None) -> None:
    options = {"data": data, "validation": validation}

    def check(trainer: Any, module: Any) -> None:
        source, fetcher = trainer.datamodule, trainer.fit_loop._data_fetcher
        generators = [source.trained, source.validated]
        before = [generator.get_state() for generator in generators]
        fetched = fetcher.fetched
        state = TrainerState(trainer, **{name: value for name, value in options.items() if value is not None})
        for generator in generators:
            torch.rand(3, generator=generator)
        fetcher.fetched += 7
        source.seen.append(1)
        source.large.add_(1.0)
        state.restore()
        back = [torch.equal(a, g.get_state()) for a, g in zip(before, generators, strict=True)]
        # the data module knows its generators as well: what is below a loader that is left alone is left alone
        assert back == [data is not False, validation is not False]
        assert fetcher.fetched == fetched + (7 if data is False else 0)
        assert source.seen == []
        assert bool((source.large == 1.0).all())  # data, and no state
        fetcher.fetched = fetched

    within_a_fit(check)


@pytest.mark.parametrize("left", [None, "data", "validation"])
def test_what_loaders_alone_know_is_held_but_for_large_arrays(left: str | None) -> None:
    rows, labels = torch.zeros(40, 6), torch.zeros(40, dtype=torch.long)
    large = torch.zeros((DATA_ARRAY_LIMIT >> 2) + 1)
    loaders = []
    for seed in (1, 2):
        dataset = TensorDataset(rows.clone(), labels.clone())
        dataset.large = large.clone()  # type: ignore[attr-defined]
        loaders.append(DataLoader(dataset, 8, shuffle=True, generator=torch.Generator().manual_seed(seed)))

    def check(trainer: Any, module: Any) -> None:
        before = [loader.generator.get_state() for loader in loaders]
        state = TrainerState(trainer, **({} if left is None else {left: False}))
        for loader in loaders:
            torch.rand(3, generator=loader.generator)
            loader.dataset.tensors[0].add_(1.0)
            loader.dataset.large.add_(1.0)
        state.restore()
        held = [left != "data", left != "validation"]
        assert [torch.equal(a, one.generator.get_state()) for a, one in zip(before, loaders, strict=True)] == held
        assert [bool((one.dataset.tensors[0] == 0.0).all()) for one in loaders] == held
        assert all(bool((one.dataset.large == 1.0).all()) for one in loaders)  # data, and no state

    within_a_fit(check, *loaders)


def test_gradients_are_held_or_gone() -> None:
    def check(trainer: Any, module: Any) -> None:
        parameter = next(module.parameters())
        for options, kept in (({}, True), ({"grads": True}, True), ({"grads": False}, False)):
            parameter.grad = torch.ones_like(parameter)
            state = TrainerState(trainer, **options)
            parameter.grad = torch.zeros_like(parameter)
            state.restore()
            assert (parameter.grad is not None) == kept
            assert not kept or bool((parameter.grad == 1.0).all())

    within_a_fit(check)


WRITTEN: dict[str, Callable[[Any, Any], Any]] = {
    "a parameter": lambda trainer, module: next(module.parameters()),
    "a state": lambda trainer, module: next(iter(trainer.optimizers[0].state.values()))["momentum_buffer"],
    "one that the optimizer alone knows": lambda trainer, module: trainer.optimizers[0].param_groups[1]["params"][0],
}


@pytest.mark.parametrize("which", WRITTEN)
def test_values_that_wait_are_copied_in_time_or_given_up(which: str) -> None:
    def check(trainer: Any, module: Any) -> None:
        tensor = WRITTEN[which](trainer, module)
        before = tensor.detach().clone()
        older = TrainerState(trainer, defer=True)
        assert older.hold_weights()
        late = TrainerState(trainer, defer=True)
        with torch.no_grad():
            tensor.add_(1.0)
        assert not late.hold_weights()  # it has not been copied
        older.restore()
        assert torch.equal(tensor, before)
        newer = TrainerState(trainer, defer=True)
        assert newer.hold_weights(reuse=older)
        with torch.no_grad():
            tensor.add_(1.0)
        newer.restore()
        assert torch.equal(tensor, before)

    within_a_fit(check)


def test_what_does_not_wait_is_copied_at_once() -> None:
    def check(trainer: Any, module: Any) -> None:
        for options, waits in (({}, False), ({"defer": True}, True)):
            parameter = next(module.parameters())
            state = TrainerState(trainer, **options)
            with torch.no_grad():
                parameter.add_(1.0)
            assert state.hold_weights() is not waits

    within_a_fit(check)


def test_iterators_that_nobody_can_put_back_are_named() -> None:
    def check(trainer: Any, module: Any) -> None:
        callback = Took()
        module.stream = (number for number in range(3))
        trainer.datamodule.stream = (number for number in range(3))
        callback.stream = (number for number in range(3))  # type: ignore[attr-defined]
        found = TrainerState(trainer, callbacks=[Took(), callback]).unheld
        assert {path for path in found if path.endswith("stream")} == {
            "module.stream", "datamodule.stream", "callback1.stream",
        }  # fmt: skip
        del module.stream

    within_a_fit(check)


def test_stand_ins_in_loops_are_no_state_and_plain_attributes_are() -> None:
    def check(trainer: Any, module: Any) -> None:
        loop, kept = trainer.fit_loop.epoch_loop, object()
        loop.before, trainer.before = (lambda: 1), object()
        state = TrainerState(trainer)
        loop.before = trainer.before = kept_too = lambda: 2
        loop.stand_in, loop.own, trainer.own, trainer.number = (lambda: None), 1, kept, 2
        state.restore()
        assert hasattr(loop, "stand_in")
        assert trainer.own is kept  # of a Trainer only numbers, flags and words are state
        assert not hasattr(loop, "own")
        assert not hasattr(trainer, "number")
        assert loop.before is trainer.before is kept_too
        del loop.stand_in, trainer.own, loop.before, trainer.before

    within_a_fit(check, DataLoader(TRAIN, 8), DataLoader(VAL, 10))


def test_what_a_strategy_notes_on_its_wrapper_is_state() -> None:
    def check(trainer: Any, module: Any) -> None:
        wrapper, native = SimpleNamespace(synchronises=True, module=module), trainer.strategy._model
        trainer.strategy._model = wrapper
        state = TrainerState(trainer)
        wrapper.synchronises, wrapper.new = False, 1
        state.restore()
        assert vars(wrapper) == {"synchronises": True, "module": module}
        trainer.strategy._model = native

    within_a_fit(check)
