"""Keeps what is written to the user's loggers while a candidate trains, until it is known who wins.

The loggers stay the user's own objects, and so do their ``experiment`` and its parts: whatever they hold can be read.
What writes is prevented at the call: within :meth:`LoggerWrites.kept` their classes hand out recorders in the place of
methods, for these very objects only. A method is taken to write unless its name says that it reads. Assignments to
plain attributes, dictionaries and lists do happen; they are put back, and made again for the winner.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

__all__ = ["LoggerWrites", "Written", "reads"]

_READS = re.compile(
    r"(get|is|has|list|find|search|read|load|fetch|exists|to|as|count|items|keys|values|copy|describe|lookup|peek)(_|$)"
    r"|(?!(add|set|update|delete|remove|create|change|rename|write|register|append|save)_)"
    r"\w*(dir|directory|path|url|uri|name|version|id|root)$"
)
_Call = tuple[Any, str, tuple[Any, ...], dict[str, Any]]
Written = tuple[list[_Call], list[tuple[Any, Any]]]
"""calls, and plain containers that were written to with their content"""


def reads(method: str) -> bool:
    """Whether a method of a logger, or of its experiment, only tells something.

    Args:
        method: its name.

    Returns:
        Whether the name says so; else it is taken to write.

    Example:
        >>> reads("get_logdir"), reads("log_dir"), reads("add_scalar"), reads("set_name")
        (True, True, False, False)
    """
    return _READS.match(method) is not None


class LoggerWrites:
    """Keeps what is written to loggers.

    Args:
        loggers: the user's loggers.
    """

    def __init__(self, loggers: Iterable[Any]) -> None:
        self._loggers = list(loggers)
        self._calls: list[_Call] = []
        self._before: list[tuple[Any, Any]] = []

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Within the block nothing is written.

        Yields:
            Nothing.
        """
        self._calls.clear()
        with contextlib.ExitStack() as stack:
            guards = _Guards(self._calls, stack)
            roots = []
            for logger in self._loggers:
                guards.add(logger)
                experiment = _experiment_of(logger)
                if experiment is not None:
                    guards.add(experiment)
                roots += [logger, experiment]
            self._before = [(one, _content(one)) for one in _containers(map(_attributes, roots))]
            try:
                yield
            finally:
                for container, content in self._before:
                    _put(container, content)

    def written(self) -> Written:
        """What was written so far.

        Returns:
            What :meth:`write` takes.
        """
        changed = [(one, _content(one)) for one, before in self._before if not _same(_content(one), before)]
        return list(self._calls), changed

    def write(self, written: Written) -> None:
        """Write to the loggers what was kept.

        Args:
            written: what :meth:`written` gave.
        """
        calls, changed = written
        for container, content in changed:
            _put(container, content)
        for target, name, args, kwargs in calls:
            getattr(target, name)(*args, **kwargs)


