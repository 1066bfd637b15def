"""Which epochs are searched, how, and what that costs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_gammabo.policy import SearchPolicy
from lightning_gammabo.records.run import RunShape
from lightning_gammabo.scheduler.run_plan import RunPlan
from tests.unit.scheduler.plans import FULL, NAMED, POLICIES, POLICY, SHAPE, SHAPES, plan_of

# ---- which epochs


@pytest.mark.parametrize(
    ("policy", "options", "searched"),
    [
        ("epochwise", {}, list(range(10))),
        ("epochwise", {"every_n_epochs": 3}, [0, 3, 6, 9]),
        ("epochwise", {"start_epoch": 2}, list(range(2, 10))),
        ("epochwise", {"stop_epoch": 2}, [0, 1]),
        ("epochwise", {"start_epoch": 1, "stop_epoch": 8, "every_n_epochs": 3}, [1, 4, 7]),
        ("epochwise", {"start_epoch": 20}, []),
        ("once", {}, [0]),
        ("once", {"start_epoch": 4, "every_n_epochs": 2}, [4]),
        ("adaptive", {}, [0, 3, 5, 7]),
        ("adaptive", {"every_n_epochs": 2}, [0, 3, 5, 7]),
        ("adaptive", {"start_epoch": 4, "stop_epoch": 7}, [4, 5]),
        (SearchPolicy(when=[0.26, 0.34, 0.01], later_gate="off"), {}, [0, 3]),
        ("adaptive", {"start_epoch": 12}, []),
        ("once", {"start_epoch": 10}, []),
        ("epochwise", {"start_epoch": 1, "stop_epoch": 20, "every_n_epochs": 4}, [1, 5, 9]),
    ],
)
def test_which_epochs_are_searched(policy: Any, options: dict[str, Any], searched: list[int]) -> None:
    plan = plan_of(policy, **options)
    assert plan.search_epochs == searched
    assert [epoch for epoch in range(10) if plan.searches(epoch)] == searched


@pytest.mark.parametrize(("policy", "searched"), [("epochwise", [0, 1, 2]), ("once", [0]), ("adaptive", [0])])
def test_where_the_length_is_not_known(policy: str, searched: list[int]) -> None:
    plan = plan_of(policy, RunShape(epochs=None, batches=100))
    assert plan.search_epochs is None
    assert plan.planned is None
    assert [epoch for epoch in range(3) if plan.searches(epoch)] == searched


# ---- how long a candidate trains


def test_candidates_are_made_twice_as_long_twice_at_most() -> None:
    plan = plan_of("default", RunShape(epochs=1, batches=10_000))
    first = plan.epoch_plan(first=True)
    once = plan.longer(first)
    assert once is not None
    twice = plan.longer(once)
    assert twice is not None
    assert [search.until for search in (first, once, twice)] == [500, 1000, 2000]
    assert plan.longer(twice) is None
    # three candidates, two longer ones and six of the longest, one of which goes on; a quarter more for the cooling
    assert plan.ceiling == pytest.approx((3 * 0.05 + 2 * 0.1 + 6 * 0.2) * 1.25 - 0.2)


@pytest.mark.parametrize(
    ("run", "until", "cooling"),
    [
        # a twentieth of the run, and a quarter more of it with a falling rate
        ({"epochs": 1, "batches": 10000}, 500, 125),
        ({"epochs": 3, "batches": 1000}, 150, 38),
        ({"epochs": 10, "batches": 1000}, 500, 125),
        # at least 50 steps, at most what leaves room for the cooling in the epoch
        ({"epochs": 3, "batches": 100}, 50, 12),
        ({"epochs": 100, "batches": 500}, 400, 100),
        ({"epochs": 10, "batches": 25}, 20, 5),
        # by steps
        ({"epochs": None, "batches": 20000, "max_steps": 3200}, 160, 40),
        ({"epochs": 10, "batches": 1000, "max_steps": 3200}, 160, 40),
        # whole optimizer steps
        ({"epochs": 3, "batches": 1000, "accumulate": 4}, 200, 12),
        # a run that began before
        ({"epochs": 12, "batches": 1000, "begin": 9}, 150, 38),
        # the length of the run is not known: ten epochs
        ({"epochs": None, "batches": 1000}, 500, 125),
        # the length of an epoch is not known, or there is no room
        ({"epochs": 3, "batches": None}, None, 0),
        ({"epochs": 3, "batches": 1}, None, 0),
    ],
)
def test_a_candidate_trains_a_share_of_the_run(run: dict[str, Any], until: int | None, cooling: int) -> None:
    plan = RunPlan(NAMED["epochwise"], RunShape(**run)).epoch_plan(first=True)
    assert (plan.until, plan.cooling) == (until, cooling)


@settings(deadline=None, derandomize=True)
@given(
    share=st.floats(0.0001, 1.0),
    batches=st.integers(1, 400),
    accumulate=st.integers(1, 9),
    least=st.integers(1, 20),
    cooling=st.sampled_from([0.0, 0.25, 1.0]),
)
def test_a_candidate_trains_whole_optimizer_steps_within_an_epoch(
    share: float, batches: int, accumulate: int, least: int, cooling: float
) -> None:
    policy = SearchPolicy(first_share=share, min_steps=least, cooling=cooling)
    plan = RunPlan(policy, RunShape(epochs=10, batches=batches, accumulate=accumulate)).epoch_plan(first=True)
    if plan.until is None:
        assert (plan.share, plan.cooling, plan.cooling_share) == (1.0, 0, 0.0)
        return
    assert plan.share == plan.until / batches
    assert plan.until % accumulate == 0
    assert plan.share + plan.cooling_share <= 1.0 + 1e-9
    assert (plan.cooling > 0) is (cooling > 0.0)


def test_a_later_candidate_trains_a_share_of_what_remains() -> None:
    plan = RunPlan(NAMED["epochwise"], RunShape(epochs=40, batches=1000))
    assert plan.search_epochs == [0, 4, 10, 20, 30]
    assert RunPlan(NAMED["epochwise"], RunShape(epochs=10, batches=1000)).search_epochs == [0]
    shares = [plan.epoch_plan(first=False, epoch=epoch).until for epoch in (4, 10, 20, 30)]
    assert shares == [800, 800, 800, 625]
    assert [plan.epoch_plan(first=False, epoch=epoch).n_trials for epoch in (4, 30)] == [3, 3]


def test_the_region_is_shared_by_the_searches_that_there_are() -> None:
    assert plan_of().epoch_plan(first=False).factor == pytest.approx(64.0 ** (1 / 9))
    assert plan_of(every_n_epochs=3).epoch_plan(first=False).factor == pytest.approx(2.0)
    assert plan_of("adaptive").epoch_plan(first=False).factor == pytest.approx(2.0)
    unknown = RunShape(epochs=None, batches=100)
    assert plan_of("adaptive", unknown).epoch_plan(first=False).factor == pytest.approx(2.0)
    assert plan_of("epochwise", unknown).epoch_plan(first=False).factor == pytest.approx(64.0 ** (1 / 9))


# ---- what it costs, by hand: a scoring is 0.3 / 3 = 0.1 passes

# eight whole candidates of which one is the epoch itself, nine scorings; then nine times three candidates of a tenth,
# one of which goes on, and three scorings
EPOCHWISE = (7 + 0.9) + 9 * (2 * 0.1 + 0.3)


@pytest.mark.parametrize(
    ("policy", "shape", "planned"),
    [
        ("epochwise", SHAPE, EPOCHWISE),
        ("once", SHAPE, 7 + 0.9),
        ("adaptive", SHAPE, (7 + 0.9) + 3 * (4 * 0.2 + 0.5)),
        ("thorough", SHAPE, (7 + 0.9) + 9 * (4 + 0.5)),
        ("thesis", SHAPE, (11 + 1.3) + 9 * (11 + 1.2)),
        # a replayed winner is trained once more
        ("epochwise", RunShape(epochs=10, batches=100, val_ratio=0.3, replays=True), EPOCHWISE + 1 + 9 * 0.1),
        # candidates of ten batches of twenty
        ("epochwise", RunShape(epochs=3, batches=20), 7 + 2 * (2 * 0.5)),
        ("epochwise", RunShape(epochs=1, batches=100), 7),
        # seven candidates of 50 steps and 12 of cooling, one of which goes on
        ("default", RunShape(epochs=1, batches=1000), 7 * (50 + 12) / 1000 - 50 / 1000),
        # those that live a warm-up in miniature do not go on
        ("default", RunShape(epochs=1, batches=1000, lived=True), 7 * (50 + 12) / 1000),
    ],
)
def test_the_planned_cost(policy: str, shape: RunShape, planned: float) -> None:
    assert plan_of(policy, shape).planned == pytest.approx(planned, rel=1e-12)


def test_the_cost_of_one_search() -> None:
    plan = plan_of()
    assert plan.extra(plan.epoch_plan(first=True), first=True) == pytest.approx(7 + 0.9)
    assert plan.extra(plan.epoch_plan(first=False), first=False) == pytest.approx(0.2 + 0.3)
    assert plan.validation == pytest.approx(0.1)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_run_of_many_epochs_is_planned_at_once(policy: str) -> None:
    """Runs that an early stop will end are given 100,000 epochs; going through all of them for each took hours."""
    began = time.process_time()
    plan = plan_of(policy, RunShape(epochs=100_000, batches=100, val_ratio=0.3), cap=0.01)
    assert plan.usual is not None
    assert plan.planned is not None
    assert plan.epoch_plan(first=False).share > 0.0
    assert time.process_time() - began < 5.0


# ---- searches that would cost too much for each epoch


@pytest.mark.parametrize(
    ("share", "every", "asked"),
    [("unlimited", 1, 1), (9.0, 1, 1), (0.5, 1, 1), (0.499, 2, 1), (0.2, 3, 1), (0.2, 4, 4)],
)
def test_later_searches_are_rarer_where_each_costs_more_than_its_share(share: Any, every: int, asked: int) -> None:
    # a later search costs 0.5 passes
    plan = plan_of(replace(FULL, later_overhead=share), every_n_epochs=asked)
    assert plan.every == every
    assert plan.search_epochs == list(range(0, 10, every))
    assert plan_of(replace(FULL, later_overhead=share, when=[0.2, 0.3])).search_epochs == [0, 2, 3]


# ---- a plan under a cap


@settings(deadline=None, derandomize=True, max_examples=200)
@given(policy=POLICY, shape=SHAPES, cap=st.floats(0.0, 3.0))
def test_a_plan_fits_under_its_cap_or_is_the_least_there_is(policy: SearchPolicy, shape: RunShape, cap: float) -> None:
    plan = plan_of(policy, shape, cap=cap)
    assert plan.planned is not None
    assert shape.epochs is not None
    least = plan.least is not None
    assert plan.planned <= cap * shape.epochs or least
    uncapped = plan_of(policy, shape)
    assert (plan.planned <= (uncapped.planned or 0.0)) or least


def test_a_cap_that_is_no_cap_changes_nothing() -> None:
    plan = plan_of(cap=EPOCHWISE / 10 + 1e-9)
    assert plan.policy == POLICIES["epochwise"]
    assert plan.every == 1
    assert plan_of(cap=0.1, shape=RunShape(epochs=None, batches=100)).policy == POLICIES["epochwise"]


def test_what_is_given_up_first() -> None:
    fewer = plan_of(cap=1.2)
    assert fewer.policy.n_first < 8
    assert fewer.every == 1
    rarer = plan_of(cap=0.7)
    assert rarer.policy.n_first == 4
    assert rarer.every > 1
    fixed = plan_of("adaptive", cap=0.4)
    assert fixed.policy.when == "first"


@pytest.mark.parametrize("cap", [0.0, 0.01])
def test_a_cap_that_affords_no_rival_searches_nothing_and_says_so(cap: float) -> None:
    plan = plan_of("default", RunShape(epochs=3, batches=1000, val_ratio=0.3), cap=cap)
    assert plan.least is not None
    assert plan.least > cap
    assert plan.search_epochs == []
    assert not plan.searches(0)


@pytest.mark.parametrize(
    ("epochs", "steps", "most"), [(1, 10000, 0.55), (3, 1000, 0.6), (10, 1000, 0.6), (10, 100, 0.65), (100, 500, 0.1)]
)
def test_the_first_search_costs_a_share_of_the_run(epochs: int, steps: int, most: float) -> None:
    """All seven candidates, validation apart; the same for one epoch and for many."""
    plan = RunPlan(NAMED["once"], RunShape(epochs=epochs, batches=steps))
    assert plan.planned is not None
    assert plan.planned / epochs <= most
