"""One rank of fits under a strategy: ``python -m tests.integration.identity.strategy_fit OUT STRATEGY``.

The environment is torchrun's, but for strategies that start their processes themselves. The fits: plain, one candidate,
three candidates and the plain fit at the rates that were chosen.
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.strategies import Strategy
from torch import nn
from torch.utils.data import DataLoader

from lightning_gammabo import SearchHistory
from tests.helpers.searching import searching
from tests.integration.identity.ddp_fit import Distributed
from tests.integration.identity.fingerprint import Calls, fingerprint
from tests.integration.identity.followers import Follows
from tests.integration.identity.scenarios import TRAIN, VAL

OWN_PROCESSES = ("ddp_spawn", "ddp_fork")


class LeavesSomeUnused(Distributed):
    """A layer that no loss reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(3, 3)


class Finds(Callback):
    """Writes each rank's fingerprint at the end of the fit: processes that a strategy starts give nothing back."""

    def __init__(self, out: Path, calls: Calls) -> None:
        self.out, self.calls = out, calls

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        found = fingerprint(trainer, pl_module, self.calls)
        self.out.with_suffix(f".{trainer.global_rank}").write_bytes(pickle.dumps(found))


def fit(
    out: Path, strategy: str | Strategy, make: Callable[[], Distributed], *callbacks: Callback
) -> list[dict[str, Any]]:
    """What all ranks found, as far as their files can be read here."""
    seed_everything(1, verbose=False)
    calls = Calls()
    devices = int(os.environ.get("WORLD_SIZE", "2"))
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", devices=devices, strategy=strategy, logger=False,
        callbacks=[*callbacks, calls, Finds(out, calls)], enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(make(), DataLoader(TRAIN, 4, shuffle=True), DataLoader(VAL, 5))
    if devices > 1 and torch.distributed.is_initialized():
        torch.distributed.barrier()
    return [pickle.loads(out.with_suffix(f".{rank}").read_bytes()) for rank in range(devices)]


def identity(out: Path, strategy: str) -> None:
    make = LeavesSomeUnused if "unused" in strategy else Distributed
    fits = {"plain": fit(out / "plain", strategy, make)}
    for name, options in {"one": {"first_model": 0}, "many": {}}.items():
        file = out / f"{name}.jsonl"
        search = searching(history_file=str(file), min_lr=1e-3, max_lr=0.3, **options)
        fits[name] = fit(out / name, strategy, make, search)
    rates = [record.chosen.lr for record in SearchHistory.load(out / "many.jsonl")]
    fits["followed"] = fit(out / "followed", strategy, make, Follows(rates))
    (out / f"{os.environ.get('RANK', '0')}.pkl").write_bytes(pickle.dumps(fits))


def main(out: str, strategy: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if strategy not in OWN_PROCESSES:
        torch.distributed.init_process_group("gloo")
    identity(Path(out), strategy)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
