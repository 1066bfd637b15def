"""How long candidates train, at which rates, and how they cool before they are scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning_gammabo.learning_rate.miniature import Miniature, cooling_factors
from lightning_gammabo.learning_rate.param_groups import groups_of, rates_of, write_rate

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["CandidatePlan", "RateWriter", "cooling_within"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatePlan:
    """What each candidate trains.

    Args:
        until: batches of the epoch; None for the whole epoch.
        cooling: optimizer steps that follow with the rate linearly to zero, before the score. The epoch goes on from
            the state before them. Fewer where the epoch, or the run, ends within them; none where the candidate
            trains the whole epoch.
        miniature: schedule that a candidate lives instead of the run's own; its learning rate is then the peak. Such
            a candidate is never kept: where it is chosen, the epoch is trained from its start.
    """

    until: int | None = None
    cooling: int = 0
    miniature: Miniature | None = None


class RateWriter:
    """Writes the rates of a candidate, as a callback at the start of each of its batches.

    Args:
        trainer: the Trainer, at the start of the epoch.
        peak: the candidate's learning rate.
        miniature: the schedule that it lives; None for the run's own, of which nothing is written before the cooling.
    """

    def __init__(self, trainer: Trainer, peak: float, miniature: Miniature | None) -> None:
        self._optimizers: Sequence[Any] = trainer.optimizers
        self._accumulate = trainer.accumulate_grad_batches
        self._peak = peak
        self._miniature = miniature
        self._base: list[float] = []
        self._factors: tuple[float, ...] = ()
        self._begin = 0

    def cool(self, batches: int, steps: int) -> None:
        """From now on the rates fall from where they stand to zero.

        Args:
            batches: batches of the epoch that are trained.
            steps: optimizer steps until zero.
        """
        self._begin = batches // self._accumulate
        at = max(self._begin - 1, 0)
        lived = self._miniature
        # what stands now may have been written by a schedule that the candidate does not live
        self._base = rates_of(self._optimizers) if lived is None else lived.rates(at, self._peak)
        self._factors = cooling_factors(steps)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Write the rates of a batch's optimizer step.

        Args:
            trainer: not used.
            pl_module: not used.
            batch: not used.
            batch_idx: the batch's number in its epoch.
        """
        step = batch_idx // self._accumulate
        if self._factors:
            factor = self._factors[min(step - self._begin, len(self._factors) - 1)]
            self._write([factor * rate for rate in self._base])
        elif self._miniature is not None:
            self._write(self._miniature.rates(step, self._peak))
        if self._miniature is not None:
            self._write_momentum(self._miniature.momentum(step))

    def _write(self, rates: Sequence[float]) -> None:
        for group, rate in zip(groups_of(self._optimizers), rates, strict=True):
            write_rate(group, rate)

    def _write_momentum(self, momentum: float | None) -> None:
        if momentum is None:
            return
        for group in groups_of(self._optimizers):
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            elif "momentum" in group:
                group["momentum"] = momentum


def cooling_within(trainer: Trainer, steps: int) -> tuple[int, int]:
    """What there is room for of a cooling, before the epoch or the run ends.

    Args:
        trainer: the Trainer, within an epoch that is not at its end.
        steps: optimizer steps that are asked for.

    Returns:
        Optimizer steps, at least one; and the batches of the epoch that are trained at their end. Of an optimizer step
        that has begun, the rest is the first.
    """
    loop, accumulate = trainer.fit_loop.epoch_loop, trainer.accumulate_grad_batches
    done = loop.batch_progress.current.ready // accumulate
    left = math.ceil(trainer.num_training_batches / accumulate) - done if _is_known(trainer) else steps
    if loop.max_steps > 0:
        left = min(left, loop.max_steps - loop.global_step)
    steps = max(1, min(steps, left))
    end = (done + steps) * accumulate
    return steps, min(end, int(trainer.num_training_batches)) if _is_known(trainer) else end


def _is_known(trainer: Trainer) -> bool:
    return math.isfinite(trainer.num_training_batches)
