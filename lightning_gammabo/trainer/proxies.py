"""What stands in for the user's callbacks and loggers while a candidate trains.

Candidates must not be seen: no checkpoint, no early stopping, no log line of a loser. But a callback that changes the
batch or the gradients belongs to the training itself, so its hooks on that side run for candidates too, and its state
is rewound with all the rest. The winner's log lines reach the loggers once, when it is committed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = [
    "LoggerTape",
    "OnlyHooks",
    "changes_batches",
    "has_batch_hooks",
    "hook_owner",
    "nothing",
    "stand_ins",
    "takes_part",
]

_INPUT_HOOKS = (
    "on_train_batch_start",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_before_zero_grad",
)
_BATCH_HOOKS = (*_INPUT_HOOKS, "on_train_batch_end")
# callbacks of Lightning whose batch hooks do nothing but log: they take part, and the winner's lines are kept
_OBSERVERS = ("LearningRateMonitor", "DeviceStatsMonitor")
# ... and those that need not see the batches of a committed epoch: bars only show, ours writes rates in candidates too
_INDIFFERENT = {"ProgressBar", "GammaLRSearch", *_OBSERVERS}


def has_batch_hooks(callback: object) -> bool:
    """Whether a callback is called for every training batch.

    Args:
        callback: one of the Trainer's callbacks.

    Returns:
        False also for progress bars, which only show, for monitors that only log, and for the search itself.
    """
    names = {base.__name__ for base in type(callback).__mro__}
    return any(has_hook(callback, hook) for hook in _BATCH_HOOKS) and not names & _INDIFFERENT


def takes_part(callback: object) -> bool:
    """Whether a callback's hooks, or some of them, run for candidates.

    Args:
        callback: one of the Trainer's callbacks.

    Returns:
        True for those that log steps or that may change batches and gradients.
    """
    return _is_observer(callback) or changes_batches(callback)


def changes_batches(callback: object) -> bool:
    """Whether a callback may change batches or gradients.

    Args:
        callback: one of the Trainer's callbacks.

    Returns:
        True where it is called before or within a step, and is none that only logs or shows.
    """
    return has_batch_hooks(callback) and any(has_hook(callback, hook) for hook in _INPUT_HOOKS)


def has_hook(callback: object, hook: str) -> bool:
    """Whether a callback does something in a hook.

    Args:
        callback: a callback.
        hook: the hook's name.

    Returns:
        Whether its class, or the object itself, has another method than Lightning's empty one.
    """
    return hook_owner(callback, hook) not in ("", "Callback")


def hook_owner(callback: object, hook: str) -> str:
    """Name of the class that a hook comes from.

    Args:
        callback: a callback.
        hook: the hook's name.

    Returns:
        The class's name, ``instance`` for a hook set on the object itself, or nothing.
    """
    if hook in vars(callback):
        return "instance"
    return next((base.__name__ for base in type(callback).__mro__ if hook in vars(base)), "")


def stand_ins(callbacks: Iterable[object]) -> list[object]:
    """What is called in their place.

    Args:
        callbacks: those that take part.

    Returns:
        The observers as they are, the others reduced to their input side.
    """
    return [callback if _is_observer(callback) else OnlyHooks(callback) for callback in callbacks]


class OnlyHooks:
    """A callback of which only some hooks run.

    Args:
        callback: the callback.
        hooks: names of those that run; by default those that can change batches and gradients.
    """

    def __init__(self, callback: object, hooks: Sequence[str] = _INPUT_HOOKS) -> None:
        self._callback = callback
        self._hooks = hooks

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("on_", "setup", "teardown")) and name not in self._hooks:
            return nothing
        return getattr(self._callback, name)


class LoggerTape:
    """Stands in for a logger: what it can tell it tells, what it is told to write is kept until :meth:`play`.

    Args:
        logger: the user's logger.
    """

    def __init__(self, logger: object) -> None:
        self._logger = logger
        self._calls: list[_Call] = []

    def __getattr__(self, name: str) -> Any:
        if name == "experiment":
            return _Recorder(self._calls, (name,))
        value = getattr(self._logger, name)
        return _Recorder(self._calls, (name,)) if callable(value) else value

    def clear(self) -> None:
        """Forget what was kept: the next candidate begins."""
        self._calls.clear()

    def take(self) -> Sequence[_Call]:
        """What was kept so far.

        Returns:
            The calls, to be given to :meth:`play`.
        """
        return tuple(self._calls)

    def play(self, calls: Sequence[_Call]) -> None:
        """Make the calls on the user's logger.

        Args:
            calls: what :meth:`take` gave.
        """
        for path, args, kwargs in calls:
            target: Any = self._logger
            for name in path:
                target = getattr(target, name)
            target(*args, **kwargs)


_Call = tuple[tuple[str, ...], tuple[Any, ...], dict[str, Any]]


class _Recorder:
    def __init__(self, calls: list[_Call], path: tuple[str, ...]) -> None:
        self._calls = calls
        self._path = path

    def __getattr__(self, name: str) -> _Recorder:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Recorder(self._calls, (*self._path, name))

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self._calls.append((self._path, _copied(args), _copied(kwargs)))


# what is logged must not change until it is written; what cannot be copied is kept as it is
def _copied(arguments: Any) -> Any:
    try:
        return copy.deepcopy(arguments)
    except Exception:
        return arguments


def nothing(*args: Any, **kwargs: Any) -> None:
    """A hook that is set aside."""


def _is_observer(callback: object) -> bool:
    return any(base.__name__ in _OBSERVERS for base in type(callback).__mro__)
