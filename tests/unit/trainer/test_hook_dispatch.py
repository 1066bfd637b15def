"""Which callbacks Lightning calls within a block; the Trainer's list of them stays the user's own."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer

from lightning_gammabo.trainer.hook_dispatch import only_these_called, these_called_too
from lightning_gammabo.trainer.inspection import call_module
from tests.integration.identity.scenarios import Net


class Notes(Callback):
    def __init__(self, calls: list[tuple[str, str]], name: str) -> None:
        self.calls, self.name = calls, name

    def on_train_batch_end(self, *args: Any) -> None:
        self.calls.append((self.name, "end"))

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.calls.append((self.name, pl_module._current_fx_name))


def trainer_with(*callbacks: Callback) -> Trainer:
    trainer = Trainer(
        callbacks=list(callbacks), accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.strategy._lightning_module = Net()
    return trainer


@pytest.fixture
def calls() -> list[tuple[str, str]]:
    return []


def test_only_some_hooks_of_some_callbacks_are_called(calls: list[Any]) -> None:
    user, other = Notes(calls, "user"), Notes(calls, "other")
    trainer, another = trainer_with(user), trainer_with(Notes(calls, "another"))
    call = call_module(trainer)
    native = call._call_callback_hooks
    listed = list(trainer.callbacks)  # type: ignore[attr-defined]
    with only_these_called(trainer, [(other, ("on_train_batch_end",)), (user, None)]):
        assert trainer.callbacks == listed  # type: ignore[attr-defined]
        call._call_callback_hooks(trainer, "on_train_batch_end", None, None, 0)
        call._call_callback_hooks(weakref.proxy(trainer), "on_validation_end", monitoring_callbacks=False)
        call._call_callback_hooks(trainer, "on_validation_end", monitoring_callbacks=True)
        call._call_callback_hooks(another, "on_train_batch_end", None, None, 0)
    assert calls == [("other", "end"), ("user", "end"), ("user", "on_validation_end"), ("another", "end")]
    assert call._call_callback_hooks is native
    assert trainer.lightning_module._current_fx_name is None


def test_others_are_called_after_the_user_s(calls: list[Any]) -> None:
    user, other = Notes(calls, "user"), Notes(calls, "other")
    trainer = trainer_with(user)
    with these_called_too(trainer, [(other, ("on_train_batch_end",))]):
        call_module(trainer)._call_callback_hooks(trainer, "on_train_batch_end", None, None, 0)
        call_module(trainer)._call_callback_hooks(trainer, "on_validation_end")
    assert calls == [("user", "end"), ("other", "end"), ("user", "on_validation_end")]


def test_the_native_way_comes_back_also_when_the_block_raises(calls: list[Any]) -> None:
    trainer = trainer_with(Notes(calls, "user"))
    call = call_module(trainer)
    native = call._call_callback_hooks
    with pytest.raises(KeyError), only_these_called(trainer, []):
        raise KeyError
    assert call._call_callback_hooks is native
