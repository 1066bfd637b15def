"""What forbids stacked candidates and can be seen without training: everything else is found by trying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from lightning_gammabo.vectorised.optimizers import unsupported

__all__ = ["FORBIDDEN_HOOKS", "TrainerFacts", "why_not"]

FORBIDDEN_HOOKS = (
    "backward",
    "configure_gradient_clipping",
    "lr_scheduler_step",
    "on_after_backward",
    "on_before_backward",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "on_train_batch_end",
    "on_train_batch_start",
    "optimizer_step",
    "optimizer_zero_grad",
)
"""hooks of a LightningModule that see one candidate's gradients, losses or steps"""
PRECISIONS = ("32-true", "32", "bf16-mixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerFacts:
    """What has to be known of the Trainer; a caller that may look into it fills this in.

    Args:
        automatic: whether the module has automatic optimisation.
        precision: the Trainer's precision, such as ``32-true``.
        processes: number of processes.
        overridden: those of :data:`FORBIDDEN_HOOKS` that the user's module overrides.
        callbacks: class names of callbacks whose batch hooks take part in the training.
        compiled: whether the module, or its training step, is compiled.
        loader_iterator: whether ``training_step`` takes the iterator itself (``dataloader_iter``).
    """

    automatic: bool = True
    precision: str = "32-true"
    processes: int = 1
    overridden: Sequence[str] = ()
    callbacks: Sequence[str] = ()
    compiled: bool = False
    loader_iterator: bool = False


def why_not(module: nn.Module, optimizers: Sequence[Any], facts: TrainerFacts) -> str | None:
    """Whether something forbids that a module's candidates are trained together.

    Args:
        module: the module.
        optimizers: its optimizers.
        facts: what is known of the Trainer.

    Returns:
        The reason in one line, or None where it may be tried.
    """
    reason = _of_trainer(facts) or _of_module(module)
    if reason is None and len(optimizers) != 1:
        reason = f"there are {len(optimizers)} optimizers"
    if reason is None:
        reason = unsupported(optimizers[0])
    return f"cannot be vectorised: {reason}" if reason is not None else None


def _of_trainer(facts: TrainerFacts) -> str | None:
    reasons = (
        (not facts.automatic, "manual optimisation"),
        (facts.precision not in PRECISIONS, f"precision={facts.precision!r}"),
        (facts.processes != 1, f"{facts.processes} processes"),
        (bool(facts.overridden), f"the module overrides {', '.join(facts.overridden)}"),
        (bool(facts.callbacks), f"the batch hooks of {', '.join(facts.callbacks)}"),
        (facts.compiled, "the module is compiled"),
        (facts.loader_iterator, "training_step takes the iterator (dataloader_iter)"),
    )
    return next((text for holds, text in reasons if holds), None)


def _of_module(module: nn.Module) -> str | None:
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule) or type(part).__name__ == "OptimizedModule":
            return f"{name or 'the module'} is compiled"
    tensors = [*module.named_parameters(), *module.named_buffers()]
    for name, tensor in tensors:
        if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
            return f"{name} has no shape yet (a lazy module)"
        if tensor.layout is not torch.strided:
            return f"{name} is sparse"
    return None
