"""State outside of Python's objects is put back, and what cannot be is named."""

from __future__ import annotations

import ctypes
import io
import mmap
import multiprocessing
import queue
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lightning_gammabo.trainer.snapshot.outside import (
    MEMORY,
    file_restore,
    memory_restore,
    script_attributes,
    script_restore,
    shared_memory,
    stream,
)


def test_what_gives_something_only_once_is_named() -> None:
    here, there = multiprocessing.Pipe()
    plug = socket.socket()
    try:
        assert stream(threading.Thread()) == "a thread"
        assert stream(queue.Queue()) == stream(queue.SimpleQueue()) == stream(multiprocessing.Queue()) == "a queue"
        assert stream(here) == "a pipe"
        assert stream(plug) == "a socket"
        assert stream([1]) is None
    finally:
        here.close()
        there.close()
        plug.close()


def test_shared_values_and_arrays_are_put_back() -> None:
    value, array = multiprocessing.Value("i", 3), multiprocessing.Array("d", [1.0, 2.0])
    restores = [memory_restore(shared_memory(shared)) for shared in (value, array)]
    value.value, array[1] = 4, 5.0
    for restore in restores:
        restore()
    assert value.value == 3
    assert list(array) == [1.0, 2.0]
    assert shared_memory([1]) is None


def test_raw_memory_is_put_back() -> None:
    class Point(ctypes.Structure):
        _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_double))

    for memory in (ctypes.c_long(3), (ctypes.c_int * 2)(1, 2), Point(1, 2.0)):
        assert isinstance(memory, MEMORY)
    point = Point(1, 2.0)
    restore = memory_restore(point)
    point.x, point.y = 5, 6.0
    restore()
    assert (point.x, point.y) == (1, 2.0)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("one\ntwo\nthree\n")
    return path


def test_a_file_goes_on_where_it_stood(text: Path) -> None:
    with text.open() as file:
        file.readline()
        restore = file_restore(file)
        assert file.read() == "two\nthree\n"
        assert callable(restore)
        restore()
        assert file.readline() == "two\n"
    restore()  # closed by now: nothing is done


def test_a_file_in_the_midst_of_an_iteration_is_named(text: Path) -> None:
    with text.open() as file:
        next(file)
        assert file_restore(file) == "an open file"


def test_a_mapped_file_goes_on_where_it_stood(text: Path) -> None:
    with text.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        restore = file_restore(mapped)
        mapped.read(5)
        assert callable(restore)
        restore()
        assert mapped.tell() == 0
    assert file_restore(mapped) is None


def test_what_is_no_file_that_is_read_is_left_alone(tmp_path: Path) -> None:
    closed = io.StringIO()
    closed.close()
    with (tmp_path / "log").open("w") as written:
        assert [file_restore(obj) for obj in (written, closed, "text")] == [None] * 3


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.seen: dict[str, int] = {"a": 1}
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        return x + self.mean


@pytest.mark.filterwarnings("ignore")
def test_attributes_of_a_scripted_module_are_put_back() -> None:
    module: Any = torch.jit.script(Counts())
    mean = dict(script_attributes(module))["mean"]
    restore = script_restore(module)
    module(torch.ones(2))
    module.seen = {"b": 2}
    module.mean = torch.ones(2)
    restore()
    assert (module.steps, module.seen) == (0, {"a": 1})
    assert torch.equal(module.mean, mean)
    module.mean += 1
    assert torch.equal(mean, torch.ones(2))  # the same tensor again
    assert list(script_attributes(Counts())) == []
