<<<<<<< HEAD
"""What the searches of a run cost, worked out by hand."""
=======
"""What a run cost, all epochs counted."""
>>>>>>> integ

from __future__ import annotations

import pytest

<<<<<<< HEAD
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
=======
from lightning_gammabo.records import EpochRate, EpochRecord, Result, RunInfo, TrainedEpoch, TrialState
from lightning_gammabo.records.cost import cost_of


def search(epoch: int, **fields: float) -> EpochRecord:
    done = Result(number=0, lr=0.1, state=TrialState.COMPLETE, score=0.5)
    return EpochRecord(epoch=epoch, results=(done,), chosen_number=0, reason="", **fields)  # type: ignore[arg-type]


def trained(epochs: int, went_back: dict[int, int] | None = None) -> list[TrainedEpoch]:
    back = went_back or {}
    return [
        TrainedEpoch(
            epoch=e, loss=0.5, rate=EpochRate(epoch=e, start=1, end=1, steps=1, peak=1, returned_to=back.get(e))
        )
        for e in range(epochs)
    ]


def test_searched_and_other_epochs_are_counted() -> None:
    records = [
        search(0, train_passes=8.0, val_passes=9.0, scorings=9),
        search(5, train_passes=1.2, val_passes=2.0, scorings=4),
    ]
    # a scoring is a forward over 0.24 as many samples: 0.08 of a pass; 7 + 0.2 + 13 * 0.08 = 8.24 extra for 10 epochs
    cost = cost_of(records, trained(10), RunInfo(epochs=10, validation=0.08, planned=2.0))
    assert cost.times_plain == pytest.approx(1.824)
    assert (cost.epochs, cost.train_passes, cost.val_passes) == (10, 17.2, 19.0)
    assert cost.in_words() == "cost: 1.82x a plain fit of 10 epochs (estimated: at most 2.00x)"


def test_without_a_search_there_is_no_cost() -> None:
    assert cost_of([], [], None).times_plain == 1.0
    assert cost_of([], trained(3), RunInfo()).in_words() == "cost: 1.00x a plain fit of 3 epochs"


def test_lost_epochs_raise_the_price_of_those_that_are_kept() -> None:
    cost = cost_of([search(0, train_passes=3.0)], trained(8, {6: 3, 7: 3}), None)
    assert cost.lost == 3  # 4, 5 and 6
    assert cost.times_plain == 1.25
    assert cost.in_words().endswith("; 3 of 8 epochs were lost: 2.00x for each epoch that was kept")
>>>>>>> integ
