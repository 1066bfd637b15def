from __future__ import annotations

import dataclasses

import pytest

from lightning_gammabo.records import EpochRecord, Result, SearchHistory, TrialState
from lightning_gammabo.report.summary import duration, summary


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
            "The objective kappa went from 1.5 to 2.",
            "The validation loss went from 0.5 to 0.25.",
            "The validation accuracy went from 80.0 % to 90.0 %.",
            "In epoch 0 the committed rate lay at the upper end of the range: max_lr widens it.",
        ],
        "What it cost": [
            "4.8 passes over the training data; a plain run takes 3 for the 3 epochs, so the search made training "
            "1.58 times as costly.",
            "7.0 passes over the validation data.",
            "Searching took 2 min 10 s.",
        ],
        "What was left out": [
            "1 of 6 candidates cut short because they fell hopelessly behind.",
            "1 of 6 candidates diverged.",
            "1 of 6 candidates failed.",
            "No candidate could be committed in epoch 3: trained was a lower rate instead.",
            "Not searched between the first and the last search: epoch 1.",
            "The scores are those on which the winners were chosen, so they are optimistic: judge the result on data "
            "that no search has seen.",
        ],
    }


def test_one_epoch_with_parts_of_it() -> None:
    record = dataclasses.replace(FIRST, results=FIRST.results[:2], share=0.25, policy="epochwise", sampler="mine.S")
    words = summary(SearchHistory([record]))
    assert words["What was searched"] == [
        "1 epoch (0) searched with 2 candidates.",
        "Rates were proposed by the search mine.S, and ranked by kappa.",
        "The range went from 0.001 to 0.1.",
        "A candidate trained 25.0 % of its epoch.",
        "Policy: epochwise.",
    ]
    assert words["What was found"][:2] == [
        "Epoch 0 was committed with the rate 1.0e-01.",
        "Its objective kappa was 1.5.",
    ]
    assert words["What it cost"][0].startswith(
        "2.2 passes over the training data; a plain run takes 1 for the one epoch"
    )
    assert words["What was left out"][0] == "Every candidate came to its end, and every epoch in between was searched."


def test_a_loss_is_not_told_twice() -> None:
    record = dataclasses.replace(FIRST, objective="loss", min_lr=None)
    assert summary(SearchHistory([record]))["What was found"][1:] == [
        "Its validation loss was 0.5.",
        "Its validation accuracy was 80.0 %.",
    ]


def test_nothing_committed_and_nothing_searched() -> None:
    assert summary(SearchHistory([NONE]))["What was found"] == ["In no epoch a candidate could be committed."]
    assert summary(SearchHistory()) == {"What was searched": ["No epoch was searched."]}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (99.94, "99.9 s"), (100.0, "1 min 40 s"), (3599.6, "1 h 00 min"), (36_000.0, "10 h 00 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
