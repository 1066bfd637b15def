<<<<<<< HEAD
"""Records of searched and of trained epochs: what they hold, and what follows from it."""

=======
>>>>>>> integ
from __future__ import annotations

import pytest

<<<<<<< HEAD
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
=======
from lightning_gammabo.records import EpochRate, EpochRecord, Result, TrainedEpoch, TrialState
from lightning_gammabo.records.epoch import ranked_by


def complete(number: int = 0, **fields: float) -> Result:
    return Result(number=number, lr=0.0123, state=TrialState.COMPLETE, score=1.0, **fields)  # type: ignore[arg-type]


def test_reprs_fit_a_line() -> None:
    result = complete(value=0.431)
    record = EpochRecord(epoch=3, results=(result,), chosen_number=0, reason="best", seconds=1.26)
    assert repr(record) == "EpochRecord(epoch=3, lr=1.23e-02 of 1 candidates, 1.3 s)"
    assert repr(result) == "Result(number=0, lr=1.23e-02, complete, value=0.431)"
    rate = EpochRate(epoch=3, start=0.1, end=0.1, steps=5, peak=0.1, returned_to=1)
    assert repr(rate) == "EpochRate(epoch=3, 1.00e-01 to 1.00e-01, peak=1.00e-01, returned_to=1)"
    assert repr(TrainedEpoch(epoch=3, rate=rate, loss=0.5)) == "TrainedEpoch(epoch=3, lr=1.00e-01, loss=0.5)"


@pytest.mark.parametrize(
    ("objective", "fields", "name"),
    [
        ("kappa", {"loss": 1.0, "accuracy": 0.5}, "kappa"),
        ("kappa", {"loss": 1.0}, "loss"),
        ("kappa_thesis", {"accuracy": 0.5}, "accuracy"),
        ("kappa_original", {}, "kappa_original"),
        ("val_kappa", {"loss": 1.0}, "val_kappa"),
        ("loss", {"loss": 1.0}, "loss"),
    ],
)
def test_a_kappa_that_lacks_one_of_its_parts_is_the_other(objective: str, fields: dict[str, float], name: str) -> None:
    results = (complete(**fields), Result(number=1, lr=0.5, state=TrialState.DIVERGED))
    assert ranked_by(objective, results) == name
    assert ranked_by(objective, results[1:]) == objective  # of what was never scored nothing is known


@pytest.mark.parametrize(("annealing", "peak"), [(1.0, 0.0123), (0.5, 0.0246), (0.0, 0.0123)])
def test_the_peak_is_the_rate_before_annealing(annealing: float, peak: float) -> None:
    record = EpochRecord(epoch=3, results=(complete(),), chosen_number=0, reason="best", annealing=annealing)
    assert record.peak == peak
    assert EpochRecord(epoch=3, results=(), chosen_number=None, reason="").peak is None


def test_what_a_search_cost_beyond_its_epoch() -> None:
    record = EpochRecord(epoch=0, results=(), chosen_number=None, reason="", train_passes=3.5, scorings=4)
    assert record.extra_passes(0.25) == 3.5
>>>>>>> integ
