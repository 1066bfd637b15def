"""What a history shows when it is printed."""

from __future__ import annotations

from typing import Any

import pytest

from lightning_gammabo.records import EpochRate, EpochRecord, Result, RunInfo, SearchHistory, TrainedEpoch, TrialState
from lightning_gammabo.records.table import search_line


def complete(number: int, lr: float = 0.1, **fields: Any) -> Result:
    return Result(number=number, lr=lr, state=TrialState.COMPLETE, score=1.0, **fields)


def lost(number: int, state: TrialState) -> Result:
    return Result(number=number, lr=0.5, state=state)


def search(epoch: int, *results: Result, **fields: Any) -> EpochRecord:
    chosen = next((r.number for r in results if r.state is TrialState.COMPLETE), None)
    values = {"reason": "best", "train_passes": 1.5, "val_passes": 3.0, "seconds": 1.26} | fields
    return EpochRecord(epoch=epoch, results=results, chosen_number=chosen, **values)


def ended(
    epoch: int, lr: float = 0.1, *, peak: float | None = None, back: int | None = None, **fields: Any
) -> TrainedEpoch:
    peak = lr if peak is None else peak
    rate = EpochRate(epoch=epoch, start=lr, end=lr, steps=5, peak=peak, returned_to=back)
    return TrainedEpoch(epoch=epoch, rate=rate, **fields)


def lines(history: SearchHistory) -> list[str]:
    return str(history).splitlines()


def test_what_the_epochs_ended_with_stands_beside_the_search_scores() -> None:
    kappas = [complete(0, value=-1.25, loss=2.3026, accuracy=0.0951), complete(1), lost(2, TrialState.PRUNED)]
    history = SearchHistory(
        [search(0, *kappas, score_samples=256, annealing=0.5)],
        [
            ended(0, 0.1, peak=0.2, loss=0.4321, accuracy=0.875, value=1.61, metrics={"val_loss": 0.4321}),
            ended(1, 0.05, peak=0.2, loss=0.0284, accuracy=1.0, value=4.56, metrics={"val_loss": 0.0284}),
        ],
        RunInfo(validation=0.1, planned=1.45),
    )
    assert lines(history) == [
        "epoch     peak     rate    loss  accuracy  kappa  score  tried  passes   time",
        "    0  2.0e-01  1.0e-01   0.432    87.5 %   1.61  -1.25  3 (1)     1.5  1.3 s",
        "    1  2.0e-01  5.0e-02  0.0284   100.0 %   4.56      -      -     1.0      -",
        "score: search score, kappa of the chosen candidate on 256 validation samples",
        "tried: candidates (in brackets: pruned, diverged or failed)",
        "all other values are what the epoch ended with, as the Trainer logged them",
        "2 epochs trained, 1 searched with 3 candidates: 2.5 passes over the training",
        "data, 4.0 over the validation data, 1.3 s of search",
        "cost: 1.25x a plain fit of 2 epochs (estimated: at most 1.45x)",
    ]


def test_a_loss_is_positive_and_there_is_no_kappa_without_an_accuracy() -> None:
    results = (complete(0, value=2.5, loss=2.5), complete(1, value=3.0, loss=3.0))
    history = SearchHistory([search(0, *results)], [ended(0, loss=1.5, value=1.5)])
    assert history[0].objective == "kappa"
    assert history[0].ranked_by == "loss"
    assert lines(history)[0].split() == ["epoch", "rate", "loss", "score", "tried", "passes", "time"]
    assert lines(history)[1].split() == ["0", "1.0e-01", "1.50", "2.50", "2", "1.5", "1.3", "s"]
    assert "score: search score, loss of the chosen candidate on all validation samples" in str(history)


def test_a_score_of_the_training_loss_claims_no_validation() -> None:
    history = SearchHistory([search(0, complete(0, value=2.5, loss=2.5), score_samples=0)], [ended(0)])
    assert "score: search score, loss of the chosen candidate in its last training steps" in str(history)


def test_a_metric_of_the_users_has_its_own_name() -> None:
    history = SearchHistory([search(0, complete(0, value=0.75), objective="val_f1")], [ended(0, value=0.5)])
    assert lines(history)[0].split()[:4] == ["epoch", "rate", "val_f1", "score"]
    assert lines(history)[1].split()[:4] == ["0", "1.0e-01", "0.500", "0.750"]


def test_an_accuracy_is_shown_in_percent_in_search_and_end() -> None:
    results = (complete(0, value=0.5, accuracy=0.5),)
    history = SearchHistory([search(0, *results, objective="accuracy")], [ended(0, accuracy=0.75)])
    assert lines(history)[1].split()[:6] == ["0", "1.0e-01", "75.0", "%", "50.0", "%"]


