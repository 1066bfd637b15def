"""Who writes a fit's rates, and what every epoch was trained with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from torch.optim import lr_scheduler as schedulers

from lightning_gammabo.records import EpochRate
from lightning_gammabo.scheduler.run_rates import RunRates
from tests.helpers.optimizers import rates_of, sgd
from tests.helpers.runs import NotedMessages, trainer


def rates(annealing: str = "auto", lr_schedulers: str | None = None) -> tuple[RunRates, NotedMessages]:
    told = NotedMessages()
    return RunRates(annealing, lr_schedulers, told), told  # type: ignore[arg-type]


def taken(run: Any, epochs: int | None = 4, **arguments: Any) -> tuple[RunRates, NotedMessages]:
    fit, told = rates(**arguments)
    fit.watch(run, epochs=epochs)
    fit.take_over(run, epochs=epochs)
    return fit, told


# ---- whose the rates are


@pytest.mark.parametrize(
    ("arguments", "scheduled", "epochs", "mode", "annealing"),
    [
        ({}, False, 4, "anneal", "linear"),
        ({}, False, None, "anneal", "plateau"),
        ({}, True, 4, "scale", "scheduler"),
        ({}, True, None, "scale", "scheduler"),
        ({"annealing": "cosine"}, True, 4, "anneal", "cosine"),
        ({"annealing": "linear"}, False, 4, "anneal", "linear"),
        ({"annealing": "linear"}, False, None, "anneal", "plateau"),
        ({"annealing": "constant"}, False, 4, "ignore", "constant"),
        ({"annealing": "constant"}, True, None, "ignore", "constant"),
        ({"annealing": "plateau"}, True, 4, "anneal", "plateau"),
        ({"annealing": "plateau"}, False, None, "anneal", "plateau"),
        ({"annealing": "scheduler"}, True, 4, "scale", "scheduler"),
        ({"lr_schedulers": "override"}, True, 4, "anneal", "linear"),
        ({"lr_schedulers": "override"}, True, None, "anneal", "plateau"),
        ({"lr_schedulers": "scale"}, True, 4, "scale", "scheduler"),
        ({"lr_schedulers": "error"}, False, 4, "anneal", "linear"),
        ({"annealing": "configured"}, True, 4, "scale", "scheduler"),
        ({"annealing": "configured"}, False, None, "ignore", "constant"),
        ({"annealing": "constant", "lr_schedulers": "scale"}, True, 4, "scale", "scheduler"),
    ],
)
def test_what_the_rates_follow(
    arguments: dict[str, Any], scheduled: bool, epochs: int | None, mode: str, annealing: str
) -> None:
    optimizer = sgd(0.1)
    scheduler = schedulers.ExponentialLR(optimizer, 0.5) if scheduled else None
    fit, messages = taken(trainer(optimizer, scheduler), epochs=epochs, **arguments)
    assert fit.controller is not None
    assert (fit.controller.mode, fit.annealing) == (mode, annealing)
    assert fit.taken_over
    aside = scheduled and mode != "scale"
    assert [("ExponentialLR set aside from epoch 0 on" in said) for said in messages.warned] == [True] * aside
    not_known = epochs is None and mode == "anneal" and arguments.get("annealing") != "plateau"
    scaled = ["ExponentialLR keeps its shape from epoch 0 on; the search scales it"] * (scheduled and not aside)
    assert messages.informed[: len(scaled)] == scaled
    unknown = ["the length of the run is not known" in said for said in messages.informed[len(scaled) :]]
    assert unknown == [True] * not_known


def test_an_annealing_without_an_end_is_named() -> None:
    _, messages = taken(trainer(max_epochs=-1), epochs=None, annealing="linear")
    assert messages.informed == [
        "the length of the run is not known, so annealing='linear' has no end to lead to: the rate is lowered where "
        "the loss stalls"
    ]


def test_before_the_first_search_nothing_is_written() -> None:
    optimizer = sgd(0.2)
    warm_up = schedulers.LambdaLR(optimizer, lambda epoch: 0.5)
    fit, _ = rates(lr_schedulers="override")
    fit.watch(trainer(optimizer, warm_up), epochs=4)
    assert rates_of(optimizer) == [0.1]
    assert not fit.taken_over
    assert type(warm_up) is schedulers.LambdaLR
    assert fit.state_dict()["controller"] is None
    fit.take_over(trainer(optimizer, warm_up), epochs=4)
    assert rates_of(optimizer) == [0.2]
    fit.release()
    fit.release()
    assert type(warm_up) is schedulers.LambdaLR
    assert fit.controller is None
    assert fit.annealing_value == 1.0


def test_an_annealing_begins_at_the_first_search() -> None:
    optimizer = sgd(0.2)
    fit, _ = taken(trainer(optimizer, current_epoch=2), annealing="linear")
    assert rates_of(optimizer) == [0.2]
    assert fit.controller is not None
    fit.controller.follow(0.75)
    assert rates_of(optimizer) == [0.1]


# ---- what every epoch had


def train(fit: RunRates, run: Any, epoch: int) -> None:
    assert fit.controller is not None
    run.current_epoch = epoch
    for batch in range(run.num_training_batches):
        fit.controller.on_train_batch_start(run, None, None, batch)
        fit.controller.on_train_batch_end(run, None, None, None, batch)
    fit.note_epoch(epoch)


def test_every_epoch_is_noted() -> None:
    run = trainer(max_epochs=2)
    fit, _ = taken(run, epochs=2, annealing="linear")
    train(fit, run, 0)
    assert fit.controller is not None
    fit.controller.rescale(2.0)
    train(fit, run, 1)
    assert [(rate.epoch, rate.steps) for rate in fit.by_epoch] == [(0, 10), (1, 10)]
    assert [rate.start for rate in fit.by_epoch] == pytest.approx([0.1, 0.1])
    assert [rate.end for rate in fit.by_epoch] == pytest.approx([0.1 * 0.55, 0.2 * 0.05])
    assert [rate.peak for rate in fit.by_epoch] == pytest.approx([0.1, 0.2])


def test_epochs_before_the_first_search_are_noted_as_well() -> None:
    run = trainer(sgd(0.3))
    fit, _ = rates()
    fit.watch(run, epochs=4)
    train(fit, run, 0)
    assert fit.by_epoch == [EpochRate(epoch=0, start=0.3, end=0.3, steps=10, peak=0.3)]


def test_an_epoch_without_batches_has_no_rate_and_one_that_is_trained_again_has_one() -> None:
    run = trainer()
    fit, _ = taken(run, annealing="constant")
    fit.note_epoch(0)
    assert fit.by_epoch == []
    for epoch in (0, 1, 1):
        train(fit, run, epoch)
    assert [rate.epoch for rate in fit.by_epoch] == [0, 1]
    rates()[0].note_epoch(0)  # outside of a fit


# ---- a run that lost ground


@pytest.mark.parametrize("annealing", ["linear", "constant"])
@pytest.mark.parametrize("returned_to", [None, 0])
def test_what_remains_of_the_schedule_is_halved_and_the_next_epoch_says_so(
    annealing: Any, returned_to: int | None
) -> None:
    run = trainer(sgd(0.2, 0.8))
    fit, _ = taken(run, annealing=annealing)
    fit.scale(0.5, returned_to=returned_to)
    assert rates_of(*run.optimizers) == pytest.approx([0.1, 0.4], rel=1e-12)
    resumed, _ = rates(annealing=annealing)
    resumed.load_state_dict(json.loads(json.dumps(fit.state_dict())))
    resumed.watch(run, epochs=4)
    for epoch in (0, 1):
        train(resumed, run, epoch)
    assert [rate.returned_to for rate in resumed.by_epoch] == [returned_to, None]


# ---- what a resumed run needs


def test_a_resumed_fit_has_the_rates_of_the_stopped_one() -> None:
    run = trainer(sgd(0.1, 0.4))
    fit, _ = taken(run, annealing="linear")
    assert fit.controller is not None
    fit.controller.rescale(1.5)
    train(fit, run, 0)
    state = fit.state_dict()

    resumed, messages = rates(annealing="linear")
    resumed.load_state_dict(state)
    assert resumed.by_epoch == fit.by_epoch
    again = trainer(sgd(*rates_of(run.optimizers[0])), current_epoch=1)
    resumed.watch(again, epochs=4)
    run.current_epoch = 1
    assert resumed.taken_over
    assert resumed.controller is not None
    assert rates_of(*again.optimizers) == rates_of(*run.optimizers)
    assert resumed.controller.state_dict() == fit.controller.state_dict()
    assert resumed.state_dict()["controller"] == fit.state_dict()["controller"]
    assert messages.informed == []


def test_a_state_before_the_first_search_is_one_too() -> None:
    fit, _ = rates()
    fit.watch(trainer(), epochs=4)
    resumed, _ = rates()
    resumed.load_state_dict(fit.state_dict())
    resumed.watch(trainer(), epochs=4)
    assert not resumed.taken_over
    assert resumed.state_dict() == {
        "by_epoch": [],
        "returned_to": None,
        "controller": None,
    }


def test_after_a_fit_its_state_is_still_there() -> None:
    fit, _ = taken(trainer(), annealing="linear")
    state = fit.state_dict()
    fit.release()
    assert fit.state_dict() == state
