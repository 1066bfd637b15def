"""Data that cannot be read twice: what can be put back is, else the batches are kept; no thread is left behind."""

from __future__ import annotations

import gc
import multiprocessing
import queue
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset

from lightning_gammabo.trainer.batch_cache import BatchCache
from tests.integration.faces.fits import COMMITS, Fit, assert_no_trace, default, partial, several
from tests.integration.identity.scenarios import TRAIN, X, Y

pytestmark = pytest.mark.filterwarnings("ignore")


class Masks:
    """I-JEPA's collate function: its masks depend on a count of batches in shared memory."""

    def __init__(self) -> None:
        self.count = multiprocessing.Value("i", -1)

    def __call__(self, items: list[Any]) -> Any:
        with self.count.get_lock():
            self.count.value += 1
        drawn = torch.Generator().manual_seed(self.count.value)
        x = torch.stack([item[0] for item in items])
        return x * (torch.rand(x.shape, generator=drawn) > 0.3), torch.stack([item[1] for item in items])


LAST: list[Masks] = []


def masked(workers: int = 0) -> DataLoader[Any]:
    LAST.append(Masks())
    return DataLoader(TRAIN, 8, shuffle=True, collate_fn=LAST[-1], num_workers=workers)


@COMMITS
def test_a_count_in_shared_memory_is_put_back(commit: str) -> None:
    assert_no_trace(commit, train=masked, extra=lambda module: LAST[-1].count.value)


def test_batches_are_kept_where_worker_processes_share_a_count() -> None:
    def shared() -> DataLoader[Any]:
        return masked(workers=1)

    searched = Fit(search=partial(0.02), train=shared)
    LAST.clear()
    assert len(searched.rates) == 3


def test_where_they_are_too_many_to_be_kept_it_is_said_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(BatchCache.__init__, "__kwdefaults__", {"limit": 1 << 9, "regrets": None})
    with pytest.warns(UserWarning, match="may train on other batches .*its worker processes share a value") as said:
        searched = Fit(search=several(0.02), train=lambda: masked(workers=1), epochs=1)
    LAST.clear()
    assert searched.trainer.current_epoch == 1
    assert len([one for one in said if "other batches" in str(one.message)]) == 1


class Lines(IterableDataset[Any]):
    """Goes on in a file that it holds open."""

    def __init__(self, path: Path) -> None:
        self.file = path.open()

    def __iter__(self) -> Iterator[Any]:
        for line in self.file:
            *values, label = line.split(",")
            yield torch.tensor([float(value) for value in values]), torch.tensor(int(label))


@COMMITS
def test_a_file_that_is_read_on(tmp_path: Path, commit: str) -> None:
    path, drawn = tmp_path / "lines.csv", random.Random(0)
    rows = [[drawn.gauss(0, 1) for _ in range(6)] for _ in range(400)]
    path.write_text("".join(",".join(f"{v:.4f}" for v in row) + f",{int(row[0] > 0)}\n" for row in rows))
    assert_no_trace(commit, train=lambda: DataLoader(Lines(path), 8), limit_train_batches=5)


class Records:
    """A map-style data set that reads each sample from an open file."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        first = self.file.read(1)[0]  # goes on where the last read stopped
        return X[(index + first) % 40], Y[index]


@COMMITS
def test_the_position_of_a_file_is_put_back(tmp_path: Path, commit: str) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(bytes(index % 251 for index in range(2000)))
    assert_no_trace(commit, train=lambda: DataLoader(Records(path), 8))  # type: ignore[arg-type]


class Background(threading.Thread):
    """prefetch_generator's: a thread that reads ahead, and is its own iterator."""

    def __init__(self, source: Any) -> None:
        super().__init__(daemon=True)
        self.queue: queue.Queue[Any] = queue.Queue(1)
        self.source = source
        self.start()

    def run(self) -> None:
        for item in self.source:
            self.queue.put(item)
        self.queue.put(None)

    def __iter__(self) -> Background:
        return self

    def __next__(self) -> Any:
        item = self.queue.get()
        if item is None:
            raise StopIteration
        return item


class ReadsAhead(DataLoader[Any]):
    def __iter__(self) -> Any:
        return Background(super().__iter__())


class BeginsLate(DataLoader[Any]):
    """Begins its thread with the first batch."""

    def __iter__(self) -> Any:
        ahead = Background(super().__iter__())
        yield from ahead


@pytest.mark.parametrize("loader", [ReadsAhead, BeginsLate])
@pytest.mark.parametrize("search", [lambda: partial(0.02, 0.001), default])
def test_no_thread_is_left_behind(loader: Any, search: Any) -> None:
    before = threading.active_count()
    Fit(search=search(), train=lambda: loader(ConcatDataset([TRAIN] * 4), 8))
    gc.collect()
    for _ in range(50):
        if threading.active_count() == before:
            break
        time.sleep(0.1)
    assert threading.active_count() == before
