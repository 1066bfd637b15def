"""Whether a fit's candidates are trained together: what was asked for, what speaks against it, what was found out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning_gammabo.candidate_hooks import changes_batches
from lightning_gammabo.trainer_state import overrides, trains_weights, validates_within
from lightning_gammabo.vectorised import FORBIDDEN_HOOKS, TrainerFacts, why_not
from lightning_gammabo.voice import Voice

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["Stacking"]


class Stacking:
    """Whether the candidates of one fit are trained together; what was found out is kept.

    Args:
        wanted: ``auto`` (on a CUDA device), ``always`` or ``never``.
        voice: says why they are not.
    """

    def __init__(self, wanted: str, voice: Voice) -> None:
        self.checked: object = None
        self._wanted = wanted
        self._voice = voice
        self._refused = False

    def may_be(self, trainer: Trainer, pl_module: LightningModule) -> bool:
        """Whether nothing speaks against it that can be seen without training.

        Args:
            trainer: the Trainer, inside ``fit``.
            pl_module: the user's module.

        Returns:
            Whether it is wanted, and possible so far.
        """
        on_gpu = trainer.strategy.root_device.type == "cuda"
        if self._refused or self._wanted == "never" or (self._wanted == "auto" and not on_gpu):
            return False
        reason = why_not(pl_module, trainer.optimizers, _facts(trainer, pl_module)) or _why_not_here(trainer)
        if reason is not None:
            self.say(reason)
        return reason is None

    def refuse(self, reason: str) -> None:
        """It does not work for this fit.

        Args:
            reason: why not, in words.
        """
        self._refused = True
        self.say(reason)

    def say(self, reason: str) -> None:
        """Say once why candidates are not trained together.

        Args:
            reason: why not, in words.
        """
        self._voice.inform(f"candidates are trained one after the other: {reason}")


def _facts(trainer: Trainer, module: LightningModule) -> TrainerFacts:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    return TrainerFacts(
        automatic=module.automatic_optimization,
        precision=str(trainer.precision),
        processes=trainer.world_size,
        overridden=[hook for hook in FORBIDDEN_HOOKS if overrides(module, hook)],
        callbacks=sorted({type(callback).__name__ for callback in callbacks if changes_batches(callback)}),
        compiled=getattr(module, "_compiler_ctx", None) is not None,
        loader_iterator=hasattr(trainer.fit_loop._data_fetcher, "_batch_idx"),
    )


def _why_not_here(trainer: Trainer) -> str | None:
    if not trains_weights(trainer):
        return "nothing is trained in the epoch"
    if any(config.reduce_on_plateau and config.interval == "step" for config in trainer.lr_scheduler_configs):
        return "an LR scheduler follows a metric from step to step"
    return validates_within(trainer)
