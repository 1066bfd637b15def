"""What is said before a fit: the plan and its price, true for lists, samplers, caps and data without length."""

from __future__ import annotations

from typing import Any

import pytest

from lightning_gammabo import GammaLRSearch, ListSampler, SearchPolicy
from lightning_gammabo.bayesopt import GridSearch, LearningRateSpace, SamplerFactory, Search
from lightning_gammabo.policy import POLICIES as NAMED
from lightning_gammabo.records.run import RunShape
from lightning_gammabo.scheduler.announcement import announce, idle_settings, plan_in_words
from lightning_gammabo.scheduler.arguments import Cap
from lightning_gammabo.scheduler.run_plan import RunPlan
from lightning_gammabo.trainer.messages import Messages
from tests.helpers.runs import NotedMessages
from tests.unit.scheduler.plans import POLICIES, SHAPE

TINY = RunShape(epochs=3, batches=4, val_ratio=0.3)
TEN = RunShape(epochs=10, batches=1000)


def plan_of(search: GammaLRSearch, shape: RunShape = TEN) -> RunPlan:
    cap = Cap.parse(search.max_overhead)
    policy = NAMED[search.policy] if isinstance(search.policy, str) else search.policy
    return RunPlan(policy, shape, cap=cap.share if cap.unit == "passes" else None, sampler=search.sampler)


def words_of(shape: RunShape = TEN, **arguments: Any) -> str:
    search = GammaLRSearch(**arguments)
    return plan_in_words(plan_of(search, shape), search)


@pytest.mark.parametrize(
    ("policy", "shape", "words"),
    [
        (
            "epochwise",
            SHAPE,
            ": 8 candidates over the whole range, whole epochs, then 9 searches of 3 candidates within x1.59 of the "
            "present rate, 10% of an epoch each. Estimated cost: at most 2.24x a plain fit (first "
            "search 0.70, later searches 0.18, validation 0.36).",
        ),
        (
            "once",
            RunShape(epochs=4, batches=100),
            ": 8 candidates over the whole range, whole epochs. Estimated cost: at most 2.75x a plain "
            "fit (first search 1.75, validation 0.00).",
        ),
        (
            "default",
            RunShape(epochs=20, batches=1000, val_ratio=0.03),
            ": up to 7 candidates over the whole range, 80% of an epoch each, then 4 searches of 3 candidates "
            "within x4.00 of the present rate, 80% of an epoch each, rivals only where the present rate has stopped "
            "improving. Estimated cost: usually 1.20x, at most 1.67x a plain fit (first search 0.31, later searches "
            "0.35, validation 0.01).",
        ),
        (
            "default",
            RunShape(epochs=10, batches=1000),
            ": up to 7 candidates over the whole range, 50% of an epoch each. Estimated cost: usually 1.20x, at most "
            "1.39x a plain fit (first search 0.39, validation 0.00). Where learning begins late, candidates are "
            "made longer: at most 1.71x.",
        ),
        (
            "epochwise",
            RunShape(epochs=None, batches=100),
            ": 8 candidates over the whole range, whole epochs. The run's length is not known, so neither is the cost.",
        ),
        (
            "once",
            RunShape(epochs=None, batches=None),
            ": 8 candidates over the whole range, whole epochs. The run's length is not known, so neither is the cost.",
        ),
    ],
)
def test_the_plan_in_words(policy: Any, shape: RunShape, words: str) -> None:
    search = GammaLRSearch(POLICIES[policy])
    assert plan_in_words(plan_of(search, shape), search) == f"policy {POLICIES[policy].name!r}{words}"


class Own(SamplerFactory):
    def make(self, space: LearningRateSpace, *, seed: int, n_initial: int, n_trials: int) -> Search:
        return GridSearch(space, seed=seed, n_trials=n_trials)


def test_a_list_of_rates_is_priced_by_its_length() -> None:
    words = words_of(sampler=ListSampler([0.01, 0.1]))
    assert "3 candidates (the present rate and the list), 50% of an epoch each" in words
    # three of half an epoch with an eighth of cooling, of which one half goes on
    assert "Estimated cost: at most 1.14x a plain fit (first search 0.14" in words


def test_a_sampler_without_a_surrogate_trains_all_its_candidates() -> None:
    words = words_of(sampler="grid")
    assert ": 7 candidates over" in words
    assert "Estimated cost: at most 1.39x" in words


def test_what_a_sampler_of_the_users_own_does_is_not_guessed() -> None:
    words = words_of(sampler=Own())
    assert ": up to 7 candidates over" in words
    assert "Estimated cost: at most 1.39x" in words


