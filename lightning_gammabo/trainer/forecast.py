"""Runs a Trainer's LR schedulers ahead to the end of the run."""

from __future__ import annotations

import dis
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lightning_gammabo.learning_rate.lookahead import Forecast, Move, look_ahead
from lightning_gammabo.trainer.inspection import overrides
from lightning_gammabo.trainer.snapshot.roots import NAMESPACES

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["HORIZON", "forecast_of", "schedules_by_hand"]

HORIZON = 20
"""epochs that are looked ahead where the run has no end"""


def forecast_of(trainer: Trainer) -> Forecast | str:
    """The rates that the LR schedulers will write from the epoch that starts to the end of the run.

    Args:
        trainer: the Trainer, at the start of an epoch, before a
            :class:`~lightning_gammabo.learning_rate.controller.LRController` takes the schedulers over.

    Returns:
        The forecast; or, where the rates cannot be known, why not, in words.
    """
    reason = schedules_by_hand(trainer)
    if reason is not None:
        return reason
    length = trainer.num_training_batches
    batches = length if isinstance(length, int) and length > 0 else None
    steps = _steps_left(trainer, batches)
    moving = any(not config.reduce_on_plateau for config in trainer.lr_scheduler_configs)
    if steps is None and moving:
        return "neither the length of the run nor that of an epoch is known"
    return look_ahead(
        trainer.lr_scheduler_configs,
        trainer.optimizers,
        steps=max(steps or 1, 1) if moving else 1,
        batches_per_epoch=batches,
        accumulate=trainer.accumulate_grad_batches,
        epoch=trainer.current_epoch,
        **_own_move(trainer),
    )


def schedules_by_hand(trainer: Trainer) -> str | None:
    """Whether something else than Lightning's own loop moves the learning rate.

    Args:
        trainer: the Trainer, inside ``fit``.

    Returns:
        What, in words, or None.
    """
    module = trainer.lightning_module
    name = type(module).__name__
    if trainer.lr_scheduler_configs:
        if not module.automatic_optimization:
            return f"{name} steps its LR schedulers by hand (automatic_optimization=False)"
        # of the Trainer it would ask for the present, and in the look-ahead that is the start
        if overrides(module, "lr_scheduler_step") and "trainer" in type(module).lr_scheduler_step.__code__.co_names:
            return f"{name}.lr_scheduler_step asks for its Trainer"
    for owner in (module, *trainer.callbacks):  # type: ignore[attr-defined]
        method = next(_methods_that_write_rates(owner), None)
        if method is not None:
            return f"{type(owner).__name__}.{method} writes the learning rate"
    return None


def _own_move(trainer: Trainer) -> dict[str, Move]:
    # a module's own way to step schedulers, on something that looks like the module later in the run
    module: Any = trainer.lightning_module
    if not overrides(module, "lr_scheduler_step"):
        return {}
    stand_in, begin = _ModuleLater(module), trainer.global_step

    def move(scheduler: Any, epoch: int, steps: int) -> None:
        stand_in.current_epoch, stand_in.global_step = epoch, begin + steps
        type(module).lr_scheduler_step(stand_in, scheduler, None)

    return {"move": move}


class _ModuleLater:
    """A module of which only what is set here is another."""

    current_epoch: int
    global_step: int

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _steps_left(trainer: Trainer, batches: int | None) -> int | None:
    ends = []
    if trainer.max_steps is not None and trainer.max_steps > 0:
        ends.append(trainer.max_steps - trainer.global_step)
    if batches is not None:
        endless = trainer.max_epochs is None or trainer.max_epochs < 0
        epochs = HORIZON if endless else trainer.max_epochs - trainer.current_epoch  # type: ignore[operator]
        if not (endless and ends):
            ends.append(epochs * math.ceil(batches / trainer.accumulate_grad_batches))
    return min(ends, default=None)


def _methods_that_write_rates(owner: Any) -> Iterator[str]:
    # by their code: a method that names "lr" and param_groups, and assigns to an item
    for base in type(owner).__mro__:
        if base.__module__.startswith((*NAMESPACES, "torch.", "lightning_gammabo.")):
            continue
        for name, function in vars(base).items():
            code = getattr(function, "__code__", None)
            if code is None or name == "configure_optimizers" or "lr" not in code.co_consts:
                continue
            stores = any(instruction.opname == "STORE_SUBSCR" for instruction in dis.get_instructions(code))
            if stores and "param_groups" in code.co_names:
                yield name
