"""How long a run is, as far as that is known, and what a reader of its history has to know of it."""

from __future__ import annotations

from typing import Any

import pytest

from lightning_gammabo.records import RunInfo
from lightning_gammabo.records.run import RunShape


@pytest.mark.parametrize(
    ("shape", "epoch", "left"),
    [
        ({"epochs": 3, "batches": 10}, 0, 30),
        ({"epochs": 3, "batches": 10}, 2, 10),
        ({"epochs": 3, "batches": 10, "accumulate": 4}, 1, 6),  # three steps an epoch
        ({"epochs": 3, "batches": 10, "max_steps": 17}, 0, 17),
        ({"epochs": 1, "batches": 10, "max_steps": 17}, 0, 10),
        ({"epochs": None, "batches": 10, "max_steps": 17}, 1, 7),
        ({"epochs": 3, "batches": 10}, 5, 1),  # past its end something is left all the same
        ({"epochs": None, "batches": 10}, 0, None),
        ({"epochs": 3, "batches": None}, 0, None),
        ({"epochs": 3, "batches": None, "max_steps": 17}, 1, 17),
    ],
)
def test_steps_are_left_until_epochs_or_steps_end_the_run(shape: dict[str, Any], epoch: int, left: int | None) -> None:
    assert RunShape(**shape).steps_left(epoch) == left


@pytest.mark.parametrize(
    ("shape", "left"),
    [
        ({"epochs": 3, "batches": 10}, 3.0),
        ({"epochs": 3, "batches": 10, "begin": 1}, 2.0),
        ({"epochs": None, "batches": 10, "max_steps": 17}, 1.7),
        ({"epochs": 3, "batches": None, "begin": 1}, 2.0),
        ({"epochs": None, "batches": None}, None),
        ({"epochs": None, "batches": 10}, None),
    ],
)
def test_epochs_of_this_fit_are_counted_in_part_too(shape: dict[str, Any], left: float | None) -> None:
    assert RunShape(**shape).epochs_left == left


@pytest.mark.parametrize(("batches", "accumulate", "steps"), [(10, 1, 10), (10, 4, 3), (None, 1, None)])
def test_the_last_step_of_an_epoch_may_have_fewer_batches(
    batches: int | None, accumulate: int, steps: int | None
) -> None:
    assert RunShape(epochs=1, batches=batches, accumulate=accumulate).epoch_steps == steps


def test_what_is_known_of_a_run_comes_back_from_its_plain_values() -> None:
    info = RunInfo(
        started="2024-05-06T07:08:09", versions={"torch": "2.4"}, settings={"seed": 3}, epochs=2, planned=1.5
    )
    assert RunInfo.from_dict(info.to_dict()) == info
    assert RunInfo.from_dict({**info.to_dict(), "invented_later": 1}) == info
