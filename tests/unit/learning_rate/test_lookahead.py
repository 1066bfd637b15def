"""The forecast of a run's rates, against the same scheduler stepped for real."""

from __future__ import annotations

import math
import random
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as lrs

from lightning_gammabo.learning_rate.lookahead import Forecast, look_ahead
from tests.helpers.schedulers import SCHEDULERS, image, optimizer_of

STEPS = 20


def config(scheduler: Any, interval: str = "step", frequency: int = 1, plateau: bool = False) -> Any:
    return SimpleNamespace(
        scheduler=scheduler, interval=interval, frequency=frequency, reduce_on_plateau=plateau, monitor=None
    )


def sgd(lr: float = 0.5) -> Any:
    return torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=lr, momentum=0.9)


def forecast(
    configs: list[Any], optimizer: Any, steps: int = STEPS, batches: int | None = 5, **options: Any
) -> Forecast:
    found = look_ahead(configs, [optimizer], steps=steps, batches_per_epoch=batches, **options)
    assert isinstance(found, Forecast), found
    return found


def stepped(scheduler: Any, optimizer: Any, steps: int) -> list[float]:
    seen = []
    for _ in range(steps):
        seen.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SCHEDULERS)
def test_each_step_has_the_rate_that_the_scheduler_will_write(name: str) -> None:
    optimizer = optimizer_of()
    scheduler = SCHEDULERS[name](optimizer)
    before = repr(image(scheduler, optimizer))
    found = forecast([config(scheduler)], optimizer)
    assert repr(image(scheduler, optimizer)) == before
    expected = stepped(scheduler, optimizer, STEPS)
    assert found.peak == max(expected)
    np.testing.assert_array_equal(found.multipliers, np.array(expected) / max(expected))
    assert found.configured == optimizer.param_groups[0].get("initial_lr", 0.25)


# ---- when schedulers are stepped


@pytest.mark.parametrize(
    ("interval", "frequency", "accumulate", "exponents"),
    [
        ("step", 1, 1, [0, 1, 2, 3, 4, 5, 6, 7]),
        ("step", 2, 1, [0, 0, 1, 1, 2, 2, 2, 3]),  # by batches of an epoch of five
        ("step", 1, 2, [0, 1, 2, 3, 4, 5, 6, 7]),  # two, two and one
        ("step", 2, 2, [0, 1, 2, 2, 3, 4, 4, 5]),
        ("step", 3, 2, [0] * 8),
        ("step", 5, 3, [0, 0, 1, 1, 2, 2, 3, 3]),
        ("epoch", 1, 1, [0, 0, 0, 0, 0, 1, 1, 1]),
        ("epoch", 1, 2, [0, 0, 0, 1, 1, 1, 2, 2]),
        ("epoch", 2, 2, [0, 0, 0, 0, 0, 0, 1, 1]),
    ],
)
def test_schedulers_are_stepped_as_lightning_does(
    interval: str, frequency: int, accumulate: int, exponents: list[int]
) -> None:
    optimizer = sgd()
    halves = config(lrs.ExponentialLR(optimizer, 0.5), interval, frequency)
    found = forecast([halves], optimizer, steps=8, accumulate=accumulate)
    assert found.multipliers.tolist() == [0.5**exponent for exponent in exponents]
    assert found.interval == interval


def test_a_frequency_counts_from_the_epoch_that_starts() -> None:
    optimizer = sgd()
    halves = config(lrs.ExponentialLR(optimizer, 0.5), "epoch", 3)
    assert forecast([halves], optimizer, steps=4, batches=1, epoch=1).multipliers.tolist() == [1.0, 1.0, 0.5, 0.5]


def test_it_goes_on_from_where_the_scheduler_stands() -> None:
    optimizer = sgd()
    scheduler = lrs.LambdaLR(optimizer, lambda step: (step + 1) / 10)
    stepped(scheduler, optimizer, 3)
    assert forecast([config(scheduler)], optimizer, steps=3).multipliers.tolist() == pytest.approx([4 / 6, 5 / 6, 1.0])


def test_two_schedulers_work_together() -> None:
    optimizer = sgd()
    configs = [config(lrs.LinearLR(optimizer, 0.25, 1.0, 3)), config(lrs.ExponentialLR(optimizer, 0.5), "epoch")]
    found = forecast(configs, optimizer, steps=11)
    assert (found.multipliers * found.peak).tolist() == pytest.approx(
        [0.125, 0.25, 0.375, 0.5, 0.5] + [0.25] * 5 + [0.125]
    )
    assert found.interval == "step"


# ---- what is said of a schedule


def test_no_scheduler_or_a_plateau_one_is_constant() -> None:
    optimizer = sgd(0.3)
    plateau = config(lrs.ReduceLROnPlateau(optimizer), "epoch", plateau=True)
    for configs in ([], [plateau]):
        found = forecast(configs, optimizer, batches=None)
        assert found.constant
        assert (found.peak, found.configured, found.warm_up, found.interval) == (0.3, 0.3, 0, "never")
        assert found.multipliers.tolist() == [1.0] * STEPS


def test_one_cycle_has_a_peak_above_the_configured_rate_and_cycles_momentum() -> None:
    optimizer = sgd(0.04)
    found = forecast([config(lrs.OneCycleLR(optimizer, 1.0, total_steps=100))], optimizer, steps=100, batches=50)
    assert found.peak / found.configured == pytest.approx(25.0)
    assert found.multipliers[0] == pytest.approx(1 / 25)
    assert not found.constant
    assert 26 <= found.warm_up <= 29  # torch's peak is at 29
    assert found.multipliers[found.warm_up] >= 0.99 > found.multipliers[found.warm_up - 1]
    assert found.momenta[0] == 0.95
    assert found.momenta[29] == pytest.approx(0.85)


