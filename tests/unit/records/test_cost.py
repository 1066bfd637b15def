"""What a run cost, all epochs counted."""

from __future__ import annotations

import dataclasses

import pytest

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


def test_an_epoch_that_was_trained_again_costs_its_pass_once() -> None:
    ends = [dataclasses.replace(end, retrained=end.epoch) for end in trained(3)]
    # epoch 1 was searched, and the record of its search has the pass already; epoch 2 was not
    cost = cost_of([search(1, train_passes=2.0)], ends, None)
    assert (cost.retrained, cost.train_passes, cost.extra) == (3, 6.0, 3.0)
    assert cost.in_words() == (
        "cost: 2.00x a plain fit of 3 epochs; beyond the estimate: 3 times an epoch diverged and was trained again"
    )


def test_lost_epochs_raise_the_price_of_those_that_are_kept() -> None:
    cost = cost_of([search(0, train_passes=3.0)], trained(8, {6: 3, 7: 3}), None)
    assert cost.lost == 3  # 4, 5 and 6
    assert cost.times_plain == 1.25
    assert cost.in_words().endswith("; 3 of 8 epochs were lost: 2.00x for each epoch that was kept")
