from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lightning_gammabo.records import EpochRate, EpochRecord, Result, RunInfo, SearchHistory, TrainedEpoch, TrialState
from lightning_gammabo.report.summary import duration, summary

OPTIMISTIC = (
    "The scores are those on which the winners were chosen, so they are optimistic: judge the result on data that no "
    "search has seen."
)


def complete(number: int, lr: float, score: float, **values: float) -> Result:
    return Result(number=number, lr=lr, state=TrialState.COMPLETE, score=score, value=score, passes=1.0, **values)  # type: ignore[arg-type]


def lost(number: int, state: TrialState) -> Result:
    return Result(number=number, lr=0.9, state=state, passes=0.25)


FIRST = EpochRecord(
    epoch=0,
    results=(complete(0, 0.01, 1.0), complete(1, 0.1, 1.5, loss=0.5, accuracy=0.8), lost(2, TrialState.DIVERGED)),
    chosen_number=1,
    reason="highest score of 3 candidates",
    train_passes=2.25,
    val_passes=4.0,
    seconds=30.0,
    min_lr=1e-3,
    max_lr=0.1,
)
THIRD = dataclasses.replace(
    FIRST,
    epoch=2,
    results=(complete(0, 0.02, 2.0, loss=0.25, accuracy=0.9), lost(1, TrialState.PRUNED)),
    chosen_number=0,
    train_passes=1.25,
    val_passes=2.0,
    seconds=70.0,
    max_lr=0.2,
)
NONE = dataclasses.replace(
    FIRST, epoch=3, results=(lost(0, TrialState.FAILED),), chosen_number=None, train_passes=1.25, val_passes=1.0
)


def ended(epoch: int, back: int | None = None, **fields: Any) -> TrainedEpoch:
    rate = EpochRate(epoch=epoch, start=0.1, end=0.1, steps=5, peak=0.1, returned_to=back)
    return TrainedEpoch(epoch=epoch, rate=rate, **fields)


def test_a_search_in_words() -> None:
    assert summary(SearchHistory([FIRST, THIRD, NONE])) == {
        "What was searched": [
            "3 epochs (0 to 3) searched with 6 candidates, 1 to 3 each.",
            "Rates were proposed by Bayesian optimisation with a Gamma posterior of the precision, and ranked by "
            "kappa.",
            "The range went from 0.001 to 0.2.",
            "Policy: thesis.",
        ],
        "What was found": [
            "The rate began at 1.0e-01 (epoch 0) and ended at 2.0e-02 (epoch 2); it lay between 2.0e-02 and 1.0e-01.",
            "The search score, kappa of the chosen candidate as the search measured it, went from 1.5 to 2.",
            "In epoch 0 the best score lay at the upper end of the range: max_lr widens it.",
        ],
        "What it cost": [
            "Cost: 1.58x a plain fit of 3 epochs.",
            "4.8 passes over the training data; a plain fit takes 3 for the 3 epochs.",
            "7.0 passes over the validation data.",
            "Searching took 2 min 10 s.",
        ],
        "What was left out": [
            "1 of 6 candidates were pruned: their training loss fell hopelessly behind.",
            "1 of 6 candidates diverged.",
            "1 of 6 candidates failed.",
            "No candidate could be committed in epoch 3: a lower rate was trained instead.",
            "Not searched: epoch 1.",
            OPTIMISTIC,
        ],
    }


def test_one_epoch_with_parts_of_it() -> None:
    few = {
        "results": FIRST.results[:2],
        "share": 0.25,
        "policy": "epochwise",
        "sampler": "mine.S",
        "score_samples": 256,
    }
    words = summary(SearchHistory([dataclasses.replace(FIRST, **few, annealing=0.5)]))  # type: ignore[arg-type]
    assert words["What was searched"] == [
        "1 epoch (0) searched with 2 candidates.",
        "Rates were proposed by the sampler mine.S, and ranked by kappa.",
        "The range went from 0.001 to 0.1.",
        "A candidate trained 25.0 % of its epoch.",
        "A candidate was scored on 256 validation samples.",
        "Policy: epochwise.",
    ]
    assert words["What was found"][:2] == [
        "The peak rate found in epoch 0 is 1.0e-01.",
        "The search score, kappa of the chosen candidate as the search measured it, was 1.5.",
    ]
    assert words["What it cost"][1] == "2.2 passes over the training data; a plain fit takes 1 for the one epoch."
    assert words["What was left out"][0] == "Every candidate came to its end, and every epoch was searched."


def test_what_the_run_ended_with_is_told_and_not_what_a_candidate_did() -> None:
    trained = [
        ended(0, loss=0.4, accuracy=0.8, value=1.5),
        ended(1, loss=0.2, accuracy=0.9, value=2.4, not_searched="the policy searches every second epoch"),
        ended(2, loss=0.3, accuracy=0.7, value=1.7),
    ]
    words = summary(SearchHistory([FIRST, THIRD], trained, RunInfo(validation=0.1, planned=2.0)))
    assert words["What was found"][1:4] == [
        "The run ended with a validation loss of 0.3 (epoch 2; best: 0.2, epoch 1).",
        "The run ended with a validation accuracy of 70.0 % (epoch 2; best: 90.0 %, epoch 1).",
        "The run ended with a kappa of 1.7 (epoch 2).",
    ]
    assert "Not searched: epoch 1 (the policy searches every second epoch)." in words["What was left out"]
    assert words["What it cost"][0] == "Cost: 1.50x a plain fit of 3 epochs (estimated: at most 2.00x)."


def test_recovery_is_told_and_lost_epochs_are_none_that_the_run_ended_with() -> None:
    trained = [ended(0, loss=0.4), ended(1, loss=0.2), ended(2, loss=5.0), ended(3, back=0, loss=0.3)]
    words = summary(SearchHistory([FIRST], trained))
    assert "The run ended with a validation loss of 0.3 (epoch 3, its best)." in words["What was found"]
    told = "Recovery: at the start of epoch 3 the run went back to the end of epoch 0, at half the rate; 2 epochs lost."
    assert told in words["What was left out"]
    assert words["What it cost"][0].endswith("2 of 4 epochs were lost: 2.62x for each epoch that was kept.")


def test_a_best_score_at_the_end_of_a_trust_region_says_what_comes_of_it() -> None:
    results = tuple(dataclasses.replace(result, origin="region") for result in FIRST.results)
    words = summary(SearchHistory([dataclasses.replace(FIRST, results=results)]))["What was found"]
    end = "In epoch 0 the best score lay at the upper end of the trust region: the next search goes on from there."
    assert words[-1] == end


def test_nothing_committed_and_nothing_searched() -> None:
    assert summary(SearchHistory([NONE]))["What was found"] == ["In no epoch a candidate could be committed."]
    assert summary(SearchHistory()) == {"What was searched": ["No epoch was searched."]}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (99.94, "99.9 s"), (100.0, "1 min 40 s"), (3599.6, "1 h 00 min"), (36_000.0, "10 h 00 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
