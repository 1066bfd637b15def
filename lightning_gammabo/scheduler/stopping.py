"""When a search has seen enough, and when its candidates are too short to tell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from lightning_gammabo.determinant.objective import Objective
from lightning_gammabo.policy import EpochPlan
from lightning_gammabo.records import EpochRecord, Result, TrialState
from lightning_gammabo.scheduler.budget import RunPlan

__all__ = ["SearchRules", "gate_reason", "has_seen_enough", "progress_ratio", "says_nothing"]

LEAST = 3
"""candidates that every search over the whole range trains"""
NOT_BEGUN = 3.0
"""ratio of late to early progress from which on learning has not begun"""
LEARNT = 0.1
"""least progress of the leader, as ``log(untrained loss / loss)``, before a search may stop"""


def has_seen_enough(results: Sequence[Result], gain: float | None, below: float, objective: Objective) -> bool:
    """Whether another candidate is not worth its price.

    Args:
        results: the candidates so far.
        gain: expected improvement of the score by another one; None where nobody knows.
        below: the price, as an improvement of the logarithm of the loss.
        objective: what candidates are ranked by.

    Returns:
        Whether at least three candidates were trained, the best of them has learnt something, and the expected
        improvement is below the price. Scores that are no logarithm of a loss are measured by the best loss, or by
        their standard deviation.
    """
    scored = [result for result in results if result.score is not None]
    if gain is None or len(results) < LEAST or not scored:
        return False
    leader = max(scored, key=lambda result: result.score or -math.inf)
    reference = objective.reference_loss
    if reference and leader.loss is not None and leader.loss > 0.0 and math.log(reference / leader.loss) < LEARNT:
        return False
    return gain < below * _unit(scored, leader, objective)


def _unit(scored: Sequence[Result], leader: Result, objective: Objective) -> float:
    # what an improvement of the loss by a factor e is in the score
    if objective.is_kappa:
        return 1.0
    if objective.name == "loss" and leader.loss:
        return abs(leader.loss)
    return statistics.pstdev([result.score for result in scored if result.score is not None])


def progress_ratio(untrained: float | None, quarters: Sequence[float]) -> float | None:
    """Whether learning has begun: progress in the last quarter of a candidate's training over that in the second.

    Progress is ``log(untrained loss / training loss)``. A large ratio says that learning has just begun, so that the
    candidate tells little about the run.

    Args:
        untrained: loss of the untrained network; None where it is not known.
        quarters: mean training loss of each quarter of the candidate's training.

    Returns:
        The ratio, infinite where the second quarter made no progress; None where it cannot be known, or where nothing
        was learnt at all.

    Source: docs/first_search.md.

    Example:
        >>> progress_ratio(2.0, [2.0, 1.0, 0.6, 0.5])
        2.0
    """
    if untrained is None or len(quarters) != 4 or not all(0.0 < loss < math.inf for loss in (untrained, *quarters)):
        return None
    early, late = math.log(untrained / quarters[1]), math.log(untrained / quarters[3])
    if late <= 0.0:
        return None
    return late / early if early > 0.0 else math.inf


def gate_reason(result: Result, history: Sequence[EpochRecord], gate: float) -> str | None:
    """Whether the present rate is still doing well, so that a later search needs no rivals.

    Args:
        result: the present rate's candidate, scored after its cooling.
        history: the searches before.
        gate: relative improvement of the loss that counts as doing well.

    Returns:
        Why no rivals are trained; None where they are.
    """
    before = [record.chosen.loss for record in history if record.chosen is not None and record.chosen.loss is not None]
    if result.state is not TrialState.COMPLETE or result.loss is None or not before:
        return None
    best = min(before)
    if result.loss > best - gate * abs(best):
        return None
    return f"the present rate still improves: search loss {result.loss:.3g} after {best:.3g}"


def says_nothing(results: Sequence[Result]) -> bool:
    """Whether candidates at different rates cannot be told apart.

    Args:
        results: the candidates of a search.

    Returns:
        Whether three or more completed, all with the same score.
    """
    scores = [result.score for result in results if result.state is TrialState.COMPLETE]
    return len(scores) >= LEAST and len(set(scores)) == 1


class SearchRules:
    """When one search stops, and when its candidates are too short.

    Args:
        plan: the run's plan.
        objective: what candidates are ranked by.
        first: whether it is the first search of the run.
        history: the searches before.
    """

    def __init__(self, plan: RunPlan, objective: Objective, *, first: bool, history: Sequence[EpochRecord]) -> None:
        self._plan = plan
        self._policy = plan.policy
        self._objective = objective
        self._first = first
        self._history = history
        self._lengthened = 0

    def stops(self, results: Sequence[Result], gain: float | None) -> str | None:
        """Why no more candidates are trained.

        Args:
            results: the candidates so far.
            gain: expected improvement of the score by another one; None where nobody knows.

        Returns:
            The reason in words; None where another one is trained.
        """
        below, gate = self._policy.stop_below, self._policy.later_gate
        if self._first and below != "never" and has_seen_enough(results, gain, below, self._objective):
            return f"another candidate is expected to gain less than {below:g}"
        if not self._first and gate != "off" and len(results) == 1:
            return gate_reason(results[0], self._history, gate)
        return None

    def may_lengthen(self, plan: EpochPlan) -> bool:
        """Whether candidates may turn out too short: those of the first search, by a share of the run.

        Args:
            plan: the search.

        Returns:
            Whether they may.
        """
        return self._first and plan.until is not None and plan.n_trials >= LEAST and self._policy.first_share != "epoch"

    def longer(self, plan: EpochPlan, results: Sequence[Result], quarters: Sequence[float]) -> EpochPlan | None:
        """The plan with candidates of twice the length, where learning has not begun.

        Args:
            plan: the search as it is.
            results: its candidates so far.
            quarters: the leader's mean training loss in each quarter.

        Returns:
            The plan; None where the candidates are long enough.
        """
        tested = LEAST if self._lengthened == 0 else LEAST - 1
        ratio = progress_ratio(self._objective.reference_loss, quarters) if len(results) == tested else None
        if ratio is None or ratio <= NOT_BEGUN or plan.until is None:
            return None
        longer = self._plan.lasting(plan, 2 * plan.until // self._plan.shape.accumulate)
        if longer.until == plan.until:
            return None
        self._lengthened += 1
        return longer
