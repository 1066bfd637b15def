"""When a search has seen enough, and when its candidates are too short to tell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

import torch

from lightning_gammabo.bayesopt import BayesOpt, PlacePrior, Search
from lightning_gammabo.determinant.objective import Objective
from lightning_gammabo.policy import EpochPlan
from lightning_gammabo.records import EpochRecord, Result, TrialState
from lightning_gammabo.scheduler.run_plan import LEAST, RunPlan

__all__ = ["SearchRules", "gate_reason", "has_learnt", "has_seen_enough", "progress_ratio", "says_nothing"]

NOT_BEGUN = 3.0
"""ratio of late to early progress from which on learning has not begun"""
REACH = 1.0
"""decades within which the leader's neighbours have to lie, and the usual rate to count"""
AT_END = 0.1
"""decades from the upper end of the range within which nothing above needs to be tried"""
BELIEF = 0.05
"""weight of the belief about the best rate's place in the choice, in units of the logarithm of the loss"""
LEARNT = 0.1
"""least progress of the leader, as ``log(untrained loss / loss)``, before a search may stop"""


def has_seen_enough(
    results: Sequence[Result], gain: float | None, below: float, objective: Objective, bounds: tuple[float, float]
) -> bool:
    """Whether another candidate is not worth its price.

    Args:
        results: the candidates so far.
        gain: expected improvement of the score by another one; None where nobody knows.
        below: the price, as an improvement of the logarithm of the loss.
        objective: what candidates are ranked by.
        bounds: lowest and highest rate that may be proposed.

    Returns:
        Whether at least three candidates were trained, the best of them has learnt something and has a neighbour on
        either side, and the expected improvement is below the price. Scores that are no logarithm of a loss are
        measured by the best loss, or by their standard deviation.
    """
    leader = _best(results)
    if gain is None or len(results) < LEAST or leader is None:
        return False
    if not has_learnt(leader, objective) or not _is_bracketed(leader, results, bounds):
        return False
    return gain < below * _unit(results, leader, objective)


def has_learnt(leader: Result, objective: Objective) -> bool:
    """Whether the best candidate is better than the untrained network.

    Args:
        leader: the best candidate.
        objective: what candidates are ranked by.

    Returns:
        Whether its loss has fallen by a tenth; True where that cannot be known.
    """
    reference = objective.reference_loss
    if not reference or leader.loss is None or leader.loss <= 0.0:
        return True
    return math.log(reference / leader.loss) >= LEARNT


def _best(results: Sequence[Result]) -> Result | None:
    scored = [result for result in results if result.score is not None]
    return max(scored, key=lambda result: -math.inf if result.score is None else result.score, default=None)


def _is_bracketed(leader: Result, results: Sequence[Result], bounds: tuple[float, float]) -> bool:
    # whether a rate above and one below were tried within a decade, or the range ends there
    place = math.log10(leader.lr)
    steps = [math.log10(result.lr) - place for result in results if result.lr > 0.0]
    low, high = (math.log10(bound) - place for bound in bounds)
    above = high < AT_END or any(0.0 < step <= REACH for step in steps)
    below = low > -REACH or any(-REACH <= step < 0.0 for step in steps)
    return above and below


