"""What becomes of a run that loses what it had reached: it goes back to its best epoch, at half the rate.

By one epoch a rate may look best that the next ones cannot bear, or with which a long run overfits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from lightning_gammabo.trainer.snapshot.weights import HeldWeights

__all__ = ["LostGround", "Retreat"]

LOST = 1.1
"""an epoch that ends at so many times an earlier one's loss has lost ground"""
PATIENCE = 2
"""epochs in a row that have to, against the best one"""
RETREATS = 5
"""so often it goes back at the most: a loss may rise for other reasons"""


@dataclass(frozen=True)
class LostGround:
    """That a run lost what it had reached.

    Args:
        reason: by how much, and what was done about the weights.
        returned_to: the epoch from whose end the run goes on; None where it goes on from the last one's.
    """

    reason: str
    returned_to: int | None


class Retreat:
    """Watches the validation loss at the ends of epochs, and holds the weights of the best of them.

    Attributes:
        best: the epoch that ended at the least loss so far; None before there was one.
        least: that loss.
    """

    def __init__(self) -> None:
        self.best: int | None = None
        self.least = math.inf
        self._began = math.inf
        self._lost = self._count = 0
        self._held: HeldWeights | None = None

    def see(
        self, epoch: int, loss: float | None, module: nn.Module, optimizers: Sequence[Optimizer]
    ) -> LostGround | None:
        """Look at how an epoch ended; go back where it, or the last two, lost what had been reached.

        Args:
            epoch: the epoch that has ended.
            loss: the validation loss that it ended with; None where there is none.
            module: the network.
            optimizers: its optimizers.

        Returns:
            What became of the weights; what is to become of the rate is the caller's. None where no ground was lost.
        """
        if loss is None or not math.isfinite(loss):
            return None
        self._began = loss if self._began == math.inf else self._began
        if loss <= self.least:
            self.best, self.least, self._lost = epoch, loss, 0
            self._held = HeldWeights.take(module, optimizers)
            return None
        self._lost = self._lost + 1 if 0.0 < LOST * self.least < loss else 0
        if 0.0 < LOST * self._began < loss:
            self._lost = PATIENCE  # all that was gained since
        if self._lost < PATIENCE or self._count == RETREATS:
            return None
        self._lost, self._count = 0, self._count + 1
        ended = (
            f"epoch {epoch} ended at a validation loss of {loss:.3g}, the first searched one at {self._began:.3g}, the "
            f"best one, epoch {self.best}, at {self.least:.3g}"
        )
        if self._held is not None and self._held.put_back(module, optimizers):
            return LostGround(f"{ended}: the run goes on from there", self.best)
        return LostGround(f"{ended}; that cannot be put back, because other parameters were trained then", None)

    def state_dict(self, *, ahead: bool = False) -> dict[str, Any]:
        """What a resumed run needs.

        Args:
            ahead: whether the checkpoint holds weights that are better than all seen so far: they take their place when
                the run goes on, and are not stored twice.

        Returns:
            Plain values and tensors.
        """
        held = None if ahead or self._held is None else self._held.plain
        return {"best": self.best, "losses": [self._began, self.least], "lost": [self._lost, self._count], "held": held}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Args:
            state: what :meth:`state_dict` gave.
        """
        self.best = state["best"]
        self._began, self.least = state["losses"]
        self._lost, self._count = state["lost"]
        self._held = None if state["held"] is None else HeldWeights(state["held"])
