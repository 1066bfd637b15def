"""Annealing schedules: what the learning rate follows between searches. A search moves the peak of the whole schedule.

The best rate for the next epoch is ten to thirty times below the best one for the whole run (short-horizon bias,
Wu et al., ICLR 2018), so a search that writes each epoch's rate freezes the training. So a search moves the
*peak* of all that remains of a schedule instead: the rate of a batch is ``peak * shape(progress)``.

| symbol | meaning |
| --- | --- |
| ``progress`` | share of the annealed part of the run that is done, in [0, 1] |
| ``shape`` | the schedule's value there, 1 at its peak |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

__all__ = ["LONG_RUN", "SHAPES", "AnnealingName", "Plateau", "horizon_factor", "progress_of", "shape"]

AnnealingName = Literal["auto", "cosine", "linear", "constant", "plateau", "scheduler", "configured"]

SHAPES: dict[str, Callable[[float], float]] = {
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
    "linear": lambda progress: 1.0 - progress,
    "constant": lambda progress: 1.0,
}
"""shapes that are known before the run; the others are ``scheduler`` (the user's own) and ``plateau``"""


def shape(name: str, progress: float) -> float:
    """The value of an annealing schedule.

    Args:
        name: one of :data:`SHAPES`; any other has no shape of its own and is 1.
        progress: share of the run that is done; outside [0, 1] it is taken as the nearer end.

    Returns:
        The shape, between 0 and 1.

    Example:
        >>> [round(shape("cosine", p), 3) for p in (0.0, 0.5, 0.9)]
        [1.0, 0.5, 0.024]
        >>> shape("linear", 0.25), shape("constant", 0.9)
        (0.75, 1.0)
    """
    assert name in get_args(AnnealingName), name
    return SHAPES.get(name, SHAPES["constant"])(min(max(progress, 0.0), 1.0))


def progress_of(trainer: Any, batches: int) -> float | None:
    """How much of a run is done.

    Args:
        trainer: the Trainer, inside ``fit``; read are ``max_epochs``, ``max_steps`` and counters.
        batches: batches of the present epoch that are done.

    Returns:
        The share, by whichever of ``max_epochs`` and ``max_steps`` ends the run first; None where neither is set.
        Where the length of an epoch is not known it moves from epoch to epoch only.
    """
    shares = []
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        length = trainer.num_training_batches
        known = isinstance(length, int) and length > 0
        within = batches / length if known else 0.0
        shares.append((trainer.current_epoch + within) / trainer.max_epochs)
    if trainer.max_steps is not None and trainer.max_steps > 0:
        shares.append(trainer.global_step / trainer.max_steps)
    return max(shares, default=None)


LONG_RUN = 10.0
"""epochs of a run beyond which overfitting lowers the best peak further"""
STEEPER = 0.25
"""by how much the exponent is larger there"""
SHORT_RUN = 3.0
"""epochs of a run whose peak needs no correction"""


def horizon_factor(epochs: float, exponent: float) -> float:
    """What the peak found in one epoch is multiplied by, for a run that sees its samples many times.

    Args:
        epochs: passes of the run over its data.
        exponent: of the length.

    Returns:
        ``(epochs / 3) ** -exponent``, at most 1; beyond ten epochs, where overfitting sets in, the further length has
        an exponent that is larger by 0.25.

    Source: docs/policies_method.md.

    Example:
        >>> horizon_factor(2.0, 0.35), round(horizon_factor(10.0, 0.35), 2), round(horizon_factor(40.0, 0.35), 2)
        (1.0, 0.66, 0.29)
    """
    if epochs <= SHORT_RUN or exponent == 0.0:
        return 1.0
    short, further = min(epochs, LONG_RUN) / SHORT_RUN, max(epochs, LONG_RUN) / LONG_RUN
    return float(short**-exponent * further ** -(exponent + STEEPER))


PATIENCE = 3
"""epochs without a better validation loss after which a plateau lowers the rate"""
FACTOR = 0.3
BETTER_BY = 1e-3
"""relative; a smaller gain is none"""


@dataclass(slots=True)
class Plateau:
    """Annealing for a run whose length is not known: the rate falls where the validation loss no longer does.

    Args:
        best: lowest loss so far.
        waited: epochs since.
        shape: the annealing factor now.
        patience: epochs without a better loss after which it falls.
    """

    best: float = math.inf
    waited: int = 0
    shape: float = 1.0
    patience: int = PATIENCE

    def see(self, loss: float | None) -> None:
        """Take note of the loss of an epoch.

        Args:
            loss: its validation loss; one that is not finite counts as no gain. None, where the epoch was not
                validated, is no evidence either way and changes nothing.
        """
        if loss is None:
            return
        if loss < self.best - BETTER_BY * abs(self.best if math.isfinite(self.best) else 0.0):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.shape *= FACTOR
            self.waited = 0
