"""What goes wrong while candidates train: the weights stay sane, the history whole, and nothing is left behind."""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, seed_everything
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lightning_gammabo import SearchHistory, TrialState
from tests.helpers.searching import searching
from tests.helpers.trainers import trainer_of
from tests.integration.identity.fingerprint import plain
from tests.integration.identity.scenarios import TRAIN, VAL, Net

pytestmark = pytest.mark.filterwarnings("ignore")


class Trap:
    """Springs once, in the second epoch's second candidate: counts what no rewind reaches."""

    candidates = 0
    at = 1  # the candidate at the present rate: at another one an error is the rate's fault

    @classmethod
    def springs(cls, epoch: int, batch: int) -> bool:
        if epoch != 1 or batch != 2:
            return False
        cls.candidates += 1
        return cls.candidates == cls.at


class FailsInTraining(Net):
    error: BaseException = RuntimeError("boom in training_step")

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if Trap.springs(self.current_epoch, batch_idx):
            raise self.error
        return super().training_step(batch, batch_idx)


class Interrupted(FailsInTraining):
    error = KeyboardInterrupt()


class FailsInValidation(Net):
    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        if Trap.springs(self.current_epoch, batch_idx + 2):
            raise RuntimeError("boom in validation_step")
        return super().validation_step(batch, batch_idx)


class IsTerminated(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if Trap.springs(self.current_epoch, batch_idx):
            os.kill(os.getpid(), signal.SIGTERM)
        return super().training_step(batch, batch_idx)


class FailsInWorker(Dataset[Any]):
    """Raises, or ends its process, once a file says that it is time."""

    def __init__(self, sign: Path, dies: bool) -> None:
        self.sign, self.dies = sign, dies

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        if self.sign.exists():
            if self.dies:
                os._exit(3)
            raise ValueError("boom in a worker")
        return TRAIN[index]


class GivesTheSign(Net):
    sign: Path

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if Trap.springs(self.current_epoch, batch_idx + 2):
            self.sign.touch()
        return super().training_step(batch, batch_idx)


class FailsInCallback(Callback):
    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if Trap.springs(trainer.current_epoch, batch_idx):
            raise RuntimeError("boom in a callback")


@dataclass
class Fault:
    module: Callable[[], Net]
    error: type[BaseException]
    message: str
    callbacks: Callable[[], list[Callback]] = list
    dies: bool | None = None


RAISES = {
    "training step": Fault(FailsInTraining, RuntimeError, "boom in training_step"),
    "validation step": Fault(FailsInValidation, RuntimeError, "boom in validation_step"),
    "keyboard interrupt": Fault(Interrupted, SystemExit, "1"),
    "SIGTERM": Fault(IsTerminated, SystemExit, ""),
    "worker": Fault(GivesTheSign, ValueError, "boom in a worker", dies=False),
    "worker dies": Fault(GivesTheSign, RuntimeError, r"DataLoader worker \(pid.*exited unexpectedly", dies=True),
    "callback": Fault(Net, RuntimeError, "boom in a callback", callbacks=lambda: [FailsInCallback()]),
}


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    # workers of a loader that nobody holds any more are waited for so long, one after the other
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)
    Trap.candidates = 0
    threads, handlers = set(threading.enumerate()), signal.getsignal(signal.SIGTERM)
    yield
    gc.collect()
    for child in multiprocessing.active_children():
        child.join(5)
    assert multiprocessing.active_children() == []
    assert {thread for thread in threading.enumerate() if thread.is_alive()} <= threads
    assert signal.getsignal(signal.SIGTERM) == handlers
    assert {path.name for path in tmp_path.iterdir()} <= {"history.jsonl", "sign"}


def loaders(fault: Fault | None = None, sign: Path = Path("nowhere")) -> tuple[Any, Any]:
    val = DataLoader(VAL, 10)
    if fault is None or fault.dies is None:
        return DataLoader(TRAIN, 8, shuffle=True), val
    return DataLoader(FailsInWorker(sign, fault.dies), 8, shuffle=True, num_workers=2, prefetch_factor=1), val


