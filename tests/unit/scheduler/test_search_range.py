"""Whose a fit's rates are, in which range they are searched, and what every epoch had."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as schedulers

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.policy import EpochPlan
from lightning_gammabo.records import EpochRate, EpochRecord, Result, TrialState
from lightning_gammabo.scheduler.search_range import FitRates
from tests.helpers.optimizers import parameter, rates_of, sgd

COMPLETE, DIVERGED, FAILED = TrialState.COMPLETE, TrialState.DIVERGED, TrialState.FAILED
WIDE = EpochPlan(wide=True, n_initial=2, n_trials=4, fraction=1.0, factor=None)
NEAR = EpochPlan(wide=False, n_initial=3, n_trials=3, fraction=0.1, factor=2.0)


class Voice:
    def __init__(self) -> None:
        self.informed: list[str] = []
        self.warned: list[str] = []

    def inform(self, message: str) -> None:
        self.informed.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)


def trainer(optimizer: Any = None, scheduler: Any = None, **given: Any) -> Any:
    run = {"max_epochs": 4, "max_steps": -1, "num_training_batches": 10, "current_epoch": 0, "global_step": 0}
    optimizers = [optimizer if optimizer is not None else sgd(0.1)]
    configs = [SimpleNamespace(scheduler=scheduler)] if scheduler is not None else []
    return SimpleNamespace(optimizers=optimizers, lr_scheduler_configs=configs, **(run | given))


def rates(policy: str = "epochwise", **arguments: Any) -> tuple[FitRates, Voice]:
    voice = Voice()
    return FitRates(GammaLRSearch(policy, **arguments)._settings, voice), voice  # type: ignore[arg-type]


def taken(run: Any, policy: str = "epochwise", epochs: int | None = 4, **arguments: Any) -> tuple[FitRates, Voice]:
    fit, voice = rates(policy, **arguments)
    fit.watch(run, epochs=epochs)
    fit.take_over(run, epochs=epochs)
    return fit, voice


# ---- whose the rates are


@pytest.mark.parametrize(
    ("arguments", "scheduled", "epochs", "mode", "anchor"),
    [
        ({}, False, 4, "anchor", "linear"),
        ({}, False, None, "anchor", "plateau"),
        ({}, True, 4, "scale", "scheduler"),
        ({}, True, None, "scale", "scheduler"),
        ({"anchor": "cosine"}, True, 4, "anchor", "cosine"),
        ({"anchor": "linear"}, False, 4, "anchor", "linear"),
        ({"anchor": "linear"}, False, None, "anchor", "plateau"),
        ({"anchor": "constant"}, False, 4, "aside", "constant"),
        ({"anchor": "constant"}, True, None, "aside", "constant"),
        ({"anchor": "plateau"}, True, 4, "anchor", "plateau"),
        ({"anchor": "plateau"}, False, None, "anchor", "plateau"),
        ({"anchor": "scheduler"}, True, 4, "scale", "scheduler"),
        ({"lr_schedulers": "override"}, True, 4, "anchor", "linear"),
        ({"lr_schedulers": "override"}, True, None, "anchor", "plateau"),
        ({"lr_schedulers": "scale"}, True, 4, "scale", "scheduler"),
        ({"lr_schedulers": "error"}, False, 4, "anchor", "linear"),
        ({"policy": "thesis"}, True, 4, "aside", "constant"),
        ({"policy": "thesis", "lr_schedulers": "scale"}, True, 4, "scale", "scheduler"),
    ],
)
def test_what_the_rates_follow(
    arguments: dict[str, Any], scheduled: bool, epochs: int | None, mode: str, anchor: str
) -> None:
    optimizer = sgd(0.1)
    scheduler = schedulers.ExponentialLR(optimizer, 0.5) if scheduled else None
    fit, voice = taken(trainer(optimizer, scheduler), epochs=epochs, **arguments)
    assert fit.guard is not None
    assert (fit.guard.mode, fit.anchor) == (mode, anchor)
    assert fit.taken_over
    aside = scheduled and mode != "scale"
    assert [("ExponentialLR set aside from epoch 0 on" in said) for said in voice.warned] == [True] * aside
    not_known = epochs is None and mode == "anchor" and arguments.get("anchor") != "plateau"
    assert ["the length of the run is not known" in said for said in voice.informed] == [True] * not_known


def test_an_anchor_without_an_end_is_named() -> None:
    _, voice = taken(trainer(max_epochs=-1), epochs=None, anchor="linear")
    assert voice.informed == [
        "the length of the run is not known, so anchor='linear' has no end to lead to: the rate is lowered where the "
        "loss stalls"
    ]


def test_before_the_first_search_nothing_is_written() -> None:
    optimizer = sgd(0.2)
    warm_up = schedulers.LambdaLR(optimizer, lambda epoch: 0.5)
    fit, _ = rates(lr_schedulers="override")
    fit.watch(trainer(optimizer, warm_up), epochs=4)
    assert rates_of(optimizer) == [0.1]
    assert not fit.taken_over
    assert type(warm_up) is schedulers.LambdaLR
    assert fit.state_dict()["guard"] is None
    fit.take_over(trainer(optimizer, warm_up), epochs=4)
    assert rates_of(optimizer) == [0.2]
    fit.release()
    fit.release()
    assert type(warm_up) is schedulers.LambdaLR
    assert fit.guard is None
    assert fit.anchor_value == 1.0


def test_an_anchor_begins_at_the_first_search() -> None:
    optimizer = sgd(0.2)
    fit, _ = taken(trainer(optimizer, current_epoch=2), anchor="linear")
    assert rates_of(optimizer) == [0.2]
    assert fit.guard is not None
    fit.guard.follow(0.75)
    assert rates_of(optimizer) == [0.1]


# ---- in which range


def bounds(fit: FitRates, plan: EpochPlan = WIDE, current: float = 0.1) -> tuple[float, float]:
    search, _ = fit.proposals(0, plan, current)
    return search.space.low, search.space.high


@pytest.mark.parametrize(
    ("arguments", "low", "high"),
    [
        ({}, 1e-4, 1.0),
        ({"lr_min": 1e-2}, 1e-2, 1.0),
        ({"lr_max": 0.5}, 1e-4, 0.5),
        ({"lr_min": 3.0}, 3.0, 30.0),
        ({"lr_max": 1e-5}, 1e-6, 1e-5),
        ({"lr_min": 0.02, "lr_max": 0.03}, 0.02, 0.03),
    ],
)
def test_the_whole_range(arguments: dict[str, Any], low: float, high: float) -> None:
    fit, _ = taken(trainer(), **arguments)
    assert bounds(fit) == pytest.approx((low, high), rel=1e-12)


def test_the_range_of_an_adaptive_optimizer() -> None:
    fit, _ = taken(trainer(torch.optim.AdamW([parameter()], lr=1e-3)))
    assert bounds(fit) == pytest.approx((1e-5, 0.1), rel=1e-12)


def test_the_range_is_that_of_the_height_of_the_anchor() -> None:
    fit, _ = taken(trainer(), anchor="linear")
    assert fit.guard is not None
    fit.guard.follow(0.75)
    assert bounds(fit) == pytest.approx((0.25e-4, 0.25), rel=1e-12)


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
    fit, _ = taken(trainer())
    search, first = fit.proposals(3, NEAR, current)
    assert (search.space.low, search.space.high) == pytest.approx((low, high), rel=1e-9)
    assert first == pytest.approx(around, rel=1e-9)


def test_candidates_that_are_listed_come_after_the_present_rate() -> None:
    fit, _ = taken(trainer(), candidates=[0.3, 0.4])
    search, around = fit.proposals(0, WIDE, 0.1)
    assert around == []
    assert [search.ask().lr for _ in range(2)] == [0.3, 0.4]


def test_each_epoch_has_a_seed_of_its_own() -> None:
    fit, _ = rates(seed=3)
    seeds = [fit.seed_of(epoch) for epoch in range(50)]
    assert len(set(seeds)) == 50
    assert seeds == [rates(seed=3)[0].seed_of(epoch) for epoch in range(50)]
    assert seeds[0] != rates(seed=4)[0].seed_of(0)


# ---- where candidates are lost


def record(*results: tuple[float, TrialState], anchor: float = 1.0, chosen: int | None = None) -> EpochRecord:
    made = tuple(
        Result(number=number, lr=lr, state=state, score=1.0 if state is COMPLETE else None, message="why")
        for number, (lr, state) in enumerate(results)
    )
    return EpochRecord(epoch=5, results=made, chosen_number=chosen, reason="because", anchor=anchor, train_passes=2.0)


def test_where_all_diverged_the_range_goes_down_and_the_last_good_rate_is_taken() -> None:
    fit, voice = taken(trainer())
    fit.note_choice(record((0.05, COMPLETE), chosen=0))
    assert fit.without_winner(record((0.4, DIVERGED), (0.2, DIVERGED), (0.01, FAILED))) == 0.05
    assert bounds(fit)[1] == pytest.approx(0.02)
    assert voice.warned == [
        "in epoch 5 because; it is trained at 5.00e-02 from the state at its start, and rates above 2.00e-02 are not "
        "proposed any more"
    ]


@pytest.mark.parametrize("good", [None, 0.3])
def test_where_none_was_good_below_them_a_tenth_is_taken(good: float | None) -> None:
    fit, _ = taken(trainer())
    if good is not None:
        fit.note_choice(record((good, COMPLETE), chosen=0))
    assert fit.without_winner(record((0.4, DIVERGED), (0.2, DIVERGED))) == pytest.approx(0.02)


def test_rates_are_measured_at_the_height_of_the_anchor() -> None:
    fit, _ = taken(trainer(), anchor="linear")
    assert fit.guard is not None
    fit.guard.follow(0.5)
    assert fit.without_winner(record((0.2, DIVERGED), anchor=0.5)) == pytest.approx(0.02)
    assert bounds(fit)[1] == pytest.approx(0.02)
    fit.guard.follow(0.0)
    assert bounds(fit)[1] == pytest.approx(0.04)


def test_a_range_that_is_lowered_below_its_beginning_goes_down_with_it() -> None:
    fit, _ = taken(trainer(), lr_min=0.1, lr_max=1.0)
    fit.without_winner(record((0.2, DIVERGED)))
    assert bounds(fit) == pytest.approx((0.002, 0.02))


def test_below_the_range_nothing_is_proposed_that_has_diverged() -> None:
    fit, _ = taken(trainer(), lr_min=0.3, lr_max=1.0)
    fit.after_rollback(record((0.4, COMPLETE), chosen=0), 0.1)
    assert bounds(fit, NEAR, current=0.15) == pytest.approx((0.075, 0.2))
    assert bounds(fit, NEAR, current=0.2) == pytest.approx((0.1, 0.2))
    assert fit.proposals(0, NEAR, 0.2)[1] == pytest.approx([0.1])


def test_where_the_present_one_failed_by_no_rates_fault_its_rate_stays() -> None:
    fit, voice = taken(trainer())
    assert fit.without_winner(record((0.4, FAILED), (0.2, DIVERGED))) == 0.4
    assert bounds(fit)[1] == 1.0
    assert voice.warned == ["in epoch 5 because; it is trained at the present rate 4.00e-01. The first one: why"]


def test_an_epoch_that_was_rolled_back_lowers_the_range() -> None:
    fit, voice = taken(trainer(), anchor="linear")
    told = fit.after_rollback(record((0.4, COMPLETE), anchor=0.5, chosen=0), 0.1)
    assert told.reason == "because; the epoch then diverged and was trained again at 1.00e-01"
    assert told.train_passes == 3.0
    assert bounds(fit)[1] == pytest.approx(0.4)  # half of 0.8, the height that diverged
    assert voice.warned == [
        "epoch 5 diverged at 4.00e-01; it was put back to its start and trained at 1.00e-01. Loggers and batch hooks "
        "have seen both"
    ]
    assert fit.without_winner(record((0.4, DIVERGED))) == 0.1  # the rate it was trained at is known to be good


# ---- what every epoch had


def train(fit: FitRates, run: Any, epoch: int) -> None:
    assert fit.guard is not None
    run.current_epoch = epoch
    for batch in range(run.num_training_batches):
        fit.guard.on_train_batch_start(run, None, None, batch)
        fit.guard.on_train_batch_end(run, None, None, None, batch)
    fit.note_epoch(epoch)


def test_every_epoch_is_noted() -> None:
    run = trainer(max_epochs=2)
    fit, _ = taken(run, epochs=2, anchor="linear")
    train(fit, run, 0)
    assert fit.guard is not None
    fit.guard.rescale(2.0)
    train(fit, run, 1)
    assert [(rate.epoch, rate.steps) for rate in fit.by_epoch] == [(0, 10), (1, 10)]
    assert [rate.start for rate in fit.by_epoch] == pytest.approx([0.1, 0.1])
    assert [rate.end for rate in fit.by_epoch] == pytest.approx([0.1 * 0.55, 0.2 * 0.05])
    assert [rate.height for rate in fit.by_epoch] == pytest.approx([0.1, 0.2])


def test_epochs_before_the_first_search_are_noted_as_well() -> None:
    run = trainer(sgd(0.3))
    fit, _ = rates()
    fit.watch(run, epochs=4)
    train(fit, run, 0)
    assert fit.by_epoch == [EpochRate(epoch=0, start=0.3, end=0.3, steps=10, height=0.3)]


def test_an_epoch_without_batches_has_no_rate_and_one_that_is_trained_again_has_one() -> None:
    run = trainer()
    fit, _ = taken(run, anchor="constant")
    fit.note_epoch(0)
    assert fit.by_epoch == []
    for epoch in (0, 1, 1):
        train(fit, run, epoch)
    assert [rate.epoch for rate in fit.by_epoch] == [0, 1]
    rates()[0].note_epoch(0)  # outside of a fit


# ---- a run that lost ground


@pytest.mark.parametrize("anchor", ["linear", "constant"])
@pytest.mark.parametrize("returned_to", [None, 0])
def test_what_remains_of_the_schedule_is_halved_and_the_next_epoch_says_so(
    anchor: Any, returned_to: int | None
) -> None:
    run = trainer(sgd(0.2, 0.8))
    fit, _ = taken(run, anchor=anchor)
    fit.halve(returned_to)
    assert rates_of(*run.optimizers) == pytest.approx([0.1, 0.4], rel=1e-12)
    resumed, _ = rates(anchor=anchor)
    resumed.load_state_dict(json.loads(json.dumps(fit.state_dict())))
    resumed.watch(run, epochs=4)
    for epoch in (0, 1):
        train(resumed, run, epoch)
    assert [rate.returned_to for rate in resumed.by_epoch] == [returned_to, None]


# ---- what a resumed run needs


def test_a_resumed_fit_has_the_rates_of_the_stopped_one() -> None:
    run = trainer(sgd(0.1, 0.4))
    fit, _ = taken(run, anchor="linear", lr_min=1e-3)
    assert fit.guard is not None
    fit.guard.rescale(1.5)
    train(fit, run, 0)
    fit.note_choice(record((0.15, COMPLETE), chosen=0))
    fit.after_rollback(record((0.4, COMPLETE), chosen=0), 0.1)
    state = fit.state_dict()

    resumed, voice = rates(anchor="linear", lr_min=1e-3)
    resumed.load_state_dict(state)
    assert resumed.by_epoch == fit.by_epoch
    again = trainer(sgd(*rates_of(run.optimizers[0])), current_epoch=1)
    resumed.watch(again, epochs=4)
    run.current_epoch = 1
    assert resumed.taken_over
    assert resumed.guard is not None
    assert rates_of(*again.optimizers) == rates_of(*run.optimizers)
    assert resumed.guard.state_dict() == fit.guard.state_dict()
    assert bounds(resumed) == bounds(fit)
    assert resumed.without_winner(record((9.0, DIVERGED))) == 0.1
    assert resumed.state_dict()["guard"] == fit.state_dict()["guard"]
    assert voice.informed == []


def test_a_state_before_the_first_search_is_one_too() -> None:
    fit, _ = rates()
    fit.watch(trainer(), epochs=4)
    resumed, _ = rates()
    resumed.load_state_dict(fit.state_dict())
    resumed.watch(trainer(), epochs=4)
    assert not resumed.taken_over
    assert resumed.state_dict() == {
        "by_epoch": [],
        "lr_max": math.inf,
        "last_good": None,
        "returned_to": None,
        "guard": None,
    }


def test_after_a_fit_its_state_is_still_there() -> None:
    fit, _ = taken(trainer(), anchor="linear")
    state = fit.state_dict()
    fit.release()
    assert fit.state_dict() == state