def test_one_cycle_of_adam_cycles_its_first_beta() -> None:
    optimizer = optimizer_of()
    found = forecast([config(lrs.OneCycleLR(optimizer, 1.0, total_steps=STEPS))], optimizer)
    assert found.momenta.max() == 0.95
    assert found.momenta.min() == pytest.approx(0.85)


def test_what_falls_from_the_start_has_no_warm_up() -> None:
    optimizer = sgd()
    found = forecast([config(lrs.CosineAnnealingLR(optimizer, STEPS))], optimizer)
    assert (found.warm_up, found.constant, len(found.momenta)) == (0, False, 0)


def test_a_warm_up_from_zero_is_measured_at_the_rate_that_it_leads_to() -> None:
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in (0.0, 0.5, 0.1)]
    optimizer = torch.optim.SGD(groups, lr=0.5)
    found = forecast([config(lrs.LambdaLR(optimizer, lambda step: min(1.0, step / 4)))], optimizer)
    assert (found.peak, found.configured, found.warm_up) == (0.5, 0.5, 4)
    assert found.multipliers.tolist() == [0.0, 0.25, 0.5, 0.75] + [1.0] * 16
    assert found.ratios == ((0, (0.0, 1.0, 0.2)),)


def test_groups_may_have_schedules_of_their_own() -> None:
    optimizer = optimizer_of()
    late = lrs.LambdaLR(optimizer, [lambda step: 1.0, lambda step: float(step >= 6)])
    found = forecast([config(late)], optimizer)
    assert found.multipliers.tolist() == [1.0] * STEPS
    assert not found.constant
    assert found.ratios == ((0, (1.0, 0.0)), (6, (1.0, 0.04)))
    assert found.ratios_at(5) == (1.0, 0.0)
    assert found.ratios_at(6) == (1.0, 0.04)
    assert found.ratios_at(STEPS) == (1.0, 0.04)


# ---- no trace


class Noisy(lrs.LRScheduler):
    def get_lr(self) -> list[Any]:
        warnings.warn("noise", UserWarning, stacklevel=2)
        noise = random.random() * float(np.random.rand()) * float(torch.rand(()))
        return [group["lr"] * (1.0 + noise) for group in self.optimizer.param_groups]


def draws() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def test_neither_warnings_nor_random_numbers_get_out() -> None:
    optimizer = sgd()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = Noisy(optimizer)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    expected = draws()
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = forecast([config(scheduler)], optimizer)
    assert seen == []
    assert found.multipliers[0] < found.multipliers[-1]
    assert draws() == expected


def test_a_scheduler_that_was_not_stepped_yet_warns_of_nothing_later() -> None:
    optimizer = sgd()
    scheduler = lrs.ExponentialLR(optimizer, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forecast([config(scheduler)], optimizer)
        optimizer.step()
        scheduler.step()


# ---- where nothing can be known


def reason(configs: list[Any], optimizer: Any, **options: Any) -> str:
    found = look_ahead(configs, [optimizer], **{"steps": STEPS, "batches_per_epoch": 5, **options})
    assert isinstance(found, str)
    return found


def test_one_that_raises() -> None:
    optimizer = sgd()
    found = reason([config(lrs.OneCycleLR(optimizer, 1.0, total_steps=7))], optimizer)
    assert found.startswith("OneCycleLR fails when it is run ahead to step 8 (ValueError: Tried to step 8 times")


def test_one_whose_last_step_comes_with_the_end_of_the_run_does_not_raise() -> None:
    optimizer = sgd()
    assert len(forecast([config(lrs.OneCycleLR(optimizer, 1.0, total_steps=7))], optimizer, steps=7).multipliers) == 7


def test_one_that_steps_by_epochs_of_unknown_length() -> None:
    optimizer = sgd()
    found = reason([config(lrs.StepLR(optimizer, 3), "epoch")], optimizer, batches_per_epoch=None)
    assert found == "StepLR steps once an epoch, and the length of an epoch is not known"


def test_one_that_cannot_be_copied() -> None:
    optimizer = sgd()
    scheduler: Any = lrs.StepLR(optimizer, 3)
    scheduler.source = (step for step in range(3))
    found = reason([config(scheduler)], optimizer)
    assert found.startswith("StepLR cannot be copied (TypeError: cannot pickle 'generator' object")


@pytest.mark.parametrize("rate", [0.0, math.nan, math.inf])
def test_rates_that_are_none(rate: float) -> None:
    optimizer = sgd()
    optimizer.param_groups[0].update(lr=rate, initial_lr=0.0)
    optimizer.defaults["lr"] = 0.0
    assert reason([], optimizer).startswith("the highest scheduled rate is ")


def test_an_optimizer_without_groups_is_passed_over() -> None:
    assert look_ahead([], [object()], steps=3, batches_per_epoch=3) == "the highest scheduled rate is 0.0"


@pytest.mark.parametrize("name", ["steps", "batches_per_epoch", "accumulate"])
def test_numbers_below_one_are_an_error(name: str) -> None:
    options: dict[str, Any] = {"steps": 3, "batches_per_epoch": 3, "accumulate": 1, name: 0}
    with pytest.raises(ValueError, match=rf"look_ahead\({name}=0\): need at least 1"):
        look_ahead([], [sgd()], **options)
