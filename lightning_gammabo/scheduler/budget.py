"""The cap on what searches cost, kept as the run goes."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_gammabo.policy import EpochPlan
from lightning_gammabo.records import EpochRecord, Result, TrialState
from lightning_gammabo.scheduler.arguments import Cap
from lightning_gammabo.scheduler.run_plan import RunPlan

__all__ = ["Budget"]


class Budget:
    """The cap on what searches cost, kept as the run goes.

    Args:
        cap: upper limit of what searches cost.
        plan: the run's plan.
    """

    def __init__(self, cap: Cap, plan: RunPlan) -> None:
        self._cap = cap.share
        self._unit = cap.unit
        self._plan = plan

    def affords(self, history: Sequence[EpochRecord], results: Sequence[Result], plan: EpochPlan, epoch: int) -> bool:
        """Whether one more candidate may be trained.

        Args:
            history: the searches so far.
            results: the candidates of the present one, too short ones among them; none to ask whether to search at all.
            plan: the present one's plan.
            epoch: the epoch, from 0; where the run's length is not known, the cap is of the epochs until now.

        Returns:
            Whether the run stays below the cap with it, also where the chosen one has to be trained again.
        """
        if self._cap is None:
            return True
        allowed = self._cap * (self._plan.shape.epochs_left or epoch + 1 - self._plan.shape.begin)
        if self._unit == "seconds":
            return self._seconds(history, results) <= allowed * _seconds_of_a_pass(history, results)
        validation = self._plan.validation
        complete = any(result.state is TrialState.COMPLETE for result in results)
        # a whole epoch that leads is taken over; a part may have to be trained again, and so may a leader to which the
        # rule comes back
        held = complete and plan.share >= 1.0 and self._plan.policy.rule != "largest_within_noise"
        # its own, that of the epoch's end, that of the untrained network, and once more where no candidate has a number
        scorings = 1 + self._plan.is_watched(plan) + (not history) + (not complete)
        present = sum(result.passes + validation for result in results) + plan.share + plan.cooling_share
        present += scorings * validation
        if held and not self._plan.shape.replays:
            present -= 1.0
        return present + sum(record.extra_passes(validation) for record in history) <= allowed

    @staticmethod
    def _seconds(history: Sequence[EpochRecord], results: Sequence[Result]) -> float:
        # seconds that searches took, with one more candidate as long as the longest of this epoch
        longest = max((result.seconds for result in results), default=0.0)
        return sum(r.seconds for r in history) + sum(r.seconds for r in results) + longest


def _seconds_of_a_pass(history: Sequence[EpochRecord], results: Sequence[Result]) -> float:
    trained = [*results, *(result for record in history for result in record.results)]
    passes = sum(result.passes for result in trained)
    return sum(result.seconds for result in trained) / passes if passes > 0.0 else 0.0