def test_a_run_that_was_stopped_early_does_not_compare_unlike_costs() -> None:
    history = SearchHistory([search(0, complete(0))], [ended(0)], RunInfo(epochs=9, planned=1.2))
    assert str(history).endswith("cost: 1.50x a plain fit of 1 epoch (estimated: at most 1.20x for all 9 epochs)")


def test_recovery_is_marked_and_what_it_lost_is_counted() -> None:
    trained = [ended(k, loss=1.0, back=0 if k == 3 else None) for k in range(4)]
    history = SearchHistory([search(0, complete(0, loss=1.0, value=1.0))], trained, RunInfo())
    assert [line.split()[0] for line in lines(history)[1:5]] == ["0", "1x", "2x", "3<0"]
    assert history.lost == {1, 2}
    assert "epoch 3 went back to the end of epoch 0: 2 epochs lost (x)" in lines(history)
    # 4.5 passes, 1.125 a plain one; 2 epochs are left of them
    words = "cost: 1.12x a plain fit of 4 epochs; 2 of 4 epochs were lost: 2.25x for each epoch that was kept"
    assert words in str(history).replace("\n", " ")


def test_an_epoch_that_diverged_and_was_trained_again_is_marked() -> None:
    history = SearchHistory([search(0, complete(0))], [ended(0, retrained=1), ended(1)])
    assert [line.split()[0] for line in lines(history)[1:3]] == ["0r", "1"]
    assert "an epoch marked r diverged and was trained again from its start at the rate shown" in str(history).replace(
        "\n", " "
    )


def test_epochs_without_a_winner_and_values_that_were_not_logged() -> None:
    none = search(4, lost(0, TrialState.DIVERGED), lost(1, TrialState.FAILED))
    history = SearchHistory([search(3, complete(0)), none])
    assert lines(history)[0].split() == ["epoch", "rate", "tried", "passes", "time"]
    assert lines(history)[2].split()[:4] == ["4", "-", "2", "(2)"]


def test_the_rates_of_several_groups_name_their_group() -> None:
    run = RunInfo(group="parameter group 'head' (the first of 2)")
    assert "rates are those of parameter group 'head' (the first of 2); the other groups keep their ratio to it" in str(
        SearchHistory([search(0, complete(0))], run=run)
    ).replace("\n", " ")


def test_of_many_epochs_those_that_were_searched_are_shown() -> None:
    trained = [ended(k, loss=1.0, back=50 if k == 60 else None) for k in range(90)]
    history = SearchHistory([search(0, complete(0)), search(30, complete(0))], trained)
    assert [line.split()[0] for line in lines(history)[1:9]] == ["0", "..", "30", "..", "60<50", "..", "89", "score:"]


def test_an_empty_history_says_so() -> None:
    assert str(SearchHistory()) == "No epoch was searched."
    assert SearchHistory()._repr_html_().endswith("<p>No epoch was searched.</p>")


def test_a_table_of_all_columns_fits_80_characters() -> None:
    results = (*(complete(k, value=-1.25, loss=2.3, accuracy=0.1) for k in range(9)), lost(9, TrialState.PRUNED))
    trained = [ended(e, 0.1, peak=0.2, loss=1e-4, accuracy=1.0, value=-1.25) for e in range(100, 110)]
    history = SearchHistory(
        [search(e, *results, seconds=5999.0) for e in range(100, 110)], trained, RunInfo(planned=1.5)
    )
    assert max(map(len, lines(history))) <= 80


def test_a_notebook_shows_the_table_and_escapes_it() -> None:
    objective = "<b>f1</b>"
    history = SearchHistory([search(0, complete(0, value=0.5), objective=objective)], [ended(0, value=0.5)])
    page = history._repr_html_()
    assert "<th>&lt;b&gt;f1&lt;/b&gt;</th>" in page
    assert "<td>1.0e-01</td>" in page
    assert objective not in page


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (
            search(
                0,
                complete(0, 0.031),
                *(lost(k, TrialState.PRUNED) for k in range(1, 5)),
                complete(5),
                complete(6),
                seconds=10.2,
            ),
            "epoch 0: peak 3.1e-02 of 7 candidates, 4 pruned, 10 s",
        ),
        (search(3, complete(0, 0.01), annealing=0.5), "epoch 3: peak 1.0e-02 of 1 candidate, 1.3 s"),
        (
            search(2, lost(0, TrialState.DIVERGED), lost(1, TrialState.FAILED), seconds=200.0),
            "epoch 2: no rate chosen of 2 candidates, 1 diverged, 1 failed, 3:20",
        ),
    ],
)
def test_a_search_in_one_line(record: EpochRecord, line: str) -> None:
    assert search_line(record) == line
