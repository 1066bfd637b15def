from __future__ import annotations

from lightning_gammabo.records import EpochRecord, Result, SearchHistory, TrialState
from lightning_gammabo.report.table import comparison_table, history_table


def complete(number: int, **fields: float) -> Result:
    return Result(number=number, lr=0.1, state=TrialState.COMPLETE, score=1.0, **fields)  # type: ignore[arg-type]


def lost(number: int, state: TrialState) -> Result:
    return Result(number=number, lr=0.5, state=state)


def test_a_line_for_each_epoch_and_one_for_the_cost() -> None:
    first = EpochRecord(
        epoch=0,
        results=(complete(0, value=-1.25, loss=2.3026, accuracy=0.0951), complete(1)),
        chosen_number=0,
        reason="best",
        train_passes=2.0,
        val_passes=3.0,
        seconds=1.26,
    )
    tenth = EpochRecord(
        epoch=10,
        results=(complete(0, value=1.5, loss=0.00123, accuracy=1.0), lost(1, TrialState.DIVERGED)),
        chosen_number=0,
        reason="best",
        train_passes=1.5,
        val_passes=2.0,
        seconds=10.0,
    )
    assert history_table(SearchHistory([first, tenth])).splitlines() == [
        "epoch     rate   kappa     loss  accuracy      candidates  passes  seconds",
        "    0  1.0e-01  -1.250     2.30     9.5 %               2     2.0      1.3",
        "   10  1.0e-01   1.500  0.00123   100.0 %  2 (1 diverged)     1.5     10.0",
        "2 epochs searched with 4 candidates: 3.5 passes over the training data, "
        "5.0 over the validation data, 11.3 seconds",
    ]


def test_values_that_were_not_logged_and_epochs_without_a_winner() -> None:
    nothing = EpochRecord(epoch=3, results=(complete(0),), chosen_number=0, reason="the only one")
    none_left = EpochRecord(
        epoch=4,
        results=(lost(0, TrialState.DIVERGED), lost(1, TrialState.DIVERGED), lost(2, TrialState.FAILED)),
        chosen_number=None,
        reason="all diverged",
    )
    lines = history_table(SearchHistory([nothing, none_left])).splitlines()
    assert lines[1].split() == ["3", "1.0e-01", "-", "-", "-", "1", "0.0", "0.0"]
    assert lines[2].split()[:5] == ["4", "-", "-", "-", "-"]
    assert "3 (2 diverged, 1 failed)" in lines[2]
    assert len({len(line) for line in lines[:-1]}) == 1


def test_an_empty_history_says_so() -> None:
    assert history_table(SearchHistory()) == "No epoch was searched."


def test_runs_beside_each_other() -> None:
    table = comparison_table(
        {
            "searched each epoch": {"test accuracy": 0.98765, "passes": 60.0, "found": "2.1e-02"},
            "plain": {"test accuracy": None, "passes": 123456.0},
        }
    )
    assert table.splitlines() == [
        "run                  test accuracy  passes    found",
        "searched each epoch         0.9877      60  2.1e-02",
        "plain                            -  123456        -",
    ]


def test_no_runs_give_the_header_alone() -> None:
    assert comparison_table({}) == "run"
