"""The shapes that a rate follows, how far a run has come, and when a plateau gives in."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from lightning_gammabo.learning_rate.annealing import BETTER_BY, FACTOR, PATIENCE, Plateau, progress_of, shape

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cosine", [1.0, (2.0 + math.sqrt(2.0)) / 4.0, 0.5, (2.0 - math.sqrt(2.0)) / 4.0, 0.0]),
        ("linear", [1.0, 0.75, 0.5, 0.25, 0.0]),
        ("constant", [1.0] * 5),
        # these have no shape of their own
        ("auto", [1.0] * 5),
        ("plateau", [1.0] * 5),
        ("scheduler", [1.0] * 5),
    ],
)
def test_known_values(name: str, values: list[float]) -> None:
    assert [shape(name, quarter / 4.0) for quarter in range(5)] == pytest.approx(values, abs=1e-15)


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_beyond_its_ends_a_shape_stays_at_them(name: str) -> None:
    assert shape(name, -0.5) == shape(name, 0.0) == 1.0
    assert shape(name, 1.5) == shape(name, 1.0) == 0.0


# ---- progress


def trainer(**given: Any) -> Any:
    # Lightning's defaults: max_steps -1
    run = {"max_epochs": 4, "max_steps": -1, "num_training_batches": 10, "current_epoch": 0, "global_step": 0}
    return SimpleNamespace(**(run | given))


@pytest.mark.parametrize(
    ("run", "batches", "share"),
    [
        ({}, 0, 0.0),
        ({"current_epoch": 1}, 5, 1.5 / 4),
        ({"current_epoch": 3}, 10, 1.0),
        ({"max_epochs": None, "max_steps": 50, "global_step": 20}, 3, 0.4),
        ({"max_epochs": -1, "max_steps": 50, "global_step": 20}, 3, 0.4),
        # whichever ends the run first
        ({"max_steps": 20, "global_step": 15, "current_epoch": 1}, 5, 0.75),
        ({"max_steps": 1000, "global_step": 15, "current_epoch": 1}, 5, 1.5 / 4),
        # no length known: from epoch to epoch only
        ({"num_training_batches": INF, "current_epoch": 1}, 7, 0.25),
        ({"num_training_batches": 0, "current_epoch": 1}, 7, 0.25),
    ],
)
def test_how_far_a_run_has_come(run: dict[str, Any], batches: int, share: float) -> None:
    assert progress_of(trainer(**run), batches) == pytest.approx(share, rel=1e-15)


@pytest.mark.parametrize("epochs", [-1, None])
def test_a_run_without_an_end_has_no_progress(epochs: int | None) -> None:
    assert progress_of(trainer(max_epochs=epochs, current_epoch=3), 5) is None
    assert progress_of(trainer(max_epochs=epochs, max_steps=None), 5) is None


# ---- plateau


def seen(*losses: float | None) -> list[float]:
    """The shape after each loss."""
    plateau = Plateau()
    shapes = []
    for loss in losses:
        plateau.see(loss)
        shapes.append(plateau.shape)
    return shapes


def test_the_numbers_of_a_plateau() -> None:
    assert (PATIENCE, FACTOR, BETTER_BY) == (3, 0.3, 1e-3)


def test_while_the_loss_falls_the_rate_stays() -> None:
    assert seen(1.0, 0.9, 0.8, 0.7, 0.6, 0.5) == [1.0] * 6


def test_after_three_epochs_without_a_gain_it_falls_and_waits_again() -> None:
    assert seen(1.0, *[1.0] * 7) == pytest.approx([1.0, 1.0, 1.0, 0.3, 0.3, 0.3, 0.09, 0.09])


def test_a_gain_begins_the_waiting_anew() -> None:
    assert seen(1.0, 1.0, 1.0, 0.9, 0.9, 0.9, 0.9) == [1.0] * 6 + [0.3]


def test_a_gain_below_a_thousandth_is_none() -> None:
    assert seen(1.0, 0.9995, 0.9991, 0.9992)[-1] == 0.3
    assert seen(1.0, 0.9989, 0.9979, 0.9969)[-1] == 1.0
    # of a loss below zero as well: the margin is relative to its size
    assert seen(-1.0, -1.0005, -1.0009, -1.0001)[-1] == 0.3
    assert seen(-1.0, -1.002, -1.004, -1.006)[-1] == 1.0


@pytest.mark.parametrize("loss", [NAN, INF])
def test_what_is_not_finite_is_no_gain(loss: float) -> None:
    assert seen(loss, loss, loss) == [1.0, 1.0, 0.3]
    assert seen(loss, 0.5, loss, 0.4, loss) == [1.0] * 5


def test_an_epoch_that_was_not_validated_is_no_evidence() -> None:
    assert seen(*[None] * 9) == [1.0] * 9
    assert seen(1.0, None, 1.0, None, 1.0, None, 1.0) == [1.0] * 6 + [0.3]