class _Guards:
    """Puts recorders in the place of writing methods, by patching classes for some of their objects.

    Args:
        calls: where calls are noted.
        stack: takes the patches back when it is closed.
    """

    def __init__(self, calls: list[_Call], stack: contextlib.ExitStack) -> None:
        self._calls = calls
        self._stack = stack
        self._guarded: dict[int, Any] = {}
        self._patched: set[type] = set()
        self._open = True
        stack.callback(setattr, self, "_open", False)

    def add(self, obj: Any) -> Any:
        """Guard an object.

        Args:
            obj: a logger, an experiment, or what an experiment gave.

        Returns:
            The same object.
        """
        kind = type(obj)
        if kind not in self._patched:
            self._patched.add(kind)
            patches = {"__getattribute__": self._getattribute, "__setattr__": self._setattr}
            writing = {name: self._recorder_of for name in ("__setitem__", "__delitem__") if hasattr(kind, name)}
            reading = {"__getitem__": self._reader_of} if hasattr(kind, "__getitem__") else {}
            for name, make in {**patches, **writing, **reading}.items():
                if not self._patch(kind, name, make):
                    return obj  # a class in C
        self._guarded[id(obj)] = obj
        return obj

    def _patch(self, kind: type, name: str, make: Callable[[Any, str], Any]) -> bool:
        own = vars(kind).get(name)
        try:
            setattr(kind, name, make(getattr(kind, name), name))
        except TypeError:
            return False
        self._stack.callback(_unpatch, kind, name, own)
        return True

    def _is_guarded(self, obj: Any) -> bool:
        return self._open and self._guarded.get(id(obj)) is obj

    def _getattribute(self, native: Any, _: str) -> Any:
        def getattribute(obj: Any, name: str) -> Any:
            if not self._is_guarded(obj) or name.startswith("_"):
                return native(obj, name)
            try:
                value = native(obj, name)
            except AttributeError:
                dynamic = getattr(type(obj), "__getattr__", None)
                if dynamic is None:
                    raise
                value = dynamic(obj, name)
            return self._seen(obj, name, value)

        return getattribute

    def _seen(self, obj: Any, name: str, value: Any) -> Any:
        if name == "experiment":
            return value if value is None else self.add(value)
        if callable(value) and not isinstance(value, type):
            return self._reading(obj, value) if reads(name) else functools.partial(self._record, obj, name)
        return self._nested(obj, value)

    def _nested(self, owner: Any, value: Any) -> Any:
        # a summary, a handle: of the same package. Figures, frames and arrays are values of others
        same = _package_of(value) == _package_of(owner) and not isinstance(value, (type, torch.nn.Module))
        return self.add(value) if same else value

    def _reading(self, owner: Any, method: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: self._nested(owner, method(*args, **kwargs))

    def _record(self, obj: Any, name: str, *args: Any, **kwargs: Any) -> None:
        # the call of a method within one that reads is kept as well
        self._calls.append((obj, name, _copied(args), _copied(kwargs)))

    def _setattr(self, native: Any, _: str) -> Any:
        def set_attribute(obj: Any, name: str, value: Any) -> None:
            if (
                self._is_guarded(obj)
                and not name.startswith("_")
                and hasattr(getattr(type(obj), name, None), "__set__")
            ):
                self._record(obj, "__setattr__", name, value)  # a property may write
            else:
                native(obj, name, value)

        return set_attribute

    def _recorder_of(self, native: Any, name: str) -> Any:
        def record(obj: Any, *args: Any) -> None:
            if self._is_guarded(obj):
                self._record(obj, name, *args)
            else:
                native(obj, *args)

        return record

    def _reader_of(self, native: Any, _: str) -> Any:
        def read(obj: Any, *args: Any) -> Any:
            value = native(obj, *args)
            return self._nested(obj, value) if self._is_guarded(obj) else value

        return read


def _unpatch(kind: type, name: str, own: Any) -> None:
    if own is None:
        delattr(kind, name)
    else:
        setattr(kind, name, own)


def _experiment_of(logger: Any) -> Any:
    # it exists since set-up; where it could not be made, the user is told by whoever asks for it
    with contextlib.suppress(Exception):
        return getattr(logger, "experiment", None)
    return None


def _package_of(obj: Any) -> str:
    return type(obj).__module__.partition(".")[0]


def _attributes(obj: Any) -> Any:
    return getattr(obj, "__dict__", None)


def _containers(roots: Iterable[Any]) -> Iterator[Any]:
    # plain containers that hang together by nothing but plain containers
    seen: set[int] = set()
    stack = list(roots)
    while stack:
        obj = stack.pop()
        if type(obj) not in (dict, list, set, deque) or id(obj) in seen:
            continue
        seen.add(id(obj))
        yield obj
        stack += obj.values() if isinstance(obj, dict) else obj


def _content(container: Any) -> Any:
    return dict(container) if isinstance(container, dict) else list(container)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(value is b[key] for key, value in a.items())
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def _put(container: Any, content: Any) -> None:
    if _same(_content(container), content):
        return
    if not isinstance(container, dict):
        container.clear()
        (container.update if isinstance(container, set) else container.extend)(content)
        return
    # never empty in between: a logger's own thread may look
    for key in [key for key in container if key not in content]:
        del container[key]
    container.update(content)


# what is logged must not change until it is written; what cannot be copied is kept as it is
def _copied(arguments: Any) -> Any:
    try:
        return copy.deepcopy(arguments)
    except Exception:
        return arguments
