"""What the searches of a run cost, worked out by hand."""

from __future__ import annotations

import pytest

from lightning_gammabo.records import EpochRate, RunInfo, TrainedEpoch
from lightning_gammabo.records.cost import cost_of
from tests.unit.records.histories import record

SEARCHED = [
    record(0, train_passes=3.0, val_passes=4.0, scorings=4, seconds=2.0),
    record(2, train_passes=1.5, scorings=2),
]
TRAINED = [TrainedEpoch(epoch=epoch, loss=0.5 if epoch != 3 else None) for epoch in range(4)]


def test_searched_and_plain_epochs_are_counted_once() -> None:
    cost = cost_of(SEARCHED, TRAINED, RunInfo(validation=0.1, planned=2.0))
    assert (cost.epochs, cost.lost, cost.seconds, cost.planned) == (4, 0, 2.0, 2.0)
    assert cost.train_passes == 3.0 + 1.5 + 2  # two plain epochs
    assert cost.val_passes == 4.0 + 1  # the last one was not validated
    assert cost.extra == pytest.approx(2.0 + 0.5 + 6 * 0.1)
    assert cost.times_plain == pytest.approx(1 + 3.1 / 4)
    assert cost.in_words() == "cost: 1.77x a plain fit (estimated: at most 2.00x)"


def test_of_a_run_of_which_nothing_is_known_validations_are_free() -> None:
    cost = cost_of(SEARCHED, [], None)
    assert (cost.epochs, cost.extra, cost.planned) == (2, 2.5, None)
    assert cost.in_words() == "cost: 2.25x a plain fit"


def test_epochs_that_recovery_gave_up_make_those_that_were_kept_dearer() -> None:
    back = EpochRate(epoch=3, start=0.1, end=0.1, steps=5, peak=0.1, returned_to=0)
    cost = cost_of(SEARCHED, [*TRAINED[:3], TrainedEpoch(epoch=3, rate=back)], None)
    assert cost.lost == 2
    words = "cost: 1.62x a plain fit; 2 of 4 epochs were lost: 3.25x for each epoch that was kept"
    assert cost.in_words() == words


def test_where_nothing_was_trained_nothing_was_spent() -> None:
    cost = cost_of([], [], None)
    assert (cost.epochs, cost.times_plain) == (0, 1.0)
