"""Memory on each rank, and the time of a search epoch over K plain ones, under DDP and FSDP2.

``python -m benchmarks.devices.sharded`` starts two processes with gloo for each strategy; with ``--rank`` and ``--gpu``
torchrun starts one for each device. Plain epochs and searched ones (three candidates that train the whole epoch, each
validated) are timed in one run.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
import warnings
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader, TensorDataset

from lightning_gammabo import GammaLRSearch, ListSampler, SearchPolicy

WIDTH, DEPTH, SAMPLES, CANDIDATES = 512, 4, 128, 3


class Net(LightningModule):
    """A wide perceptron under AdamW, sharded layer by layer where the strategy shards; notes what epochs take."""

    def __init__(self) -> None:
        super().__init__()
        layers = [layer for _ in range(DEPTH) for layer in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
        self.net = nn.Sequential(*layers, nn.Linear(WIDTH, 2))
        self.seconds: list[float] = []

    def configure_model(self) -> None:
        if isinstance(self.trainer.strategy, ModelParallelStrategy) and self.device_mesh is not None:
            for layer in [layer for layer in self.net if isinstance(layer, nn.Linear)]:
                fully_shard(layer, mesh=self.device_mesh["data_parallel"])
            fully_shard(self.net, mesh=self.device_mesh["data_parallel"])

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]), sync_dist=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)

    def on_train_epoch_start(self) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(self) -> None:
        self.seconds.append(time.perf_counter() - self.began)


def fit(strategy: str, *, searched: bool, epochs: int, gpu: bool) -> list[float]:
    """Seconds of the epochs."""
    seed_everything(1, verbose=False)
    data = TensorDataset(torch.randn(SAMPLES, WIDTH), torch.randint(0, 2, (SAMPLES,)))
    ranks = int(os.environ["WORLD_SIZE"])
    sharded = ModelParallelStrategy(data_parallel_size=ranks, tensor_parallel_size=1)
    policy = SearchPolicy(base="thesis", recover=False)
    search = GammaLRSearch(
        policy, sampler=ListSampler([5e-4, 2e-3]), objective="loss", progress=False, log_metrics="off"
    )
    trainer = Trainer(
        max_epochs=epochs, accelerator="gpu" if gpu else "cpu", devices=ranks,
        strategy=DDPStrategy() if strategy == "ddp" else sharded, callbacks=[search] if searched else [],
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    module = Net()
    trainer.fit(module, DataLoader(data, 16), DataLoader(data, 64))
    return module.seconds


def rank(strategy: str, searched: bool, gpu: bool) -> None:
    """One rank: its peak memory where only one kind of epochs is trained."""
    seconds = fit(strategy, searched=searched, epochs=4, gpu=gpu)
    peak = torch.cuda.max_memory_allocated() if gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if os.environ["RANK"] == "0":
        kind = "searched" if searched else "plain"
        print(f"{strategy:5} {kind:8} peak {peak / 2**20:7.1f} MiB; epoch {statistics.median(seconds[1:]):.3f} s")
    if searched:
        plain = statistics.median(fit(strategy, searched=False, epochs=4, gpu=gpu)[1:])
        if os.environ["RANK"] == "0":
            ratio = statistics.median(seconds[1:]) / (CANDIDATES * plain)
            print(f"{strategy:5} a search epoch takes {ratio:.2f} times {CANDIDATES} plain ones, in one run")


def start(strategy: str, searched: bool) -> None:
    """Two processes on this machine."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    group = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    group |= {"GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "bench", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.devices.sharded", "--rank", strategy, *(["--searched"] * searched)]
    ranks = [
        subprocess.Popen(command, env={**os.environ, **group, "RANK": str(i), "LOCAL_RANK": str(i)}, stderr=-3)
        for i in range(2)
    ]
    if any(process.wait() for process in ranks):
        sys.exit(f"{strategy}: a rank ended with an error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rank", choices=["ddp", "fsdp2"], help="be one rank; the environment is torchrun's")
    parser.add_argument("--searched", action="store_true")
    parser.add_argument("--gpu", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.rank is not None:
        torch.set_num_threads(1)
        rank(given.rank, given.searched, given.gpu)
        return
    for strategy in ("ddp", "fsdp2"):
        for searched in (False, True):
            start(strategy, searched)


if __name__ == "__main__":
    main()
