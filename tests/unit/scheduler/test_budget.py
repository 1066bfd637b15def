"""The cap, as the run goes: it is never exceeded."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_gammabo.policy import SearchPolicy
from lightning_gammabo.records import EpochRecord, Result, TrialState
from lightning_gammabo.records.run import RunShape
from lightning_gammabo.scheduler.arguments import Cap
from lightning_gammabo.scheduler.budget import Budget
from lightning_gammabo.scheduler.run_plan import RunPlan
from tests.unit.scheduler.plans import POLICY, SHAPES, part, plan_of


def run(
    plan: RunPlan, cap: float, dice: random.Random, *, complete: float, cut: bool, length: int | None = None
) -> tuple[float, float]:
    """Spends as a fit would: candidates that come to their end, are cut short, are lost at the very end."""
    budget = Budget(Cap(cap), plan)
    validation = plan.shape.val_ratio / 3.0
    history: list[EpochRecord] = []
    epochs = plan.shape.epochs or length or 0
    for epoch in range(epochs):
        searched = plan.epoch_plan(first=not history)
        if not plan.searches(epoch) or not budget.affords(history, [], searched, epoch):
            continue
        results: list[Result] = []
        while len(results) < searched.n_trials and (not results or budget.affords(history, results, searched, epoch)):
            results.append(spent(len(results), searched.share + searched.cooling_share, dice, complete, cut))
        ended = [result for result in results if result.state is TrialState.COMPLETE]
        kept = bool(ended) and not plan.shape.replays
        if searched.share < 1.0 or plan.policy.rule == "largest":
            kept = kept and dice.random() < 0.5
        rest = 1.0 - searched.share if kept else 1.0
        record = EpochRecord(
            epoch=epoch,
            results=tuple(results),
            chosen_number=ended[0].number if ended else None,
            reason="",
            train_passes=sum(result.passes for result in results) + rest,
            scorings=len(ended) + (not history),
        )
        history.append(record)
    return sum(record.extra_passes(validation) for record in history), cap * epochs


def spent(number: int, fraction: float, dice: random.Random, complete: float, cut: bool) -> Result:
    done = dice.random() < complete
    passes = fraction * (1.0 if done or not cut else dice.random())
    state = TrialState.COMPLETE if done else dice.choice([TrialState.DIVERGED, TrialState.PRUNED, TrialState.FAILED])
    return Result(number=number, lr=0.1, state=state, score=1.0 if done else None, passes=passes)


@settings(deadline=None, derandomize=True, max_examples=400)
@given(
    policy=POLICY,
    shape=SHAPES,
    cap=st.floats(0.0, 3.0),
    seed=st.integers(0, 2**32),
    complete=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    cut=st.booleans(),
    planned=st.booleans(),
)
def test_whatever_happens_the_cap_is_not_exceeded(
    policy: SearchPolicy, shape: RunShape, cap: float, seed: int, complete: float, cut: bool, planned: bool
) -> None:
    """Also where the plan was not made to fit: under ``seconds`` it is not."""
    plan = plan_of(policy, shape, cap=cap if planned else None)
    extra, allowed = run(plan, cap, random.Random(seed), complete=complete, cut=cut)
    assert extra <= allowed + 1e-9


@settings(deadline=None, derandomize=True, max_examples=100)
@given(policy=POLICY, cap=st.floats(0.0, 3.0), seed=st.integers(0, 2**32), length=st.integers(1, 30))
def test_nor_where_the_length_is_not_known(policy: SearchPolicy, cap: float, seed: int, length: int) -> None:
    plan = plan_of(policy, RunShape(epochs=None, batches=100, val_ratio=0.2), cap=cap)
    extra, allowed = run(plan, cap, random.Random(seed), complete=0.8, cut=True, length=length)
    assert extra <= allowed + 1e-9


def test_without_a_cap_everything_is_afforded() -> None:
    plan = plan_of()
    result = Result(number=0, lr=0.1, state=TrialState.COMPLETE, score=1.0, passes=1e9, seconds=1e9)
    assert Budget(Cap(None), plan).affords([], [result], part(0.1), 0)


def test_in_a_run_that_fits_its_plan_every_candidate_is_afforded() -> None:
    """The cap cuts nothing off a plan that it let pass, where all goes well."""
    plan = plan_of("thesis", RunShape(epochs=5, batches=100, val_ratio=0.3))
    assert plan.planned is not None
    budget = Budget(Cap(plan.planned / 5 + 1e-9), plan)
    history: list[EpochRecord] = []
    for epoch in range(5):
        searched = plan.epoch_plan(first=not history)
        results = [
            Result(number=number, lr=0.1, state=TrialState.COMPLETE, score=1.0, passes=1.0)
            for number in range(searched.n_trials)
        ]
        assert all(budget.affords(history, results[:number], searched, epoch) for number in range(1, searched.n_trials))
        record = EpochRecord(
            epoch=epoch,
            results=tuple(results),
            chosen_number=0,
            reason="",
            train_passes=12.0,
            scorings=12 + (not epoch),
        )
        history.append(record)


def timed(number: int, seconds: float, passes: float = 1.0) -> Result:
    return Result(number=number, lr=0.1, state=TrialState.COMPLETE, score=1.0, passes=passes, seconds=seconds)


def test_seconds_are_counted_with_one_more_as_long_as_the_longest() -> None:
    plan = plan_of("thesis", RunShape(epochs=2, batches=100))
    budget = Budget(Cap(2.0, "seconds"), plan)
    # a pass takes 3 seconds: 2 * 2 * 3 = 12 are allowed
    whole = plan.epoch_plan(first=True)
    assert budget.affords([], [timed(0, 3.0), timed(1, 3.0)], whole, 0)
    assert budget.affords([], [timed(0, 3.0)] * 3, whole, 0)
    assert not budget.affords([], [timed(0, 3.0)] * 4, whole, 0)
    # what earlier searches took, with what they did beside training
    record = EpochRecord(epoch=0, results=(timed(0, 3.0),), chosen_number=0, reason="", seconds=6.5)
    assert not budget.affords([record], [timed(0, 3.0)], whole, 1)
    assert budget.affords([record], [timed(0, 2.5)], whole, 1) is (6.5 + 2.5 + 2.5 <= 4.0 * 5.5 / 2)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    seconds=st.lists(st.floats(0.5, 2.0), min_size=60, max_size=60), cap=st.floats(0.5, 5.0), epochs=st.integers(2, 5)
)
def test_seconds_stay_below_the_cap(seconds: list[float], cap: float, epochs: int) -> None:
    """Beyond the epochs themselves, in passes as long as the longest; no candidate is longer than those before it."""
    plan = plan_of("thesis", RunShape(epochs=epochs, batches=100))
    budget = Budget(Cap(cap, "seconds"), plan)
    history: list[EpochRecord] = []
    for epoch in range(epochs):
        searched = plan.epoch_plan(first=not history)
        times = sorted(seconds[epoch * 12 : epoch * 12 + 12], reverse=True)
        if history and not budget.affords(history, [], searched, epoch):
            continue
        results = [timed(0, times[0])]
        while len(results) < 12 and budget.affords(history, results, searched, epoch):
            results.append(timed(len(results), times[len(results)]))
        total = sum(result.seconds for result in results)
        history.append(EpochRecord(epoch=epoch, results=tuple(results), chosen_number=0, reason="", seconds=total))
    trained = [result.seconds for record in history for result in record.results]
    spent_seconds = sum(record.seconds for record in history)
    # the first candidate of a search is the epoch itself
    mandatory = sum(record.results[0].seconds for record in history)
    assert spent_seconds - mandatory <= cap * epochs * max(trained)
