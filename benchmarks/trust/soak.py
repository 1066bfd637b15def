"""A long fit with a search in every epoch: memory, open files and threads have to stay flat.

``python -m benchmarks.trust.soak --epochs 500``

Memory is the process's resident set after a collection, objects those that the collector tracks, both without what the
history is meant to keep: it grows by one record an epoch, and its size is printed beside.
"""

from __future__ import annotations

import argparse
import gc
import pickle
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything

from benchmarks.trust.small_fit import SEARCHES, Small, loaders, quiet
from lightning_gammabo import GammaLRSearch

ALLOWED_MIB = 16.0
"""growth of the resident set between a third of the run and its end that counts as flat"""


class Meter(Callback):
    """Measures ten times a run, at the ends of epochs."""

    def __init__(self, search: GammaLRSearch, every: int) -> None:
        self.search, self.every = search, every
        self.rows: list[tuple[int, float, int, int, int, float]] = []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if (trainer.current_epoch + 1) % self.every:
            return
        gc.collect()
        files, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
        history = len(pickle.dumps(self.search.history)) / 2**20
        row = (trainer.current_epoch + 1, resident(), len(gc.get_objects()), files, threads, history)
        self.rows.append(row)
        print("{:6d}  {:9.1f}  {:9d}  {:5d}  {:7d}  {:11.2f}".format(*row), flush=True)


def resident() -> float:
    """Resident set in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--search", choices=SEARCHES, default="epochwise")
    arguments = parser.parse_args()
    quiet()
    torch.set_num_threads(1)
    seed_everything(1, verbose=False)
    print(f"{arguments.epochs} epochs, search {arguments.search!r}")
    print(" epoch        MiB    objects  files  threads  history MiB")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        search = GammaLRSearch(
            **SEARCHES[arguments.search], progress=False, history_file=str(Path(folder, "history.jsonl"))
        )
        meter = Meter(search, max(1, arguments.epochs // 10))
        trainer = Trainer(
            max_epochs=arguments.epochs, accelerator="cpu", logger=False, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, callbacks=[search, meter],
        )  # fmt: skip
        trainer.fit(Small(), *loaders())
    first, last = meter.rows[len(meter.rows) // 3], meter.rows[-1]
    grown = last[1] - first[1] - (last[5] - first[5])
    flat = grown < ALLOWED_MIB and last[3] == first[3] and last[4] == first[4]
    print(
        f"from epoch {first[0]} to {last[0]}: {grown:+.1f} MiB beyond the history, files {last[3] - first[3]:+d}, "
        f"threads {last[4] - first[4]:+d}, objects {last[2] - first[2]:+d}: {'flat' if flat else 'NOT FLAT'} "
        f"({time.perf_counter() - began:.0f} s)"
    )
    sys.exit(not flat)


if __name__ == "__main__":
    main()
