"""One multiplier moves the rates of all groups and optimizers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.optim import Adam
from torch.optim import lr_scheduler as schedulers

from lightning_gammabo.learning_rate.controller import LearningRates, LRController
from lightning_gammabo.learning_rate.param_groups import default_range
from tests.helpers.optimizers import parameter, rates_of, sgd


def test_the_first_group_above_zero_is_the_reference() -> None:
    assert LearningRates([sgd(0.1, 0.3)]).reference == 0.1
    assert LearningRates([sgd(0.0, 0.3)]).reference == 0.3
    assert LearningRates([sgd(0.0), sgd(0.2)]).reference == 0.2


def test_ratios_between_groups_and_optimizers_stay() -> None:
    optimizers = [sgd(0.1, 0.01), sgd(0.0, 0.4)]
    rates = LearningRates(optimizers)
    assert rates.set(0.3) == pytest.approx([0.3, 0.03, 0.0, 1.2], rel=1e-15)
    assert rates.current() == rates_of(*optimizers)
    assert rates_of(*optimizers)[0] == 0.3  # the reference is written as it is asked for


def test_groups_at_the_reference_rate_get_exactly_the_rate() -> None:
    assert 0.3 * (0.7 / 0.3) != 0.7  # by way of the ratio a bit would be lost
    assert LearningRates([sgd(0.3, 0.3)]).set(0.7) == [0.7, 0.7]


def test_the_present_rate_touches_nothing() -> None:
    optimizer = sgd(1, 0.1)  # an integer: it must not even become 1.0
    rate = torch.tensor(0.1)
    tensor = sgd(rate, 0.2, foreach=False)
    held = [group["lr"] for o in (optimizer, tensor) for group in o.param_groups]
    versions = rate._version
    rates = LearningRates([optimizer, tensor])
    rates.set(rates.reference)
    assert all(
        now is before
        for now, before in zip(
            (group["lr"] for o in (optimizer, tensor) for group in o.param_groups), held, strict=True
        )
    )
    assert rate._version == versions


def test_the_present_rate_comes_back_to_the_bit() -> None:
    start = [0.1, 0.1 / 3.0, 0.7e-5]
    optimizer = sgd(*start)
    rates = LearningRates([optimizer])
    rates.set(0.77)
    assert rates.set(0.1) == start


def test_a_rate_may_be_set_twice() -> None:
    rates = LearningRates([sgd(0.1, 0.2)])
    once = rates.set(0.4)
    rates.set(0.9)
    assert rates.set(0.4) == once == pytest.approx([0.4, 0.8], rel=1e-15)


def test_a_rate_that_is_a_tensor_is_filled_in_place() -> None:
    rate = torch.tensor(0.1, dtype=torch.float64)
    optimizer = Adam([{"params": [parameter()], "lr": rate}], lr=0.5, foreach=False)
    assert LearningRates([optimizer]).set(0.3) == [0.3]
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == 0.3


def test_what_is_no_optimizer_is_passed_over() -> None:
    mock, empty = SimpleNamespace(), SimpleNamespace(param_groups=[{"params": []}])
    rates = LearningRates([mock, empty, sgd(0.1)])
    assert rates.set(0.2) == [0.2]
    nothing = LearningRates([mock])
    assert nothing.reference == 0.0
    assert nothing.current() == nothing.set(0.0) == []


@pytest.mark.parametrize("by", ["initial_lr", "defaults"])
def test_a_warm_up_from_zero_is_known_by_where_it_leads(by: str) -> None:
    optimizer = sgd(0.0, 0.0)
    if by == "initial_lr":
        optimizer.param_groups[0]["initial_lr"] = 0.2
        optimizer.param_groups[1]["initial_lr"] = torch.tensor(0.25)
    rates = LearningRates([optimizer])
    assert rates.reference == (0.2 if by == "initial_lr" else 0.5)
    assert rates.set(rates.reference) == [0.0, 0.0]  # the module will move it, as in a plain run
    assert rates.set(1.0) == ([1.0, 1.25] if by == "initial_lr" else [1.0, 1.0])


def test_a_warm_up_that_is_set_aside_starts_where_it_would_have_led() -> None:
    optimizer = sgd(0.2)
    warm_up = schedulers.LambdaLR(optimizer, lambda epoch: min(1.0, epoch / 3))
    controller = LRController([warm_up], [optimizer], mode="ignore")
    assert rates_of(optimizer) == [0.0]
    rates = LearningRates([optimizer], controller)
    assert rates.reference == 0.2
    assert rates.set(0.2) == [0.2]  # nothing else will ever lift it from zero


def test_a_warm_up_under_an_annealing_starts_where_it_would_have_led() -> None:
    optimizer = sgd(0.2, 0.4)
    warm_up = schedulers.LambdaLR(optimizer, lambda epoch: min(1.0, epoch / 3))
    controller = LRController([warm_up], [optimizer], mode="anneal", annealing="cosine")
    controller.follow(0.0)
    rates = LearningRates([optimizer], controller)
    assert rates.reference == 0.2
    assert rates.set(0.2) == [0.2, 0.4]


def test_setting_through_an_annealing_moves_its_peak() -> None:
    optimizer = sgd(0.1, 0.4)
    controller = LRController([], [optimizer], mode="anneal", annealing="linear")
    controller.follow(0.0)
    controller.follow(0.5)
    rates = LearningRates([optimizer], controller)
    assert rates.reference == 0.1  # the peak
    assert rates.set(0.2) == [0.1, 0.4]
    assert (controller.peak_factor, controller.shape) == (2.0, 0.5)


class Lion(torch.optim.SGD):
    """Known by its name, as optimizers from elsewhere are."""


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (torch.optim.SGD, (1e-4, 1.0)),
        (torch.optim.Adagrad, (1e-4, 1.0)),
        (torch.optim.Adam, (1e-5, 0.1)),
        (torch.optim.AdamW, (1e-5, 0.1)),
        (torch.optim.NAdam, (1e-5, 0.1)),
        (torch.optim.RMSprop, (1e-5, 0.1)),
        (Lion, (1e-5, 0.1)),
    ],
)
def test_the_range_goes_by_the_kind_of_the_first_optimizer(kind: type, expected: tuple[float, float]) -> None:
    first = kind([parameter()], lr=0.1)
    assert default_range([first]) == default_range([first, sgd(0.1)]) == expected


def test_a_range_without_an_optimizer() -> None:
    assert default_range([]) == (1e-4, 1.0)
