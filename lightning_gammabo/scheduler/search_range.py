"""Where rates are searched: the bounds of the whole range, the neighbourhood of a later search, and the seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lightning_gammabo.bayesopt import LearningRateSpace, ListSampler, SamplerFactory, Search, make_search
from lightning_gammabo.learning_rate.param_groups import default_range
from lightning_gammabo.policy import EpochPlan

__all__ = ["SearchRange"]

DECADE = 10.0
"""least ratio between the ends of a range"""
_ROUNDING = 1e-9


class SearchRange:
    """The rates that one fit may propose.

    Args:
        min_lr: lower bound for the peak of the schedule; None for the optimizer's usual one.
        max_lr: upper bound for the peak; None for the optimizer's usual one.
        sampler: who proposes.
        seed: of the search's own randomness.

    Attributes:
        max_peak: highest peak that is still proposed after divergences.
    """

    def __init__(self, *, min_lr: float | None, max_lr: float | None, sampler: str | SamplerFactory, seed: int) -> None:
        self.max_peak = math.inf
        self._min_lr = min_lr
        self._max_lr = max_lr
        self._sampler = sampler
        self._seed = seed

    @property
    def n_listed(self) -> int | None:
        """Number of rates where they are the user's own list; None where a sampler proposes."""
        return len(self._sampler.rates) if isinstance(self._sampler, ListSampler) else None

    def bounds(self, optimizers: Sequence[Any]) -> tuple[float, float]:
        """Lower and upper bound for the peak of the schedule.

        Args:
            optimizers: the run's optimizers, whose kind decides where the user has not.

        Returns:
            The bounds; a range whose upper end a divergence or the user has set below its lower end moves down.
        """
        low, high = default_range(optimizers)
        low = low if self._min_lr is None else self._min_lr
        high = max(high, DECADE * low) if self._max_lr is None else self._max_lr
        high = min(high, self.max_peak)
        return (low if low < high else high / DECADE), high

    def lower(self, peak: float) -> None:
        """Propose no peak above this any more.

        Args:
            peak: the new limit, where it is below the present one.
        """
        self.max_peak = min(self.max_peak, peak)

    def proposals(
        self, epoch: int, plan: EpochPlan, current: float, *, annealing: float, optimizers: Sequence[Any]
    ) -> tuple[Search, list[float]]:
        """Who proposes an epoch's rates.

        Args:
            epoch: the epoch, from 0.
            plan: its search.
            current: the rate that the optimizer would use now.
            annealing: annealing factor now, 1 at the peak.
            optimizers: the run's optimizers.

        Returns:
            The search, and the rates to try before it proposes.
        """
        low, high = (rate * annealing for rate in self.bounds(optimizers))
        around: list[float] = []
        if plan.factor is not None:
            near, far = current / plan.factor, current * plan.factor
            # a rate at an end of the range, give or take a rounding, is within it
            inside = low * (1.0 - _ROUNDING) <= current <= high * (1.0 + _ROUNDING)
            low, high = (max(low, near), min(high, far)) if inside else (near, far)
            # also below the range nothing is proposed that has diverged
            high = max(min(high, self.max_peak * annealing), current)
            # the larger first: should the last one diverge, the one before could not go on from where it stopped
            around = [rate for rate in (high, low) if not math.isclose(rate, current, rel_tol=_ROUNDING)]
        sampler, space, seed = self._sampler, LearningRateSpace(low, high), self.seed_of(epoch)
        if isinstance(sampler, ListSampler):
            sampler = ListSampler([rate * annealing for rate in sampler.rates])
        # in a neighbourhood the best rate may as well lie at an end
        options: dict[str, Any] = {"inside": 0.0} if around and sampler == "gamma" else {}
        return make_search(
            sampler, space, seed=seed, n_initial=plan.n_initial, n_trials=plan.n_trials, **options
        ), around

    def seed_of(self, epoch: int) -> int:
        """The seed of an epoch's search: one of its own, so that a resumed run proposes what the other would have.

        Args:
            epoch: the epoch, from 0.

        Returns:
            The seed.
        """
        return int(np.random.SeedSequence([self._seed, epoch]).generate_state(1)[0])
