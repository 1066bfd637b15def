"""A snapshot of a fit, and putting it back, against a plain copy of the same tensors; in turn, so that both wait alike.

The fit has a linear layer of so many parameters, their gradients and momentums: three tensors of that size, which the
snapshot and the plain copy hold. It is taken as at a candidate's end, with the snapshot of the epoch's start at hand.
Memory is what the process holds more after a snapshot was taken, in sizes of these.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo.trainer.snapshot.trainer_state import TrainerState

SIZES = {"1 million": (1_000, 20), "10 million": (3_162, 12), "100 million": (10_000, 5)}
"""width of the layer, rounds"""
PAGE = 4096


class Layer(LightningModule):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Linear(width, width)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.net(batch[0]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-6, momentum=0.9)


class AtEpochEnd(Callback):
    """Measures in the middle of a fit, where a search takes its snapshots."""

    def __init__(self, measure: Callable[[Trainer], None]) -> None:
        self.measure = measure

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.measure(trainer)


def fit(width: int, measure: Callable[[Trainer], None]) -> None:
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[AtEpochEnd(measure)],
    )  # fmt: skip
    trainer.fit(Layer(width), DataLoader(TensorDataset(torch.randn(2, width)), 1))


def tensors_of(trainer: Trainer) -> list[Tensor]:
    parameters = [*trainer.lightning_module.parameters()]
    momentums = [entry["momentum_buffer"] for entry in trainer.optimizers[0].state.values()]
    return [*(p.data for p in parameters), *(p.grad for p in parameters if p.grad is not None), *momentums]


def resident() -> int:
    """Bytes of memory that the process holds."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * PAGE


def timed(function: Callable[[], object]) -> float:
    """Seconds of the processor, one thread: a busy machine does not count."""
    began = time.process_time()
    function()
    return time.process_time() - began


def ways(trainer: Trainer, what: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """The snapshot's way and the plain one."""
    tensors, state = tensors_of(trainer), TrainerState(trainer)
    if what == "taken":
        return lambda: TrainerState(trainer, like=state), lambda: [tensor.clone() for tensor in tensors]
    copies = [tensor.clone() for tensor in tensors]

    def copy_back() -> None:
        for tensor, copy in zip(tensors, copies, strict=True):
            tensor.copy_(copy)

    return state.restore, copy_back


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("what", ["taken", "put back"])
def test_snapshot(benchmark: Any, what: str, size: str) -> None:
    width, rounds = SIZES[size]
    own: list[float] = []
    plain: list[float] = []

    def measure(trainer: Trainer) -> None:
        ours, theirs = ways(trainer, what)

        def plainly() -> None:
            gc.collect()
            plain.append(timed(theirs))

        benchmark.pedantic(lambda: own.append(timed(ours)), setup=plainly, rounds=rounds, warmup_rounds=2)

    fit(width, measure)
    ratio = statistics.median(ours / theirs for ours, theirs in zip(own[2:], plain[2:], strict=True))
    benchmark.extra_info |= {"ratio": ratio, "goal": 1.3, "unit": "ms"}
    benchmark.extra_info |= {"own": 1e3 * statistics.median(own), "plain": 1e3 * statistics.median(plain)}


@pytest.mark.parametrize("size", [*SIZES][1:])
def test_memory(benchmark: Any, size: str) -> None:
    """Of the smallest one, the allocator's own pages would be most."""
    grown: list[int] = []
    plain: list[int] = []

    def measure(trainer: Trainer) -> None:
        plain.append(sum(tensor.nbytes for tensor in tensors_of(trainer)))
        gc.collect()
        before = resident()
        state = benchmark.pedantic(TrainerState, (trainer,))
        grown.append(resident() - before)
        assert state.unheld == []

    fit(SIZES[size][0], measure)
    benchmark.extra_info |= {"ratio": grown[0] / plain[0], "goal": 1.3, "unit": "MB"}
    benchmark.extra_info |= {"own": grown[0] / 1e6, "plain": plain[0] / 1e6}
