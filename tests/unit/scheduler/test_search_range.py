"""Where rates are searched: the whole range, the neighbourhood of the present rate, and the seeds."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from lightning_gammabo import ListSampler
from lightning_gammabo.bayesopt import PlacePrior
from lightning_gammabo.policy import EpochPlan
from lightning_gammabo.scheduler.search_range import SearchRange, place_prior
from tests.helpers.optimizers import parameter, sgd

WIDE = EpochPlan(wide=True, n_initial=2, n_trials=4, factor=None)
NEAR = EpochPlan(wide=False, n_initial=3, n_trials=3, factor=2.0)


def range_of(**arguments: Any) -> SearchRange:
    return SearchRange(**{"min_lr": None, "max_lr": None, "sampler": "gamma", "seed": 0, **arguments})


def proposals(
    rates: SearchRange, plan: EpochPlan = WIDE, current: float = 0.1, optimizer: Any = None
) -> tuple[Any, list[float]]:
    return rates.proposals(3, plan, current, optimizers=[optimizer or sgd(0.1)])


def bounds(rates: SearchRange, *args: Any, **given: Any) -> tuple[float, float]:
    search, _ = proposals(rates, *args, **given)
    return search.space.low, search.space.high


@pytest.mark.parametrize(
    ("arguments", "low", "high"),
    [
        ({}, 1e-4, 1.0),
        ({"min_lr": 1e-2}, 1e-2, 1.0),
        ({"max_lr": 0.5}, 1e-4, 0.5),
        ({"min_lr": 3.0}, 3.0, 30.0),
        ({"max_lr": 1e-5}, 1e-6, 1e-5),
        ({"min_lr": 0.02, "max_lr": 0.03}, 0.02, 0.03),
    ],
)
def test_the_whole_range(arguments: dict[str, Any], low: float, high: float) -> None:
    assert bounds(range_of(**arguments)) == pytest.approx((low, high), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "best", "low", "high"),
    [
        ({}, 0.9, 1e-4, 10.0),
        ({}, 1.1e-4, 1e-5, 1.0),
        ({}, 0.7, 1e-4, 1.0),  # more than a tenth of a decade from the end
        ({"max_lr": 1.0}, 0.9, 1e-4, 1.0),  # the user's own end
        ({"min_lr": 1e-4}, 1.1e-4, 1e-4, 1.0),
    ],
)
def test_the_range_is_widened_once_where_the_best_rate_lies_at_an_end(
    arguments: dict[str, Any], best: float, low: float, high: float
) -> None:
    rates, before = range_of(**arguments), bounds(range_of(**arguments))
    assert rates.widen(best, [sgd(0.1)], upwards=True) is ((low, high) != pytest.approx(before))
    assert bounds(rates) == pytest.approx((low, high))
    assert not rates.widen(best, [sgd(0.1)], upwards=True)
    assert bounds(rates) == pytest.approx((low, high))


def test_a_range_is_widened_only_once() -> None:
    rates = range_of()
    assert rates.widen(0.9, [sgd(0.1)], upwards=True)
    assert not rates.widen(9.0, [sgd(0.1)], upwards=True)
    assert not rates.widen(1.1e-4, [sgd(0.1)], upwards=True)


def test_a_range_that_a_divergence_has_cut_is_not_widened() -> None:
    rates = range_of()
    rates.lower(0.5)
    assert not rates.widen(0.49, [sgd(0.1)], upwards=True)


def test_a_range_is_widened_upwards_only_where_candidates_train_enough_steps() -> None:
    assert not range_of().widen(0.9, [sgd(0.1)], upwards=False)
    assert range_of().widen(1.1e-4, [sgd(0.1)], upwards=False)


def test_the_range_of_an_adaptive_optimizer() -> None:
    assert bounds(range_of(), optimizer=torch.optim.AdamW([parameter()], lr=1e-3)) == pytest.approx(
        (1e-5, 0.1), rel=1e-12
    )


def test_the_usual_rate_of_the_optimizer_is_tried_next_where_it_is_another() -> None:
    adamw = torch.optim.AdamW([parameter()], lr=1e-3)
    assert proposals(range_of(prior=True), optimizer=adamw, current=1e-3)[1] == [10.0**-2.3]
    assert proposals(range_of(prior=True), optimizer=adamw, current=10.0**-2.3)[1] == []
    assert proposals(range_of(prior=True, max_lr=1e-3), optimizer=adamw, current=1e-4)[1] == []
    assert proposals(range_of(), optimizer=adamw, current=1e-3)[1] == []


def test_the_prior_is_about_the_usual_rate_or_about_the_configured_one() -> None:
    momentum = torch.optim.SGD([parameter()], lr=0.1, momentum=0.9)
    assert place_prior([momentum], 0.1) == PlacePrior(math.log10(10.0**-0.25 * (1.0 - 0.9)), 0.5, 3.0)
    assert place_prior([torch.optim.Adagrad([parameter()], lr=0.1)], 0.1) == PlacePrior(-1.0, 0.7, 3.0)


@pytest.mark.parametrize(("trials", "around"), [(1, []), (2, [0.05]), (3, [0.05, 0.025])])
def test_later_searches_downwards_try_halves(trials: int, around: list[float]) -> None:
    plan = EpochPlan(wide=False, n_initial=trials, n_trials=trials, factor=2.0 ** (trials - 1))
    search, first = proposals(range_of(down=True), plan)
    assert first == around
    assert search.space.high == 0.1


def test_a_search_that_begins_anew_has_another_seed() -> None:
    assert range_of().seed_of(3, 1) != range_of().seed_of(3)


@pytest.mark.parametrize(
    ("current", "low", "high", "around"),
    [
        (0.1, 0.05, 0.2, [0.2, 0.05]),
        (0.7, 0.35, 1.0, [1.0, 0.35]),
        (1.5e-4, 1e-4, 3e-4, [3e-4, 1e-4]),
        # an end of the range is within it
        (1.0, 0.5, 1.0, [0.5]),
        (1e-4, 1e-4, 2e-4, [2e-4]),
        (1.0 + 1e-15, 0.5, 1.0, [0.5]),
        # a configured rate outside of the range has a region of its own
        (5.0, 2.5, 10.0, [10.0, 2.5]),
        (1e-6, 5e-7, 2e-6, [2e-6, 5e-7]),
    ],
)
def test_a_region_around_the_present_rate(current: float, low: float, high: float, around: list[float]) -> None:
    search, first = proposals(range_of(), NEAR, current)
    assert (search.space.low, search.space.high) == pytest.approx((low, high), rel=1e-9)
    assert first == pytest.approx(around, rel=1e-9)


def test_listed_rates_are_proposed_in_their_order() -> None:
    listed = range_of(sampler=ListSampler([0.3, 0.4]))
    search, around = proposals(listed)
    assert around == []
    assert [search.ask().lr for _ in range(2)] == [0.3, 0.4]


def test_each_epoch_has_a_seed_of_its_own() -> None:
    fit = range_of(seed=3)
    seeds = [fit.seed_of(epoch) for epoch in range(50)]
    assert len(set(seeds)) == 50
    assert seeds == [range_of(seed=3).seed_of(epoch) for epoch in range(50)]
    assert seeds[0] != range_of(seed=4).seed_of(0)


def test_a_range_that_is_lowered_below_its_beginning_moves_down() -> None:
    rates = range_of(min_lr=0.1, max_lr=1.0)
    rates.lower(0.02)
    rates.lower(0.5)
    assert bounds(rates) == pytest.approx((0.002, 0.02))


def test_below_the_range_nothing_is_proposed_that_has_diverged() -> None:
    rates = range_of(min_lr=0.3, max_lr=1.0)
    rates.lower(0.2)
    assert bounds(rates, NEAR, current=0.15) == pytest.approx((0.075, 0.2))
    assert bounds(rates, NEAR, current=0.2) == pytest.approx((0.1, 0.2))
    assert proposals(rates, NEAR, 0.2)[1] == pytest.approx([0.1])