def _unit(results: Sequence[Result], leader: Result, objective: Objective) -> float:
    # what an improvement of the loss by a factor e is in the score
    if objective.is_kappa and leader.accuracy is not None:
        return 1.0
    if (objective.is_kappa or objective.name == "loss") and leader.loss:
        return abs(leader.loss)
    return statistics.pstdev([result.score for result in results if result.score is not None])


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

    Source: docs/policies_method.md.

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
        bounds: lowest and highest rate that may be proposed.
        search: the plan of this search.

    Attributes:
        search: the plan of this search, with the length that its candidates have by now.
        bounds: lowest and highest rate that may be proposed.
        first: whether it is the first search of the run.
        lengthened: how often they were made longer.
        prior: the belief about the best rate's place with which the last rate was proposed; None where there was none.
    """

    def __init__(
        self,
        plan: RunPlan,
        objective: Objective,
        *,
        first: bool,
        history: Sequence[EpochRecord],
        bounds: tuple[float, float],
        search: EpochPlan,
    ) -> None:
        self.search = search
        self.lengthened = 0
        self.prior: PlacePrior | None = None
        self._plan = plan
        self._policy = plan.policy
        self._objective = objective
        self.first = first
        self._history = history
        self.bounds = bounds
        self._belief: PlacePrior | None = None

    @property
    def may_lengthen(self) -> bool:
        """Whether candidates may turn out too short: those of the first search, by a share of the run."""
        return self.first and self._plan.longer(self.search) is not None

    def stops(self, results: Sequence[Result], gain: float | None) -> str | None:
        """Why no more candidates are trained.

        Args:
            results: the candidates so far.
            gain: expected improvement of the score by another one; None where nobody knows.

        Returns:
            The reason in words; None where another one is trained.
        """
        below, gate = self._policy.stop_below, self._policy.later_gate
        if self.first and below != "never" and has_seen_enough(results, gain, below, self._objective, self.bounds):
            return f"another candidate is expected to gain less than {below:g}"
        if self.lengthened and len(results) >= self.search.n_trials:
            return f"{len(results)} longer candidates are the most"
        if not self.first and gate != "off" and len(results) == 1:
            return gate_reason(results[0], self._history, gate)
        return None

    def weigh(self, proposals: Search, leader: Result | None) -> None:
        """Set a belief about the best rate's place aside while what was seen speaks against it.

        Args:
            proposals: the search; one that has no belief is left alone.
            leader: the best candidate so far.
        """
        self._belief = getattr(proposals, "prior", None) or self._belief
        if isinstance(proposals, BayesOpt) and self._belief is not None:
            proposals.prior = self.prior = self._belief if self._is_borne_out(self._belief, leader) else None

    def learnt_leader(self, results: Sequence[Result]) -> Result | None:
        """The best candidate of the first search, by which the range may be widened.

        Args:
            results: the candidates so far.

        Returns:
            The candidate; None before the third one, and where it has not learnt.
        """
        leader = _best(results)
        if not self.first or len(results) < LEAST or leader is None:
            return None
        return leader if leader.lr > 0.0 and has_learnt(leader, self._objective) else None

    def favours(self, results: Sequence[Result]) -> Callable[[Result], float]:
        """What the belief about the best rate's place adds to scores in the choice of the first search.

        The scores of short candidates are noisy. Among those that are about equal the rate that was believed in is
        the better guess (docs/method/first_search.md).

        Args:
            results: the candidates so far.

        Returns:
            Of a result: at most 0; 0 throughout where what was seen speaks against the belief, and for scores that
            are no logarithm of a loss.
        """
        leader = _best(results)
        belief, objective = self._belief, self._objective
        if leader is None or belief is None or not self.first or not (objective.is_kappa or objective.name == "loss"):
            return lambda result: 0.0
        weight = BELIEF * _unit(results, leader, objective) if self._is_borne_out(belief, leader) else 0.0
        return lambda result: (
            weight * float(belief.log_density(torch.tensor(math.log10(result.lr)))) if result.lr > 0.0 else 0.0
        )

    def lengthen(
        self, results: Sequence[Result], quarters: Sequence[float], affords: Callable[[EpochPlan], bool]
    ) -> bool:
        """Double the length of candidates where learning has not begun, and the epoch and the cap have room for it.

        Args:
            results: the candidates so far.
            quarters: the leader's mean training loss in each quarter.
            affords: asked with the longer plan: whether one such candidate may be trained.

        Returns:
            Whether they are longer now, so that the search begins anew.
        """
        tested = len(results) >= (LEAST if self.lengthened == 0 else LEAST - 1)
        ratio = progress_ratio(self._objective.reference_loss, quarters) if tested else None
        longer = self._plan.longer(self.search)
        if ratio is None or ratio <= NOT_BEGUN or longer is None or not affords(longer):
            return False
        self.search = longer
        self.lengthened += 1
        return True

    def _is_borne_out(self, belief: PlacePrior, leader: Result | None) -> bool:
        # whether the leader has learnt something within a decade of the rate that is believed in
        if leader is None or leader.lr <= 0.0:
            return False
        return has_learnt(leader, self._objective) and abs(math.log10(leader.lr) - belief.centre) <= REACH
