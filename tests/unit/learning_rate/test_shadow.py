"""Copies of schedulers: they move as the originals would, and the originals do not move."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as lrs

from lightning_gammabo.learning_rate.shadow import shadows
from tests.helpers.schedulers import SCHEDULERS, Asks, NotOfTorch, image, optimizer_of

pytestmark = pytest.mark.filterwarnings("ignore")


def rates(optimizer: Any) -> list[Any]:
    return [(float(group["lr"]), group["betas"]) for group in optimizer.param_groups]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_copy_moves_as_the_original_would_and_that_one_stays(name: str) -> None:
    optimizer = optimizer_of()
    scheduler = SCHEDULERS[name](optimizer)
    if isinstance(scheduler, lrs.LRScheduler):
        optimizer.step()
        scheduler.step()
    before = repr(image(scheduler, optimizer))
    (copied,), (shadow,) = shadows([scheduler], [optimizer])
    ahead = []
    for _ in range(9):
        copied.step()
        ahead.append(rates(shadow))
    assert repr(image(scheduler, optimizer)) == before
    then = []
    for _ in range(9):
        scheduler.step()
        then.append(rates(optimizer))
    assert ahead == then
    assert type(copied) is type(scheduler)


def test_two_schedulers_of_one_optimizer_write_to_one_copy() -> None:
    optimizer = optimizer_of()
    both = [lrs.ExponentialLR(optimizer, 0.5), lrs.LambdaLR(optimizer, lambda step: 1.0), NotOfTorch(optimizer)]
    copies, (shadow,) = shadows(both, [optimizer])
    assert [copied.optimizer is shadow for copied in copies[:2]] == [True, True]
    assert copies[2].groups is shadow.param_groups
    assert copies[2].first is shadow.param_groups[0]
    assert shadow.param_groups is not optimizer.param_groups


def test_weights_and_their_state_are_not_copied() -> None:
    optimizer = optimizer_of()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    _, (shadow,) = shadows([], [optimizer])
    assert type(shadow) is type(optimizer)
    assert shadow.state == {}
    assert [len(group["params"]) for group in shadow.param_groups] == [2, 1]
    assert all(p.numel() == 0 for group in shadow.param_groups for p in group["params"])
    assert len(optimizer.state) == 3


def test_a_rate_that_is_a_tensor_is_another_tensor() -> None:
    optimizer = optimizer_of(tensor_rate=True)
    scheduler = lrs.ExponentialLR(optimizer, 0.5)
    (copied,), (shadow,) = shadows([scheduler], [optimizer])
    copied.step()
    assert float(shadow.param_groups[0]["lr"]) == 0.125
    assert float(optimizer.param_groups[0]["lr"]) == 0.25


def test_a_network_and_its_trainer_are_not_copied() -> None:
    module = Asks()
    (copied,), _ = shadows([lrs.LambdaLR(optimizer_of(), module.factor)], [])
    assert copied.lr_lambdas[0].__self__ is module


def test_what_cannot_be_copied_is_an_error() -> None:
    class Draws(NotOfTorch):
        def __init__(self, optimizer: Any) -> None:
            super().__init__(optimizer)
            self.rates = (0.5**step for step in range(9))

    with pytest.raises((TypeError, pickle.PicklingError), match="generator"):
        shadows([Draws(optimizer_of())], [])
