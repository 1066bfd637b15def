"""The rates that a candidate trains at while it cools, and how much room there is for that."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lightning_gammabo.learning_rate.miniature import Miniature, cooling_factors
from lightning_gammabo.trainer.candidate_plan import RateWriter, cooling_within
from tests.helpers.optimizers import parameter, rates_of, sgd


def written(writer: RateWriter, optimizer: Any, batches: range) -> list[list[float]]:
    found = []
    for batch in batches:
        writer.on_train_batch_start(None, None, None, batch)
        found.append(rates_of(optimizer))
    return found


def writer_of(optimizer: Any, *, accumulate: int = 1, peak: float = 0.1, lived: Miniature | None = None) -> RateWriter:
    trainer: Any = SimpleNamespace(optimizers=[optimizer], accumulate_grad_batches=accumulate)
    return RateWriter(trainer, peak, lived)


def test_before_its_cooling_nothing_is_written() -> None:
    optimizer = sgd(0.1, 0.01)
    assert written(writer_of(optimizer), optimizer, range(3)) == [[0.1, 0.01]] * 3


def test_it_cools_from_where_the_rates_stand_in_a_line_to_zero() -> None:
    optimizer = sgd(0.4, 0.04)
    writer = writer_of(optimizer)
    writer.cool(5, 4)
    factors = cooling_factors(4)
    found = written(writer, optimizer, range(5, 9))
    assert found == [pytest.approx([0.4 * factor, 0.04 * factor]) for factor in factors]
    falls = [before[0] - after[0] for before, after in itertools.pairwise(found)]
    assert falls == pytest.approx([falls[0]] * 3)
    assert 0.0 < found[-1][0] < found[0][0] <= 0.4


def test_batches_of_one_optimizer_step_have_one_rate_and_after_the_last_nothing_falls_further() -> None:
    optimizer = sgd(0.4)
    writer = writer_of(optimizer, accumulate=2)
    writer.cool(4, 2)
    first, second = cooling_factors(2)
    found = written(writer, optimizer, range(4, 10))
    assert [rates[0] for rates in found] == pytest.approx(
        [0.4 * f for f in (first, first, second, second, second, second)]
    )


def within(ready: int, total: float, *, accumulate: int = 1, max_steps: int = -1, done: int = 0) -> Any:
    progress = SimpleNamespace(current=SimpleNamespace(ready=ready))
    loop = SimpleNamespace(batch_progress=progress, max_steps=max_steps, global_step=done)
    fit_loop = SimpleNamespace(epoch_loop=loop)
    return SimpleNamespace(fit_loop=fit_loop, num_training_batches=total, accumulate_grad_batches=accumulate)


@pytest.mark.parametrize(
    ("trainer", "asked", "steps", "end"),
    [
        (within(10, 100), 4, 4, 14),
        (within(98, 100), 4, 2, 100),
        (within(10, 100, accumulate=4), 3, 3, 20),  # the third step has begun
        (within(97, 99, accumulate=4), 3, 1, 99),
        (within(10, 100, max_steps=50, done=48), 4, 2, 12),
        (within(10, 100, max_steps=50, done=50), 4, 1, 11),
        (within(10, math.inf), 4, 4, 14),
        (within(10, math.inf, accumulate=2), 4, 4, 18),
    ],
)
def test_there_is_room_until_the_epoch_or_the_run_ends(trainer: Any, asked: int, steps: int, end: int) -> None:
    assert cooling_within(trainer, asked) == (steps, end)


def test_momentum_is_left_alone_where_no_schedule_moves_it() -> None:
    optimizer = torch.optim.AdamW([parameter()], lr=0.1, betas=(0.8, 0.99))
    writer = writer_of(optimizer)
    writer.cool(1, 2)
    writer.on_train_batch_start(None, None, None, 1)
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.99)
