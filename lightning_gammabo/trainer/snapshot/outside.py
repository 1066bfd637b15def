"""State that lives outside of Python's objects: shared memory, positions of files, attributes of scripted modules.

And what holds state that nobody can put back: threads, queues, pipes, sockets, files in the midst of an iteration.
"""

from __future__ import annotations

import ctypes
import functools
import io
import mmap
import multiprocessing.connection
import multiprocessing.queues
import queue
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["MEMORY", "file_restore", "memory_restore", "script_attributes", "script_restore", "shared_memory", "stream"]

Restore = Callable[[], None]
MEMORY: tuple[type, ...] = (ctypes._SimpleCData, ctypes.Array, ctypes.Structure, ctypes.Union)
"""kinds of raw memory, of which ``multiprocessing.Value`` and ``Array`` are made"""
_STREAMS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((threading.Thread,), "a thread"),
    ((queue.Queue, queue.SimpleQueue, multiprocessing.queues.Queue, multiprocessing.queues.SimpleQueue), "a queue"),
    ((multiprocessing.connection._ConnectionBase,), "a pipe"),
    ((socket.socket,), "a socket"),
)  # fmt: skip


def stream(obj: object) -> str | None:
    """Whether an object gives something only once, or lives where it cannot be put back.

    Args:
        obj: any object.

    Returns:
        What it is, in words, or None.
    """
    managers = sys.modules.get("multiprocessing.managers")  # without it there is no object of its kind
    if managers is not None and isinstance(obj, managers.BaseProxy):
        return "an object of another process"
    return next((name for kinds, name in _STREAMS if isinstance(obj, kinds)), None)


def shared_memory(obj: object) -> Any:
    """The raw memory of a ``multiprocessing.Value`` or ``Array``.

    Args:
        obj: any object.

    Returns:
        The memory, or None if it is none of them.
    """
    # the classes are made for each kind of content, and are not public
    return obj.get_obj() if type(obj).__module__ == "multiprocessing.sharedctypes" and hasattr(obj, "get_obj") else None


def memory_restore(memory: Any) -> Restore:
    """Note the content of raw memory.

    Args:
        memory: an object of ``ctypes``.

    Returns:
        What puts it back.
    """
    saved = ctypes.string_at(ctypes.addressof(memory), ctypes.sizeof(memory))
    return lambda: _write(memory, saved)


def _write(memory: Any, saved: bytes) -> None:
    ctypes.memmove(ctypes.addressof(memory), saved, len(saved))


def file_restore(obj: object) -> Restore | str | None:
    """Note the position of an open file.

    Args:
        obj: any object.

    Returns:
        What puts the position back; what it is, in words, where it cannot be; None if it is no file that is read.
    """
    if isinstance(obj, mmap.mmap):
        return None if obj.closed else functools.partial(_seek, obj, obj.tell())
    if not isinstance(obj, io.IOBase) or obj.closed or not obj.readable():
        return None
    try:
        position = obj.tell()
    except (OSError, ValueError):  # a pipe; or a text file that is being iterated: it reads ahead
        return "an open file"
    return functools.partial(_seek, obj, position)


def _seek(file: io.IOBase | mmap.mmap, position: int) -> None:
    if not file.closed:
        file.seek(position)


def script_attributes(module: Any) -> Iterator[tuple[str, Any]]:
    """What a scripted or traced module keeps in C++.

    Args:
        module: any module.

    Yields:
        Names and values of its attributes; those of containers are copies. Nothing for an ordinary module.
    """
    if isinstance(module, torch.jit.ScriptModule) and "_c" in vars(module) and "_concrete_type" in vars(module):
        for name in module._concrete_type.get_attributes():
            if module._c.hasattr(name):
                yield name, module._c.getattr(name)


def script_restore(module: Any) -> Restore:
    """Note the attributes of a scripted module; tensors by reference, their values are the caller's.

    Args:
        module: the module.

    Returns:
        What puts them back.
    """
    # containers come as copies, and are set as copies
    found = dict(script_attributes(module))
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    saved = {name: value for name, value in found.items() if name not in tensors}

    def restore() -> None:
        for name, value in saved.items():
            module._c.setattr(name, value)
        for name, tensor in tensors.items():
            if module._c.getattr(name) is not tensor:
                module._c.setattr(name, tensor)

    return restore
