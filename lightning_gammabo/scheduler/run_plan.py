"""One run's plan: which epochs are searched, how, and what that costs.

Cost is counted in *passes*: one is a plain pass over the training data, forward and backward. A pass over the
validation data is a forward only and counts a third of its samples' share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from lightning_gammabo.bayesopt import ListSampler, SamplerFactory, has_surrogate
from lightning_gammabo.learning_rate.annealing import LONG_RUN
from lightning_gammabo.policy import EpochPlan, SearchPolicy
from lightning_gammabo.records.run import RunShape

__all__ = ["RunPlan"]

FORWARD = 1.0 / 3.0
"""a forward pass, in units of a forward and backward pass"""
UNKNOWN_RUN = 10
"""epochs that are assumed where the length of the run is not known"""
USUAL_CANDIDATES = 4
"""candidates after which a first search usually stops by itself (docs/policies_method.md)"""
MANY = 64
"""searches from which on each later one is planned at the price of the first of them"""
LATER_MIN_STEPS = 20
"""least number of optimizer steps that a candidate of a gated later search trains"""
LEAST = 3
"""candidates that every search over the whole range trains"""
LONGER_CANDIDATES = 6
"""candidates at most of a first search that began anew with longer ones"""
LENGTHENINGS = 2
"""times that candidates are made twice as long at most; more gained nothing (docs/method/first_search.md)"""


class RunPlan:
    """Which epochs are searched, how, and what it is to cost.

    Args:
        policy: the policy that was asked for.
        shape: what is known of the run.
        cap: extra passes per plain pass that the plan may cost; None for no cap.
        sampler: who proposes the rates.

    Attributes:
        policy: the policy, reduced where the cap asks for it.
        shape: what is known of the run by now.
        every: where every epoch may be searched, each so many-th is.
        least: where the cap affords no second candidate: what the smallest search costs per plain pass; else None.
        n_listed: number of rates where they are the user's own list; None where a sampler proposes.
        may_stop: whether a first search may stop before its last candidate.
        allowed: extra passes that the cap affords in the whole run.
    """

    def __init__(
        self,
        policy: SearchPolicy,
        shape: RunShape,
        *,
        cap: float | None = None,
        sampler: str | SamplerFactory = "gamma",
    ) -> None:
        self.policy = policy
        self.shape = shape
        self.every = policy.every_n_epochs
        self.least: float | None = None
        self.n_listed = len(sampler.rates) if isinstance(sampler, ListSampler) else None
        # without a surrogate nobody knows what another candidate would gain
        self.may_stop = policy.stop_below != "never" and has_surrogate(sampler) is not False
        self._stops_usually = policy.stop_below != "never" and has_surrogate(sampler) is True
        self._start = max(policy.start_epoch, shape.begin)
        self._stop = math.inf if policy.stop_epoch == "never" else policy.stop_epoch
        if policy.when == "every" and policy.later_overhead != "unlimited":
            later = self.extra(self.epoch_plan(first=False), first=False)
            self.every = max(self.every, math.ceil(later / policy.later_overhead - 1e-9))
        self.allowed = math.inf
        if cap is not None and shape.epochs_left is not None:
            self.allowed = cap * shape.epochs_left
            self._fit(self.allowed)

    def searches(self, epoch: int) -> bool:
        """Whether an epoch is searched.

        Args:
            epoch: the epoch, from 0.

        Returns:
            Whether it is the first one of this fit, or one of those that the policy names.
        """
        if self.least is not None or epoch < self._start or epoch >= self._stop:
            return False
        if epoch == self._start:
            return True
        when = self.policy.when
        if isinstance(when, str):
            return when == "every" and (epoch - self._start) % self.every == 0
        return epoch in self._at_shares(when)

    @property
    def search_epochs(self) -> list[int] | None:
        """The epochs that will be searched; None where the length of the run is not known."""
        epochs, when = self._end, self.policy.when
        if epochs is None:
            return None
        if when == "every" and self.least is None:
            return list(range(self._start, int(min(self._stop, epochs)), self.every))
        later = [] if isinstance(when, str) else self._at_shares(when)
        return [epoch for epoch in sorted({self._start, *later}) if epoch < epochs and self.searches(epoch)]

    def epoch_plan(self, *, first: bool, epoch: int | None = None) -> EpochPlan:
        """The search of an epoch.

        Args:
            first: whether it is the first of the run.
            epoch: the epoch, from 0; None for the first one, or for the second one that is searched.

        Returns:
            Its plan, in whole batches and optimizer steps.
        """
        epochs = self.search_epochs
        number = None if epochs is None else len(epochs)
        if not isinstance(self.policy.when, str):
            number = 1 + len(self.policy.when)
        if epoch is None:
            epoch = self._start if first or not epochs or len(epochs) < 2 else epochs[1]
        plan = self.policy.epoch_plan(first=first, searches=number)
        if self.n_listed is not None:
            plan = replace(plan, wide=True, n_trials=1 + self.n_listed, factor=None)
        return self.lasting(plan, self._steps(epoch, first=first))

    def lasting(self, plan: EpochPlan, steps: int | None) -> EpochPlan:
        """A plan whose candidates train so many optimizer steps, and a cooling where there is room for it.

        Args:
            plan: the search of an epoch.
            steps: optimizer steps before the cooling; None for the whole epoch.

        Returns:
            The plan.
        """
        length, accumulate, whole = self.shape.batches, self.shape.accumulate, self.shape.epoch_steps
        if steps is None or length is None or whole is None:
            return replace(plan, share=1.0, until=None, cooling=0, cooling_share=0.0)
        if self.policy.cooling > 0.0:
            steps = min(steps, max(int(whole / (1.0 + self.policy.cooling)), 1))
        if steps >= whole:
            return replace(plan, share=1.0, until=None, cooling=0, cooling_share=0.0)
        until = steps * accumulate
        cooling = min(max(round(self.policy.cooling * steps), 1), whole - steps) if self.policy.cooling > 0.0 else 0
        cooled = min(cooling * accumulate, length - until)
        return replace(plan, share=until / length, until=until, cooling=cooling, cooling_share=cooled / length)

    def longer(self, plan: EpochPlan) -> EpochPlan | None:
        """A plan whose candidates train twice as long, or as long as the epoch has room for.

        Args:
            plan: the search of an epoch.

        Returns:
            The plan; None where the epoch has no room for longer candidates, where they were made longer twice, or
            train a set part of it.
        """
        shortest = self.epoch_plan(first=True).until
        if plan.until is None or shortest is None or self.policy.first_share == "epoch" or plan.n_trials < LEAST:
            return None
        if plan.until >= 2**LENGTHENINGS * shortest:
            return None
        # of a list all rates are tried again
        most = LONGER_CANDIDATES if self.n_listed is None else plan.n_trials
        fewer = replace(plan, n_trials=min(plan.n_trials, most))
        longer = self.lasting(fewer, 2 * plan.until // self.shape.accumulate)
        return longer if longer.until is not None and longer.until > plan.until else None

    def extra(self, plan: EpochPlan, *, first: bool) -> float:
        """What a search costs at most beyond the epoch itself.

        Args:
            plan: the search.
            first: whether it is the first of the run, which validates the untrained network as well.

        Returns:
            Passes, validation included.
        """
        return self.trained(plan) + (plan.n_trials + first) * self.validation

    def trained(self, plan: EpochPlan) -> float:
        """Training passes of :meth:`extra`.

        Args:
            plan: the search.

        Returns:
            What candidates train beyond the epoch itself, of which the chosen one is the beginning.
        """
        goes_on = not (self.shape.replays or (self.shape.lived and plan.share < 1.0))
        return plan.n_trials * (plan.share + plan.cooling_share) - goes_on * plan.share

    def is_watched(self, plan: EpochPlan) -> bool:
        """Whether the end of a searched epoch is validated before it is committed.

        Args:
            plan: the search of the epoch.

        Returns:
            True unless the chosen candidate has trained, and was scored at, the end of the epoch itself.
        """
        return self.policy.recover and (plan.share < 1.0 or self.shape.replays)

    @property
    def validation(self) -> float:
        """What one scoring of a candidate costs, in passes; 0 where it is not known yet."""
        return (self.shape.val_ratio or 0.0) * FORWARD

    @property
    def ceiling(self) -> float | None:
        """Extra passes that the whole run costs at most where candidates are made longer; None as :attr:`planned`."""
        plan, planned, short, least = self.epoch_plan(first=True), self.planned, 0.0, LEAST
        if planned is None or not self.search_epochs:
            return planned
        most = first = self.extra(plan, first=True)
        while (longer := self.longer(plan)) is not None:
            short += least * (plan.share + plan.cooling_share + self.validation)
            most, plan, least = max(most, short + self.extra(longer, first=True)), longer, LEAST - 1
        return min(planned + most - first, max(planned, self.allowed))

    @property
    def planned(self) -> float | None:
        """Extra passes that the whole run costs at most, but for longer candidates; None without a known length."""
        epochs = self.search_epochs
        if not epochs:
            return None if epochs is None else 0.0
        later = sum(self.extra(plan, first=False) for plan in self.later_plans)
        return self.extra(self.epoch_plan(first=True), first=True) + later

    @property
    def usual(self) -> float | None:
        """Extra passes where the first search stops early and the present rate improves; None where that is unknown."""
        epochs = self.search_epochs
        if not epochs or (self.may_stop and not self._stops_usually):
            return None
        first, later = self.epoch_plan(first=True), self.later_plans
        if self.may_stop:
            first = replace(first, n_trials=min(first.n_trials, USUAL_CANDIDATES))
        if self.policy.later_gate != "off":
            later = [replace(plan, n_trials=1) for plan in later]
        return self.extra(first, first=True) + sum(self.extra(plan, first=False) for plan in later)

    @property
    def later_plans(self) -> list[EpochPlan]:
        """The searches after the first one; of many as many as the first of them, which is the longest."""
        epochs = self.search_epochs or []
        if len(epochs) > MANY:
            return [self.epoch_plan(first=False, epoch=epochs[1])] * (len(epochs) - 1)
        return [self.epoch_plan(first=False, epoch=epoch) for epoch in epochs[1:]]

    @property
    def _end(self) -> int | None:
        left = self.shape.epochs_left
        return None if left is None else self.shape.begin + math.ceil(left - 1e-9)

    def _at_shares(self, when: Sequence[float]) -> list[int]:
        left = self.shape.epochs_left
        # the gate looks for overfitting, which few passes over the data do not bring
        if left is None or (self.policy.later_gate != "off" and left <= LONG_RUN):
            return []
        return [self.shape.begin + round(float(share) * left) for share in when]

    def _steps(self, epoch: int, *, first: bool) -> int | None:
        # optimizer steps of a candidate; None for the whole epoch
        share = self.policy.first_share if first else self.policy.later_share
        whole = self.shape.epoch_steps
        if share == "epoch" or whole is None:
            return None
        left = self.shape.steps_left(epoch)
        left = UNKNOWN_RUN * whole if left is None else left
        gated = not first and self.policy.later_gate != "off"
        least = min(self.policy.min_steps, LATER_MIN_STEPS) if gated else self.policy.min_steps
        return max(math.ceil(share * left - 1e-9), least)

    def _fit(self, allowed: float) -> None:
        """Reduce the plan until it costs no more than is allowed: fewer candidates, rarer and shorter searches."""
        while (self.planned or 0.0) > allowed:
            policy, epochs = self.policy, self.search_epochs
            later = epochs is not None and len(epochs) > 1
            if policy.n_first > 4:
                policy = _with_fewer(policy)
            elif later and not isinstance(policy.when, str) and len(policy.when) > 1:
                policy = replace(policy, when=policy.when[::2])
            elif later and not isinstance(policy.when, str):
                policy = replace(policy, when="first")
            elif later and self.every < (self._end or 1):
                self.every *= 2
                continue
            elif policy.first_share != "epoch" and self.epoch_plan(first=True).share < 1.0 and policy.min_steps > 10:
                policy = replace(policy, first_share=policy.first_share / 2, min_steps=policy.min_steps // 2)
            elif policy.n_first > 2:
                policy = _with_fewer(policy)
            else:
                if self.n_listed is None:  # of a list as many rates are tried as the cap affords
                    self.least = (self.planned or 0.0) / (self.shape.epochs_left or 1)
                return
            self.policy = policy


def _with_fewer(policy: SearchPolicy) -> SearchPolicy:
    # one candidate less in the first search
    if policy.first_model > 0:
        return replace(policy, first_model=policy.first_model - 1)
    return replace(policy, first_random=policy.first_random - 1)
