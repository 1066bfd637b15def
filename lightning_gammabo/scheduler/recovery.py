"""All of a divergence: what counts as one, what becomes of weights, rates and range, and what the user is told.

Three things can go wrong with a chosen rate:

* *all candidates of a search diverge*: the epoch is trained at the last good rate, and the range is cut;
* *the epoch diverges after its search*: it is rolled back and trained again at a quarter of the rate;
* *later epochs end clearly worse* than what was reached: the best weights are restored, and the rest of the schedule is
  halved. A rate that wins on one epoch can be too high for later ones, or for a long run that overfits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from torch.optim import Optimizer

from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import Objective
from lightning_gammabo.records import EpochRecord, Outcome, SearchHistory, TrialState
from lightning_gammabo.scheduler.search_range import SearchRange
from lightning_gammabo.trainer.messages import Messages
from lightning_gammabo.trainer.snapshot.weights import HeldWeights

__all__ = ["BestWeights", "Recovery", "Regression"]

EXPLODED = 2.0
"""an epoch whose loss is so many times that of its start, and worse than the untrained network's, has diverged"""
CUT_ALL_DIVERGED = 10.0
"""where all candidates diverged, rates from a tenth of the lowest of them on are not proposed any more"""
CUT_ROLLED_BACK = 2.0
"""where an epoch diverged after its search, rates from half of its own on are not proposed any more"""
LOSS_RATIO = 1.1
"""an epoch that ends at so many times an earlier one's loss has regressed"""
PATIENCE = 2
"""epochs in a row that have to regress, against the best one"""
FEW_BATCHES = 5
"""validation batches below which their paired error says little"""
FEW_PATIENCE = 3
"""epochs in a row that have to regress there, whatever that error is"""
STILL_HIGH = 0.5
"""annealing factor above which a regression is expected to pass: the rate will fall, and the loss with it"""
N_SIGMA = 3.0
"""paired standard errors by which a loss has to be worse, where the validation was logged batch by batch"""
HALF = 0.5
"""what the rest of the schedule is multiplied by where the best weights are restored"""
MAX_RESTORES = 5
"""so often the best weights are restored at most: a loss may rise for other reasons"""


