"""One run's plan: which epochs are searched, how, and what that costs; and the cap that it is held to.

Cost is counted in *passes*: one is a plain pass over the training data, forward and backward. A pass over the
validation data is a forward only and counts a third of its samples' share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from lightning_gammabo.policy import EpochPlan, SearchPolicy
from lightning_gammabo.records import EpochRecord, Result, TrialState
from lightning_gammabo.records.run import RunShape
from lightning_gammabo.scheduler.arguments import Cap

__all__ = ["Budget", "RunPlan"]

FORWARD = 1.0 / 3.0
"""a forward pass, in units of a forward and backward pass"""


class RunPlan:
    """Which epochs are searched, how, and what it is to cost.

    Args:
        policy: the policy that was asked for.
        shape: what is known of the run.
        cap: extra passes for each plain one that the plan may cost; None for no cap.

    Attributes:
        policy: the policy, made smaller where the cap asks for it.
        every: as the cap leaves it.
    """

    def __init__(
        self,
        policy: SearchPolicy,
        shape: RunShape,
        *,
        cap: float | None = None,
    ) -> None:
        self.policy = policy
        self.shape = shape
        self.every = policy.every_n_epochs
        self._start = policy.start_epoch
        self._stop = None if policy.stop_epoch == "never" else policy.stop_epoch
        if policy.when == "every" and policy.later_overhead != "unlimited":
            later = self.extra(self.epoch_plan(first=False), first=False)
            self.every = max(self.every, math.ceil(later / policy.later_overhead - 1e-9))
        if cap is not None and shape.epochs is not None:
            self._fit(cap * shape.epochs)

    def searches(self, epoch: int) -> bool:
        """Whether an epoch is searched.

        Args:
            epoch: the epoch, from 0.

        Returns:
            Whether it is the first one, or one of those that the policy names.
        """
        if epoch < self._start or (self._stop is not None and epoch >= self._stop):
            return False
        if epoch == self._start:
            return True
        when, epochs = self.policy.when, self.shape.epochs
        if when == "first":
            return False
        if when == "every":
            return (epoch - self._start) % self.every == 0
        return epochs is not None and epoch in {round(float(share) * epochs) for share in when}

    @property
    def search_epochs(self) -> list[int] | None:
        """The epochs that will be searched; None where the length of the run is not known."""
        epochs, when = self.shape.epochs, self.policy.when
        if epochs is None:
            return None
        if when == "every":
            return list(range(self._start, epochs if self._stop is None else min(self._stop, epochs), self.every))
        later = [] if isinstance(when, str) else [round(float(share) * epochs) for share in when]
        return [e for e in sorted({self._start, *later}) if e < epochs and self.searches(e)]

    def epoch_plan(self, *, first: bool) -> EpochPlan:
        """The search of an epoch.

        Args:
            first: whether it is the first of the run.

        Returns:
            Its plan, with the fraction that whole batches and optimizer steps make of it.
        """
        epochs = self.search_epochs
        number = None if epochs is None else len(epochs)
        if isinstance(self.policy.when, Sequence) and not isinstance(self.policy.when, str):
            number = 1 + len(self.policy.when)
        plan = self.policy.epoch_plan(first=first, searches=number)
        until = self.until(plan)
        share = 1.0 if until is None or self.shape.batches is None else until / self.shape.batches
        return replace(plan, fraction=share)

    def until(self, plan: EpochPlan) -> int | None:
        """Batches that a candidate trains.

        Args:
            plan: the search of an epoch.

        Returns:
            The number, of whole optimizer steps; None for the whole epoch.
        """
        length, step = self.shape.batches, self.shape.accumulate
        if length is None or plan.fraction >= 1.0:
            return None
        # 1e-9: a share of whole batches, as an epoch_plan has it, is not rounded up
        batches = max(math.ceil(plan.fraction * length - 1e-9), self.policy.min_steps * step)
        batches = math.ceil(batches / step) * step
        return batches if batches < length else None

    def extra(self, plan: EpochPlan, *, first: bool) -> float:
        """What a search costs beyond the epoch itself.

        Args:
            plan: the search.
            first: whether it is the first of the run, which validates the untrained network as well.

        Returns:
            Passes, validation included.
        """
        return self._trained(plan) + (plan.n_trials + first) * self.validation

    def is_guarded(self, plan: EpochPlan) -> bool:
        """Whether the end of a searched epoch is validated by the guard, before it is committed.

        Args:
            plan: the search of the epoch.

        Returns:
            True unless the winner has trained, and was scored at, the end of the epoch itself.
        """
        return self.policy.recover and (plan.fraction < 1.0 or self.shape.replays)

    @property
    def validation(self) -> float:
        """What one scoring of a candidate costs, in passes."""
        return self.shape.val_ratio * FORWARD

    @property
    def planned(self) -> float | None:
        """Extra passes that the whole run is to cost; None where its length is not known."""
        epochs = self.search_epochs
        if not epochs:
            return None if epochs is None else 0.0
        later = self.extra(self.epoch_plan(first=False), first=False)
        return self.extra(self.epoch_plan(first=True), first=True) + (len(epochs) - 1) * later

    def in_words(self) -> str:
        """The plan with its cost, as a sentence.

        Returns:
            The words.
        """
        first, later = self.epoch_plan(first=True), self.epoch_plan(first=False)
        text = f"policy {self.policy.name!r}: {_candidates(first)}"
        epochs = self.search_epochs
        if epochs is None:
            rest = "" if self.policy.when == "first" else f", then {_candidates(later)} a search"
            return f"{text}{rest}. The run's length is not known, so neither is the cost."
        total, planned, n_later = self.shape.epochs or 1, self.planned or 0.0, max(len(epochs) - 1, 0)
        wide = self._trained(first) if epochs else 0.0
        near = n_later * self._trained(later)
        text += f", then {n_later} searches of {_candidates(later)}" * (n_later > 0)
        shares = f"first search {wide / total:.2f}" + f", later searches {near / total:.2f}" * (n_later > 0)
        return (
            f"{text}. Estimated cost: at most {1.0 + planned / total:.2f}x a plain fit ({shares}, validation "
            f"{(planned - wide - near) / total:.2f})."
        )

    def _trained(self, plan: EpochPlan) -> float:
        # passes that candidates train beyond the epoch itself, which one of them is the beginning of
        return (plan.n_trials - (not self.shape.replays)) * plan.fraction

    def _fit(self, allowed: float) -> None:
        """Make the plan smaller until it costs no more than is allowed: the later searches rarer, the first shorter."""
        while (self.planned or 0.0) > allowed:
            policy = self.policy
            later = self.search_epochs is not None and len(self.search_epochs) > 1
            if policy.n_first > 5:
                policy = replace(policy, first_model=max(policy.first_model - 1, 0), first_random=_less(policy))
            elif policy.later_candidates != "as_first" and policy.later_candidates > 3:
                policy = replace(policy, later_candidates=policy.later_candidates - 1)
            elif policy.later_share > 0.2:
                policy = replace(policy, later_share=policy.later_share / 2)
            elif later and policy.when != "every":
                policy = replace(policy, when="first")
            elif later and self.every < (self.shape.epochs or 1):
                self.every *= 2
                continue
            elif policy.first_share > 0.25:
                policy = replace(policy, first_share=policy.first_share / 2)
            elif policy.n_first > 2:
                policy = replace(policy, first_model=max(policy.first_model - 1, 0), first_random=_less(policy))
            else:
                self.policy = replace(policy, first_random=1, first_model=0, later_candidates=1, when="first")
                return
            self.policy = policy


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
            results: the candidates of the present one; none to ask whether to search at all.
            plan: the present one's plan.
            epoch: the epoch, from 0; where the run's length is not known, the cap is of the epochs until now.

        Returns:
            Whether the run stays below the cap with it, also where the winner has to be trained again.
        """
        if self._cap is None:
            return True
        allowed = self._cap * (self._plan.shape.epochs or epoch + 1)
        if self._unit == "seconds":
            return self._seconds(history, results) <= allowed * _seconds_of_a_pass(history, results)
        validation = self._plan.validation
        complete = any(result.state is TrialState.COMPLETE for result in results)
        # a whole epoch that leads is taken over; a part may have to be trained again, and so may a leader to which the
        # rule comes back
        held = complete and plan.fraction >= 1.0 and self._plan.policy.rule != "largest_within_noise"
        # its own, the guard's, that of the untrained network, and once more where no candidate has a number
        scorings = 1 + self._plan.is_guarded(plan) + (not history) + (not complete)
        present = sum(result.passes + validation for result in results) + plan.fraction + scorings * validation
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


def _less(policy: SearchPolicy) -> int:
    return policy.first_random if policy.first_model > 0 else policy.first_random - 1


def _candidates(plan: EpochPlan) -> str:
    where = "over the whole range" if plan.factor is None else f"within x{plan.factor:.2f} of the present rate"
    share = "whole epochs" if plan.fraction >= 1.0 else f"{plan.fraction:.0%} of an epoch each"
    return f"{plan.n_trials} candidate{'s' * (plan.n_trials != 1)} {where}, {share}"
