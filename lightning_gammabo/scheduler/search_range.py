"""Where rates are searched: the bounds of the whole range, the neighbourhood of a later search, and the seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lightning_gammabo.bayesopt import LearningRateSpace, PlacePrior, SamplerFactory, Search, make_search
from lightning_gammabo.learning_rate.param_groups import default_range, usual_rate
from lightning_gammabo.policy import EpochPlan

__all__ = ["SearchRange"]

DECADE = 10.0
NEAR_END = 1.26
"""factor within which a rate lies at an end of the range: a tenth of a decade"""
"""least ratio between the ends of a range"""
SAME_PLACE = 0.15
"""decades within which two rates are not both worth a candidate"""
PRIOR_SCALE, PRIOR_DF = 0.5, 3.0
"""scale in decades, and degrees of freedom, of the belief about the best peak around the optimizer's usual rate"""
UNKNOWN_SCALE = 0.7
"""scale where the optimizer has no usual rate, around the configured one"""
_ROUNDING = 1e-9


class SearchRange:
    """The rates that one fit may propose.

    Args:
        min_lr: lower bound for the peak of the schedule; None for the optimizer's usual one.
        max_lr: upper bound for the peak; None for the optimizer's usual one.
        sampler: who proposes.
        seed: of the search's own randomness.
        prior: whether the usual rate of the optimizer is taken into account.
        down: whether later searches try halves of the present rate, instead of both sides of it.

    Attributes:
        max_peak: highest peak that is still proposed after divergences.
        wider: factors by which the lower and the upper end were moved apart.
    """

    def __init__(
        self,
        *,
        min_lr: float | None,
        max_lr: float | None,
        sampler: str | SamplerFactory,
        seed: int,
        prior: bool = False,
        down: bool = False,
    ) -> None:
        self.max_peak = math.inf
        self._min_lr = min_lr
        self._max_lr = max_lr
        self._sampler = sampler
        self._seed = seed
        self._prior = prior
        self._down = down
        self.wider = (1.0, 1.0)

    def bounds(self, optimizers: Sequence[Any]) -> tuple[float, float]:
        """Lower and upper bound for the peak of the schedule.

        Args:
            optimizers: the run's optimizers, whose kind decides where the user has not.

        Returns:
            The bounds; a range whose upper end a divergence or the user has set below its lower end moves down.
        """
        low, high = default_range(optimizers)
        low = low / self.wider[0] if self._min_lr is None else self._min_lr
        high = max(high * self.wider[1], DECADE * low) if self._max_lr is None else self._max_lr
        high = min(high, self.max_peak)
        return (low if low < high else high / DECADE), high

    def widen(self, best: float, optimizers: Sequence[Any], *, upwards: bool) -> bool:
        """Widen the range by a decade, once, where the best rate lies at an end that the user has not set.

        Args:
            best: the best rate so far.
            optimizers: the run's optimizers.
            upwards: whether its upper end may move as well: very few steps favour rates that are too high.

        Returns:
            Whether the range is wider now.
        """
        low, high = self.bounds(optimizers)
        below = self._min_lr is None and best / low < NEAR_END
        above = upwards and self._max_lr is None and math.isinf(self.max_peak) and high / best < NEAR_END
        if self.wider != (1.0, 1.0) or not (below or above):
            return False
        self.wider = (DECADE if below else 1.0, DECADE if above else 1.0)
        return True

    def lower(self, peak: float) -> None:
        """Propose no peak above this any more.

        Args:
            peak: the new limit, where it is below the present one.
        """
        self.max_peak = min(self.max_peak, peak)

    def proposals(
        self, epoch: int, plan: EpochPlan, current: float, *, optimizers: Sequence[Any], part: int = 0
    ) -> tuple[Search, list[float]]:
        """Who proposes an epoch's rates.

        Args:
            epoch: the epoch, from 0.
            plan: its search.
            current: the present peak.
            optimizers: the run's optimizers.
            part: how often the search of this epoch was begun anew.

        Returns:
            The search, and the rates to try before it proposes.
        """
        low, high = self.bounds(optimizers)
        around: list[float] = []
        if plan.factor is not None:
            near, far = current / plan.factor, current * plan.factor
            # a rate at an end of the range, give or take a rounding, is within it
            inside = low * (1.0 - _ROUNDING) <= current <= high * (1.0 + _ROUNDING)
            low, high = (max(low, near), min(high, far)) if inside else (near, far)
            # also below the range nothing is proposed that has diverged
            high = max(min(high, self.max_peak), current)
            # the larger first: should the last one diverge, the one before could not go on from where it stopped
            around = [rate for rate in (high, low) if not math.isclose(rate, current, rel_tol=_ROUNDING)]
            if self._down:
                # halves of the present rate: a rate that has stopped improving is too high
                around = [current * 0.5**halvings for halvings in range(1, plan.n_trials)]
                low, high = min(around, default=current / 2.0), current
        sampler, space, seed = self._sampler, LearningRateSpace(low, high), self.seed_of(epoch, part)
        options: dict[str, Any] = {}
        if sampler == "gamma" and plan.factor is not None:
            options = {"inside": 0.0}  # in a neighbourhood the best rate may as well lie at an end
        elif sampler == "gamma" and self._prior:
            options = {"prior": place_prior(optimizers, current)}
            usual = usual_rate(optimizers)
            differs = usual is not None and abs(math.log10(usual / current)) >= SAME_PLACE
            around = [usual] if usual is not None and differs and low <= usual <= high and plan.n_trials > 1 else []
        return make_search(
            sampler, space, seed=seed, n_initial=plan.n_initial, n_trials=plan.n_trials, **options
        ), around

    def seed_of(self, epoch: int, part: int = 0) -> int:
        """The seed of an epoch's search: one of its own, so that a resumed run proposes what the other would have.

        Args:
            epoch: the epoch, from 0.
            part: how often the search of this epoch was begun anew.

        Returns:
            The seed.
        """
        return int(np.random.SeedSequence([self._seed, epoch + 1_000_003 * part]).generate_state(1)[0])


def place_prior(optimizers: Sequence[Any], current: float) -> PlacePrior:
    """What is believed of the best peak before anything was tried.

    Args:
        optimizers: the run's optimizers.
        current: the configured peak.

    Returns:
        A heavy-tailed belief about the optimizer's usual rate (docs/policies_method.md), or about the configured one.
    """
    usual = usual_rate(optimizers)
    if usual is None:
        return PlacePrior(math.log10(current), UNKNOWN_SCALE, PRIOR_DF)
    return PlacePrior(math.log10(usual), PRIOR_SCALE, PRIOR_DF)
