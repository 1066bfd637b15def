from __future__ import annotations

import pytest

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


@pytest.mark.parametrize("annealing", [1.0, 0.5, 0.0])
def test_the_rate_of_a_candidate_is_the_peak_whatever_the_annealing(annealing: float) -> None:
    record = EpochRecord(epoch=3, results=(complete(),), chosen_number=0, reason="best", annealing=annealing)
    assert record.peak == 0.0123
    assert EpochRecord(epoch=3, results=(), chosen_number=None, reason="").peak is None


def test_what_a_search_cost_beyond_its_epoch() -> None:
    record = EpochRecord(epoch=0, results=(), chosen_number=None, reason="", train_passes=3.5, scorings=4)
    assert record.extra_passes(0.25) == 3.5
