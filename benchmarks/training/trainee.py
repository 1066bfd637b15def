"""A network trained by plain steps, for methods that bring a loop of their own; counted like all others."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks.batches import Pair, loader
from benchmarks.training.counter import SAMPLES
from benchmarks.training.fitting import Run
from benchmarks.training.networks import Counted

State = tuple[dict[str, Any], dict[str, Any]]
"""weights and optimizer"""


class Trainee:
    """A network with its optimizer, trained by plain steps; rewound by copies of both."""

    def __init__(self, run: Run) -> None:
        self.module = run.module(run.lr)
        self.optimizer = run.workload.optimizer(self.module.parameters(), run.lr)
        splits = run.workload.splits(run.folder, run.seed)
        self.val, self.batch = splits.val, run.workload.batch
        self.batches = endless(loader(splits.train, self.batch, shuffle=True))

    def keep(self) -> State:
        return copy.deepcopy((self.module.state_dict(), self.optimizer.state_dict()))

    def rewind(self, state: State) -> None:
        weights, optimizer = copy.deepcopy(state)
        self.module.load_state_dict(weights)
        self.optimizer.load_state_dict(optimizer)

    def step(self, lr: float) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        loss = self.module.training_step(next(self.batches), 0)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def validate(self, size: int) -> dict[str, float]:
        return validate(self.module, (self.val[0][:size], self.val[1][:size]))


def validate(module: Counted, pair: Pair) -> dict[str, float]:
    SAMPLES.validated += len(pair[1])
    module.eval()
    with torch.no_grad():
        scores = {f"val_{name}": float(value) for name, value in module.measure(pair).items()}
    module.train()
    return scores


def endless(batches: DataLoader[Pair]) -> Iterator[Pair]:
    while True:
        yield from batches