class Recovery:
    """What one fit does about divergences.

    Args:
        search_range: the range that a divergence cuts.
        objective: what candidates are ranked by.
        keys: reads the loss off what was logged.
        messages: tells the user.

    Attributes:
        best_weights: the best epoch's end.
        last_good: the last rate that an epoch was trained at without diverging; None before there was one.
    """

    def __init__(self, search_range: SearchRange, objective: Objective, keys: MetricKeys, messages: Messages) -> None:
        self.best_weights = BestWeights()
        self.last_good: float | None = None
        self._range = search_range
        self._objective = objective
        self._keys = keys
        self._messages = messages

    def is_sane(self, outcome: Outcome, history: SearchHistory) -> bool:
        """Whether the end of a committed epoch is to be kept: its loss is finite and has not exploded.

        Args:
            outcome: its validation.
            history: the searches so far, this epoch's included.

        Returns:
            Whether it is.
        """
        loss = self._keys.reference(outcome)
        if loss is None:
            return True
        if not math.isfinite(loss):
            return False
        chosen = history[-1].chosen if history else None
        began = chosen.loss if chosen is not None else None
        untrained = self._objective.reference_loss
        return not (began and untrained and loss > EXPLODED * began and loss > untrained)

    def without_winner(self, record: EpochRecord) -> float:
        """Lower the range where all candidates diverged; leave it where they failed by no rate's fault.

        Args:
            record: the search.

        Returns:
            The rate to train the epoch at.
        """
        present = next((r for r in record.results if r.origin == "current"), record.results[0])
        if present.state is TrialState.FAILED:
            how = f"it is trained at the present rate {present.lr:.2e}. The first one: {present.message}"
            self._messages.warn(f"in epoch {record.epoch} {record.reason}; {how}")
            return present.lr
        lowest = min(result.lr for result in record.results if result.state is not TrialState.FAILED)
        self._range.lower(lowest / CUT_ALL_DIVERGED)
        highest = self._range.max_peak
        good = self.last_good
        rate = good if good is not None and good < lowest else highest
        self._messages.warn(
            f"in epoch {record.epoch} {record.reason}; it is trained at {rate:.2e} from the state at its start, and "
            f"rates above {highest:.2e} are not proposed any more"
        )
        return rate

    def after_rollback(self, record: EpochRecord, trained_at: float, *, times: int = 1) -> EpochRecord:
        """Lower the range where an epoch diverged after its search.

        Args:
            record: the search.
            trained_at: the rate that the epoch was trained at instead.
            times: how often it was rolled back: each time is a pass at the most.

        Returns:
            The record, with what became of the epoch.
        """
        assert record.chosen is not None
        self._range.lower(record.chosen.lr / CUT_ROLLED_BACK)
        self.last_good = trained_at
        self.say_rollback(record.epoch, record.chosen.lr, trained_at)
        reason = f"{record.reason}; the epoch then diverged and was trained again at {trained_at:.2e}"
        return replace(record, reason=reason, train_passes=record.train_passes + times)

    def say_rollback(self, epoch: int, lr: float, trained_at: float) -> None:
        """Tell that an epoch diverged.

        Args:
            epoch: the epoch.
            lr: the rate that it diverged at.
            trained_at: the rate that it was trained at instead.
        """
        self._messages.warn(
            f"epoch {epoch} diverged at {lr:.2e}; it was put back to its start and trained at {trained_at:.2e}. "
            "Loggers and batch hooks have seen both"
        )

    def state_dict(self, *, ahead: bool) -> dict[str, Any]:
        """What a resumed run needs.

        Args:
            ahead: whether the weights of the checkpoint are better than all seen so far.

        Returns:
            Plain values and tensors.
        """
        return {
            "max_peak": self._range.max_peak,
            "wider": list(self._range.wider),
            "last_good": self.last_good,
            "best_weights": self.best_weights.state_dict(ahead=ahead),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Args:
            state: what :meth:`state_dict` gave.
        """
        self._range.max_peak = state["max_peak"]
        self._range.wider = (state["wider"][0], state["wider"][1])
        self.last_good = state["last_good"]
        self.best_weights.load_state_dict(state["best_weights"])


@dataclass(frozen=True)
class Regression:
    """That a run ended worse than what it had reached.

    Args:
        reason: by how much, and what was done about the weights.
        returned_to: the epoch from whose end the run goes on; None where it goes on from the last one's.
    """

    reason: str
    returned_to: int | None


Batches = Sequence[tuple[float, float]]


def is_within_noise(best: Batches, now: Batches) -> bool:
    """Whether two losses of the same validation data differ by less than chance.

    Args:
        best: mean and weight of the loss in each batch.
        now: likewise, of other weights.

    Returns:
        Whether the weighted mean of the differences, batch by batch, is below :data:`N_SIGMA` standard errors; False
        where there are no pairs.

    Example:
        >>> is_within_noise([(1.0, 8.0), (3.0, 8.0)], [(2.0, 8.0), (2.5, 8.0)])
        True
        >>> is_within_noise([(1.0, 8.0), (3.0, 8.0)], [(1.5, 8.0), (3.5, 8.0)])
        False
    """
    if len(best) < 2 or len(best) != len(now):
        return False
    weights = [weight for _, weight in now]
    differences = [after - before for (before, _), (after, _) in zip(best, now, strict=True)]
    total = sum(weights)
    mean = sum(d * w for d, w in zip(differences, weights, strict=True)) / total
    spread = sum((w * (d - mean)) ** 2 for d, w in zip(differences, weights, strict=True))
    error = math.sqrt(len(best) / (len(best) - 1) * spread) / total
    return mean <= N_SIGMA * error


class BestWeights:
    """The weights of the best epoch, restored where later epochs end at a clearly worse validation loss.

    Attributes:
        best: the epoch that ended at the least loss so far; None before there was one.
        least: that loss.
    """

    def __init__(self) -> None:
        self.best: int | None = None
        self.least = math.inf
        self._began = math.inf
        self._regressed = self._count = 0
        self._held: HeldWeights | None = None
        self._batches: Batches = []  # of the best epoch's validation

    def see(
        self,
        epoch: int,
        loss: float | None,
        module: nn.Module,
        optimizers: Sequence[Optimizer],
        *,
        annealing: float = 0.0,
        batches: Batches = (),
    ) -> Regression | None:
        """Look at how an epoch ended; restore the best weights where it, or the last ones, regressed.

        Args:
            epoch: the epoch that has ended.
            loss: the validation loss that it ended with; None where there is none.
            module: the network.
            optimizers: its optimizers.
            annealing: annealing factor of the rate now, 1 at the peak.
            batches: mean and weight of the loss in each batch of the validation; empty where they are not known.

        Returns:
            What became of the weights; what is to become of the rate is the caller's. None where nothing regressed.
        """
        if loss is None or not math.isfinite(loss):
            return None
        self._began = loss if self._began == math.inf else self._began
        if loss <= self.least:
            self.best, self.least, self._regressed = epoch, loss, 0
            self._held = HeldWeights.take(module, optimizers)
            self._batches = list(batches)
            return None
        worse, sure = 0.0 < LOSS_RATIO * self.least < loss, not is_within_noise(self._batches, batches)
        lost = worse and sure and 0.0 < LOSS_RATIO * self._began < loss  # all that was gained since
        few = 0 < len(batches) < FEW_BATCHES
        counts = worse and (sure or few) and annealing <= STILL_HIGH
        patience = FEW_PATIENCE if few else PATIENCE
        self._regressed = patience if lost else self._regressed + 1 if counts else 0
        if self._regressed < patience or self._count == MAX_RESTORES:
            return None
        self._regressed, self._count = 0, self._count + 1
        ended = (
            f"epoch {epoch} ended at a validation loss of {loss:.3g}, the first searched one at {self._began:.3g}, the "
            f"best one, epoch {self.best}, at {self.least:.3g}"
        )
        if self._held is not None and self._held.put_back(module, optimizers):
            return Regression(f"{ended}: the run goes on from there", self.best)
        return Regression(f"{ended}; that cannot be put back, because other parameters were trained then", None)

    def state_dict(self, *, ahead: bool = False) -> dict[str, Any]:
        """What a resumed run needs.

        Args:
            ahead: whether the checkpoint holds weights that are better than all seen so far: they take their place when
                the run goes on, and are not stored twice.

        Returns:
            Plain values and tensors.
        """
        held = None if ahead or self._held is None else self._held.plain
        return {
            "best": self.best,
            "losses": [self._began, self.least],
            "lost": [self._regressed, self._count],
            "held": held,
            "batches": [list(batch) for batch in self._batches],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Args:
            state: what :meth:`state_dict` gave.
        """
        self.best = state["best"]
        self._began, self.least = state["losses"]
        self._regressed, self._count = state["lost"]
        self._held = None if state["held"] is None else HeldWeights(state["held"])
        self._batches = [(mean, weight) for mean, weight in state["batches"]]
