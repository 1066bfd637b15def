"""Records of searched and of trained epochs: what they hold, and what follows from it."""

from __future__ import annotations

import pytest

from lightning_gammabo.records import EpochRate, EpochRecord, TrainedEpoch
from lightning_gammabo.records.epoch import lost_epochs, ranked_by
from tests.unit.records.histories import diverged, record, result


def trained(epoch: int, returned_to: int | None = None, **fields: object) -> TrainedEpoch:
    rate = EpochRate(epoch=epoch, start=0.1, end=0.05, steps=5, peak=0.2, returned_to=returned_to)
    return TrainedEpoch(epoch=epoch, rate=rate, **fields)  # type: ignore[arg-type]


def test_a_record_names_one_of_its_results() -> None:
    with pytest.raises(ValueError, match=r"EpochRecord\(epoch=3\): no result has number 7"):
        record(3, chosen_number=7)


def test_chosen_is_found_by_its_number() -> None:
    assert record(results=(result(4), result(2)), chosen_number=2).chosen == result(2)
    assert record(chosen_number=None).chosen is None


def test_a_record_comes_back_from_its_plain_values() -> None:
    assert EpochRecord.from_dict(record().to_dict()) == record()


def test_plain_values_of_a_newer_version_are_read() -> None:
    plain = record().to_dict()
    plain["invented_later"] = 1
    plain["results"][0]["invented_later"] = 1
    assert EpochRecord.from_dict(plain) == record()


def test_the_peak_is_the_chosen_rate_at_the_peak_of_the_schedule() -> None:
    assert record(annealing=0.25).peak == 0.4
    assert record(annealing=0.0).peak == 0.1  # at the end of a schedule the factor says nothing
    assert record(chosen_number=None).peak is None


def test_a_search_costs_what_was_trained_beyond_the_epoch_and_its_scorings() -> None:
    assert record(train_passes=2.25, scorings=4).extra_passes(0.1) == pytest.approx(1.65)


@pytest.mark.parametrize(
    ("objective", "fields", "by"),
    [
        ("kappa", {"loss": 0.5, "accuracy": 0.9}, "kappa"),
        ("kappa", {"loss": 0.5}, "loss"),
        ("kappa", {"loss": None, "accuracy": 0.9}, "accuracy"),
        ("kappa", {"loss": None}, "kappa"),
        ("loss", {"loss": 0.5}, "loss"),
        ("val_f1", {"loss": 0.5}, "val_f1"),
    ],
)
def test_a_kappa_that_lacks_one_of_its_parts_is_the_other(objective: str, fields: dict[str, object], by: str) -> None:
    assert ranked_by(objective, [result(0, **fields), diverged(1)]) == by
    assert record(objective=objective, results=(result(0, **fields),)).ranked_by == by
    assert ranked_by(objective, [diverged(0)]) == objective


def test_epochs_between_the_best_one_and_the_return_to_it_are_lost() -> None:
    run = [trained(0), trained(1), trained(2), trained(3, returned_to=1), trained(4)]
    assert lost_epochs(run) == {2}
    assert lost_epochs(run[:3]) == frozenset()
    assert lost_epochs([*run, trained(5, returned_to=0)]) == {1, 2, 3, 4}


def test_a_trained_epoch_comes_back_from_its_plain_values() -> None:
    for epoch in (trained(2, returned_to=1, loss=0.5, metrics={"val_loss": 0.5}), TrainedEpoch(epoch=0)):
        plain = epoch.to_dict()
        assert TrainedEpoch.from_dict(plain) == epoch
        plain["invented_later"] = 1
        if plain["rate"] is not None:
            plain["rate"]["invented_later"] = 1
        assert TrainedEpoch.from_dict(plain) == epoch
    assert (trained(2, returned_to=1).returned_to, TrainedEpoch(epoch=0).returned_to) == (1, None)