def test_a_cap_is_part_of_the_price() -> None:
    listed = {"sampler": ListSampler([0.01, 0.1])}
    assert "at most 1.07x a plain fit" in words_of(**listed, max_overhead=0.1)
    # of a list as many rates are tried as the cap affords
    assert "3 candidates (the present rate and the list)" in words_of(TINY, **listed, max_overhead=0.1)
    assert "at most 1.10x a plain fit" in words_of(TINY, **listed, max_overhead=0.1)
    assert words_of(max_overhead=0.2).startswith("policy 'epochwise', reduced to fit max_overhead=0.2: up to ")
    assert words_of(max_overhead="30%s").endswith(" max_overhead='30%s' ends a search that would take longer.")
    assert words_of(max_overhead=0.001) == (
        "max_overhead=0.001 affords no second candidate (the smallest search costs 0.009): nothing is searched, the "
        "fit is a plain one"
    )


def test_longer_candidates_keep_to_the_cap_and_are_not_named_where_it_has_no_room_for_them() -> None:
    assert words_of().endswith("candidates are made longer: at most 1.71x.")
    assert words_of(max_overhead=0.5).endswith("candidates are made longer: at most 1.50x.")
    assert "made longer" not in words_of(TINY, sampler=ListSampler([0.01, 0.1]), max_overhead=0.1)


def test_validations_are_counted_only_where_the_data_have_a_length() -> None:
    words = words_of(RunShape(epochs=3, batches=None, val_ratio=None))
    assert "whole epochs" in words
    assert words.endswith("first search 2.00, validations not counted, since the number of samples is not known yet).")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, ""),
        ({"policy": "once"}, ""),
        ({"policy": SearchPolicy(base="once", first_model=3)}, ""),
        ({"policy": SearchPolicy(base="once", later_candidates=5)}, "later_candidates (this run has no later search)"),
        ({"policy": SearchPolicy(when=[0.5])}, "when (this run is too short for a later search)"),
        ({"policy": SearchPolicy(when="first")}, ""),
        ({"policy": SearchPolicy(every_n_epochs=2)}, "every_n_epochs (they count where when='every')"),
        ({"sampler": ListSampler([0.1]), "min_lr": 1e-3}, "min_lr (the rates are a list)"),
        (
            {"sampler": ListSampler([0.1]), "policy": SearchPolicy(first_model=9, min_steps=7)},
            "first_model (the rates are a list)",
        ),
        (
            {"sampler": "grid", "policy": SearchPolicy(stop_below=0.2)},
            "stop_below (sampler='grid' has no surrogate that knows when to stop)",
        ),
        (
            {"policy": SearchPolicy(base="thesis", cooling=0.5, n_sigma=2.0)},
            "cooling (candidates train whole epochs); n_sigma (rule='best' knows no ties)",
        ),
    ],
    ids=range(11),
)
def test_settings_that_cannot_act_are_named(arguments: dict[str, Any], said: str) -> None:
    search = GammaLRSearch(**arguments)
    assert idle_settings(plan_of(search), search) == said


def test_what_cannot_act_is_said_once_and_not_after_a_resume(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    search = GammaLRSearch(SearchPolicy(base="once", later_candidates=5))
    announce(plan_of(search), search, Messages(), epoch=3, searched=1)
    assert "Estimated cost: " not in caplog.text
    assert "without effect" not in caplog.text
    announce(plan_of(search), search, Messages())
    assert "Estimated cost: " in caplog.text
    assert "without effect in this run: later_candidates" in caplog.text


def said(plan: RunPlan, *, epoch: int = 0, searched: int = 0) -> tuple[list[str], list[str]]:
    messages = NotedMessages()
    announce(plan, GammaLRSearch(), messages, epoch=epoch, searched=searched)  # type: ignore[arg-type]
    return messages.informed, messages.warned


def test_a_policy_that_leaves_all_epochs_out_is_warned_of() -> None:
    plan = RunPlan(SearchPolicy(start_epoch=9), RunShape(epochs=6, batches=100, begin=2))
    words = "no epoch is searched: start_epoch=9, stop_epoch='never', and the epochs of the fit are 2 to 5"
    assert said(plan) == ([], [words])


def test_nothing_is_left_after_an_epoch_that_was_the_last() -> None:
    plan = RunPlan(NAMED["thesis"], RunShape(epochs=3, batches=100, begin=3))
    words = "no epoch is searched: the run ends with epoch 2, in the midst of which it goes on"
    assert said(plan, epoch=2) == ([words], [])


@pytest.mark.parametrize(
    ("policy", "epochs", "words"),
    [
        ("thesis", 5, "after 1 searched epoch; 2 more will be, from epoch 3 on"),
        ("once", 5, "after 1 searched epoch; no other search is planned"),
        ("epochwise", 40, "after 1 searched epoch; 4 more will be, from epoch 4 on"),
        ("thesis", None, "after 1 searched epoch; how many more will be searched is not known"),
    ],
)
def test_a_run_that_goes_on_says_what_is_left(policy: str, epochs: int | None, words: str) -> None:
    plan = RunPlan(NAMED[policy], RunShape(epochs=epochs, batches=100))
    assert said(plan, epoch=3, searched=1) == ([f"the run goes on at epoch 3, {words}"], [])
