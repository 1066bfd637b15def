"""Which hooks of the user's callbacks are called while a candidate trains.

Candidates must not be seen: no checkpoint, no early stopping. So most hooks are not called. But a callback that changes
the batch or the gradients, or that averages weights, belongs to the training itself: its hooks run for candidates too,
and its state is rewound with all the rest. ``trainer.callbacks`` stays the user's own list throughout; what is
prevented is prevented where Lightning calls the hooks.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Iterable
from typing import Any

__all__ = [
    "Listener",
    "changes_batches",
    "for_candidates",
    "has_batch_hooks",
    "hook_owner",
    "logs_in_validation",
    "only_shows",
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
_OBSERVERS = {"LearningRateMonitor", "DeviceStatsMonitor"}
# callbacks of Lightning that keep averaged weights: plain state, which is rewound with the module's
_AVERAGING = {"WeightAveraging"}
_VALIDATION_HOOKS = (
    "on_validation_start",
    "on_validation_epoch_start",
    "on_validation_batch_start",
    "on_validation_batch_end",
    "on_validation_epoch_end",
    "on_validation_end",
)
# ... and those that only show: they are not called, and hold nothing to rewind. The search writes rates in candidates
_SHOWING = {"ProgressBar", "GammaLRSearch"}
_LIGHTNING = ("lightning.", "lightning_fabric.", "pytorch_lightning.")

Listener = tuple[Any, Collection[str] | None]
"""a callback, and the names of its hooks that are called; None for all of them"""


def has_batch_hooks(callback: object) -> bool:
    """Whether a callback has to be called for every training batch of a committed epoch.

    Args:
        callback: one of the Trainer's callbacks.

    Returns:
        False also for progress bars, which only show, for monitors that only log, for averaged weights, which take part
        in candidates, and for the search itself.
    """
    indifferent = _kinds(callback) & (_SHOWING | _OBSERVERS | _AVERAGING)
    return any(has_hook(callback, hook) for hook in _BATCH_HOOKS) and not indifferent


def takes_part(callback: object) -> bool:
    """Whether a callback's hooks, or some of them, run for candidates.

    Args:
        callback: one of the Trainer's callbacks.

    Returns:
        True for those that log steps or in validations, that average weights, or that may change batches and gradients.
    """
    known = bool(_kinds(callback) & (_OBSERVERS | _AVERAGING))
    return known or changes_batches(callback) or logs_in_validation(callback)


def logs_in_validation(callback: object) -> bool:
    """Whether a callback of the user's logs what candidates may be ranked by, as an evaluator does.

    Args:
        callback: one of the Trainer's callbacks.

    Returns:
        True where it has a hook of the validation, and code of its own that calls something by the name ``log`` or
        ``log_dict``.
    """
    if _kinds(callback) & _SHOWING or not any(has_hook(callback, hook) for hook in _VALIDATION_HOOKS):
        return False
    own = [base for base in type(callback).__mro__ if not base.__module__.startswith(_LIGHTNING)]
    functions = [value for base in own for value in vars(base).values() if isinstance(value, types.FunctionType)]
    return any({"log", "log_dict"} & set(function.__code__.co_names) for function in functions)


def only_shows(callback: object) -> bool:
    """Whether a callback is a progress bar, or the search itself.

    Args:
        callback: one of the Trainer's callbacks.

    Returns:
        Whether it holds nothing that a candidate could change.
    """
    return bool(_kinds(callback) & _SHOWING)


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


def for_candidates(callbacks: Iterable[object]) -> list[Listener]:
    """Which hooks run for candidates.

    Args:
        callbacks: those that take part.

    Returns:
        All hooks of those that only log or that average weights; of the others those that can change a step, and those
        of the validation where they log there.
    """
    return [(callback, _hooks_of(callback)) for callback in callbacks]


def _hooks_of(callback: object) -> Collection[str] | None:
    if _kinds(callback) & (_OBSERVERS | _AVERAGING):
        return None
    changing = _INPUT_HOOKS if changes_batches(callback) else ()
    return (*changing, *(_VALIDATION_HOOKS if logs_in_validation(callback) else ()))


def _kinds(callback: object) -> set[str]:
    return {base.__name__ for base in type(callback).__mro__}
