"""Decides, where Lightning calls the hooks of callbacks, which are called within a block."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lightning_gammabo.trainer.callback_hooks import Listener
from lightning_gammabo.trainer.inspection import call_module
from lightning_gammabo.trainer.patch import replaced

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["only_these_called", "these_called_too"]


@contextlib.contextmanager
def only_these_called(trainer: Trainer, listeners: Iterable[Listener]) -> Iterator[None]:
    """Of all callbacks, let Lightning call only some hooks of some within the block.

    Args:
        trainer: the Trainer; another one that runs within the block is left alone.
        listeners: what is called, in this order; they need not be among the Trainer's callbacks.

    Yields:
        Nothing.
    """
    called = _Called(trainer, listeners)

    def dispatch(native: Callable[..., None], hook: str, *args: Any, **options: Any) -> None:
        if options.pop("monitoring_callbacks", None) is not True:
            called(hook, *args, **options)

    with _dispatched(trainer, dispatch):
        yield


@contextlib.contextmanager
def these_called_too(trainer: Trainer, listeners: Iterable[Listener]) -> Iterator[None]:
    """Beside the user's callbacks, let Lightning call hooks of others within the block.

    Args:
        trainer: the Trainer.
        listeners: what is called, after the user's callbacks.

    Yields:
        Nothing.
    """
    called = _Called(trainer, listeners)

    def dispatch(native: Callable[..., None], hook: str, *args: Any, **options: Any) -> None:
        native(trainer, hook, *args, **options)
        if options.pop("monitoring_callbacks", None) is not True:
            called(hook, *args, **options)

    with _dispatched(trainer, dispatch):
        yield


@contextlib.contextmanager
def _dispatched(trainer: Trainer, dispatch: Callable[..., None]) -> Iterator[None]:
    module = call_module(trainer)
    native = module._call_callback_hooks

    def call_callback_hooks(caller: Any, hook: str, *args: Any, **options: Any) -> None:
        # the caller may be a proxy of the Trainer
        if caller.fit_loop is trainer.fit_loop:
            dispatch(native, hook, *args, **options)
        else:
            native(caller, hook, *args, **options)

    with replaced(module, "_call_callback_hooks", call_callback_hooks):
        yield


class _Called:
    """Calls hooks as Lightning does: what ``log`` allows depends on the hook's name.

    Args:
        trainer: the Trainer.
        listeners: what is called, in this order.
    """

    def __init__(self, trainer: Trainer, listeners: Iterable[Listener]) -> None:
        self._trainer = trainer
        self._listeners = list(listeners)
        self._of_hook: dict[str, list[Any]] = {}

    def __call__(self, hook: str, *args: Any, **options: Any) -> None:
        called = self._of_hook.get(hook)
        if called is None:
            called = [callback for callback, hooks in self._listeners if hooks is None or hook in hooks]
            self._of_hook[hook] = called
        if not called:
            return
        module: Any = self._trainer.lightning_module
        before, module._current_fx_name = module._current_fx_name, hook
        for callback in called:
            getattr(callback, hook)(self._trainer, module, *args, **options)
        module._current_fx_name = before