@pytest.mark.parametrize("commit", ["copy", "replay"])
@pytest.mark.parametrize("name", RAISES)
def test_a_fault_that_ends_the_run(name: str, commit: Any, tmp_path: Path) -> None:
    fault, sign = RAISES[name], tmp_path / "sign"

    def module() -> Net:
        seed_everything(1, verbose=False)
        made = fault.module()
        made.sign = sign  # type: ignore[assignment]
        return made

    Trap.at = 2 if fault.error is SystemExit else 1
    search, failing = searching(commit=commit, history_file="history.jsonl"), module()
    trainer = trainer_of(search, *fault.callbacks(), max_epochs=3)
    with pytest.raises(fault.error, match=fault.message):
        trainer.fit(failing, *loaders(fault, sign))
    assert Trap.candidates == Trap.at
    assert [record.epoch for record in search.history] == [0]
    assert SearchHistory.load("history.jsonl") == search.history
    # the weights are those before the epoch in which it happened
    sign.unlink(missing_ok=True)
    Trap.candidates = -1000
    healthy = module()
    trainer_of(searching(commit=commit), *fault.callbacks(), max_epochs=1).fit(healthy, *loaders(fault, sign))
    assert plain(failing.state_dict()) == plain(healthy.state_dict())
    assert all("run" not in vars(loop) for loop in (trainer.fit_loop, trainer.fit_loop.epoch_loop))


class RunsOutOfMemory(Net):
    """In every candidate but the first of an epoch."""

    error: BaseException = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
    first: float | None = None

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 2 and self.trainer.optimizers[0].param_groups[0]["lr"] != 0.05:
            raise self.error
        return super().training_step(batch, batch_idx)


class RunsOutOfHostMemory(RunsOutOfMemory):
    error = MemoryError("no room for 20 MiB")


class RunsOutOfAllocatorMemory(RunsOutOfMemory):
    error = RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried ...")


class LogsNan(Net):
    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("val_loss", self.loss(batch) * math.nan)
        self.log("val_acc", 0.5)


class LogsSometimes(Net):
    """``val_f1`` is logged in even epochs only."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        super().validation_step(batch, batch_idx)
        if self.current_epoch % 2 == 0:
            self.log("val_f1", -self.loss(batch))


class LogsWhereItLikes(Net):
    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        if self.trainer.sanity_checking or self.trainer.optimizers[0].param_groups[0]["lr"] == 0.05:
            self.log("val_loss", self.loss(batch))


class Nothing(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(())


@dataclass
class Trouble:
    """A run that has to come to its end; ``states`` are those of the first epoch's candidates."""

    states: list[str]
    module: Callable[[], Net] = Net
    train: Callable[[], Any] = lambda: DataLoader(TRAIN, 8, shuffle=True)
    val: Callable[[], Any] = lambda: DataLoader(VAL, 10)
    search: dict[str, Any] = field(default_factory=dict)
    says: str = ""
    """in a candidate's message, or in a warning"""
    keeps_rate: bool = False
    epochs: int = 3


COMPLETE, DIVERGED, FAILED = ("complete", "diverged", "failed")
GOES_ON = {
    "out of memory": Trouble([COMPLETE, FAILED, FAILED], RunsOutOfMemory, says="out of memory: CUDA out of memory"),
    "out of host memory": Trouble([COMPLETE, FAILED, FAILED], RunsOutOfHostMemory, says="out of memory: no room"),
    "out of the allocator's memory": Trouble(
        [COMPLETE, FAILED, FAILED], RunsOutOfAllocatorMemory, says="out of memory: .*DefaultCPUAllocator"
    ),
    "validation loss is never a number": Trouble(
        [FAILED] * 3,
        LogsNan,
        says=r"trained at the present rate 5.00e-02.*not finite, nor is it before",
        keeps_rate=True,
    ),
    "validation of one batch": Trouble([COMPLETE] * 3, val=lambda: DataLoader(VAL, 20)),
    "validation of one sample": Trouble([COMPLETE] * 3, val=lambda: DataLoader(torch.utils.data.Subset(VAL, [0]), 1)),
    "a stream that yields nothing": Trouble([COMPLETE] * 3, train=lambda: DataLoader(Nothing(), 8), keeps_rate=True),
    "a validation stream that yields nothing": Trouble([COMPLETE] * 3, val=lambda: DataLoader(Nothing(), 8)),
    "a loss logged by some candidates": Trouble(
        [COMPLETE, FAILED, FAILED], LogsWhereItLikes, says="ranked are loss 'val_loss'.*; this candidate gave training"
    ),
    "a metric logged sometimes": Trouble(
        [COMPLETE] * 3,
        LogsSometimes,
        search={"objective": "val_f1"},
        says="objective='val_f1'.*no such metric was logged",
        keeps_rate=False,
    ),
}


@pytest.mark.parametrize("commit", ["copy", "replay"])
@pytest.mark.parametrize("name", GOES_ON)
def test_a_fault_that_the_run_outlives(name: str, commit: Any, recwarn: pytest.WarningsRecorder) -> None:
    trouble = GOES_ON[name]
    search, module = searching(commit=commit, history_file="history.jsonl", **trouble.search), trouble.module()
    trainer = trainer_of(search, max_epochs=trouble.epochs)
    trainer.fit(module, trouble.train(), trouble.val())
    assert trainer.current_epoch == trouble.epochs
    assert all(bool(torch.isfinite(parameter).all()) for parameter in module.parameters())
    assert [record.epoch for record in search.history] == list(range(trouble.epochs))
    assert SearchHistory.load("history.jsonl").to_jsonl() == search.history.to_jsonl()
    assert [result.state.value for result in search.history[0].results] == trouble.states
    said = [result.message for record in search.history for result in record.results]
    said += [str(warning.message) for warning in recwarn]
    assert any(re.search(trouble.says, message) for message in said), said
    if trouble.keeps_rate:
        assert trainer.optimizers[0].param_groups[0]["lr"] == 0.05


class AlwaysDiverges(Net):
    """From one epoch on, and at every rate."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        return loss * math.nan if self.current_epoch in (1, 2, 3) else loss


def test_all_candidates_diverge_in_several_epochs() -> None:
    search, module = searching(history_file="history.jsonl"), AlwaysDiverges()
    with pytest.warns(UserWarning, match=r"all 3 candidates diverged"):
        trainer_of(search, max_epochs=5).fit(module, *loaders())
    read = SearchHistory.load("history.jsonl")
    assert list(read) == list(search.history)
    assert repr(read.trained) == repr(search.history.trained)  # NaN is not equal to itself
    states = [[result.state for result in record.results] for record in search.history]
    assert states[1:4] == [[TrialState.DIVERGED] * 3] * 3
    assert all(record.chosen is None for record in search.history[1:4])


class TooHigh(Net):
    """Its configured rate is far too high, and so is all that is proposed at first."""

    def __init__(self) -> None:
        super().__init__(lr=1e30)


def test_a_range_that_is_too_high_is_left_downwards() -> None:
    search, module = searching(min_lr=1e28, max_lr=1e30), TooHigh()
    with pytest.warns(UserWarning, match=r"all 3 candidates diverged.*are not proposed any more"):
        trainer_of(search, max_epochs=4).fit(module, *loaders())
    lowest = [min(result.lr for result in record.results) for record in search.history]
    assert lowest == sorted(lowest, reverse=True)
    assert lowest[-1] < lowest[0] / 100


def test_a_clock_that_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    dice, real = random.Random(0), time.time
    monkeypatch.setattr(time, "time", lambda: real() - dice.random() * 86_400.0)
    search = searching()
    trainer_of(search, max_epochs=2).fit(Net(), *loaders())
    seconds = [record.seconds for record in search.history]
    seconds += [result.seconds for record in search.history for result in record.results]
    assert min(seconds) >= 0.0
    assert max(seconds) < 600.0
