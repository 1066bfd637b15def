from __future__ import annotations

import dataclasses

import pytest

from lightning_gammabo.records import EpochRecord, TrialState, paired_error
from lightning_gammabo.report.landscape import plot_landscape
from tests.unit.report.histories import complete, drawn, drawn_history, labels, lost

plt = pytest.importorskip("matplotlib.pyplot")


def test_a_pruned_candidate_is_named() -> None:
    results = (complete(0, 0.1), lost(1, 0.5, TrialState.PRUNED), lost(2, 0.9))
    record = EpochRecord(epoch=0, results=results, chosen_number=0, reason="best score")
    assert labels(plot_landscape(record)[0]) == ["pruned or diverged", "committed"]


def test_the_landscape_has_a_panel_for_each_value() -> None:
    panels = plot_landscape(drawn_history()[0])
    assert [axes.get_ylabel() for axes in panels] == ["score (kappa)", "validation accuracy", "validation loss"]
    assert labels(panels[0]) == ["diverged", "committed"]
    assert panels[0].get_title(loc="left") == "epoch 0: 3 candidates"
    for axes in panels:
        assert axes.collections[-1].get_offsets().tolist()[0][0] == 0.01  # the star
        assert drawn(axes).get_xscale() == "log"


def test_the_landscape_on_given_axes_is_the_scores() -> None:
    _, ax = plt.subplots()
    assert plot_landscape(drawn_history()[0], ax) == (ax,)
    assert ax.get_ylabel() == "score (kappa)"


def test_a_landscape_where_all_are_lost_shows_where() -> None:
    results = (lost(0, 0.1), lost(1, 0.5, TrialState.FAILED))
    record = EpochRecord(epoch=0, results=results, chosen_number=None, reason="none is left")
    (axes,) = plot_landscape(record)
    assert [line.get_xdata()[0] for line in drawn(axes).lines] == [0.1, 0.5]
    assert labels(axes) == ["diverged or failed"]


def test_one_huge_loss_does_not_hide_the_others() -> None:
    results = (complete(0, 0.1), complete(1, 0.5, loss=1e5))
    record = EpochRecord(epoch=0, results=results, chosen_number=0, reason="best score")
    assert [axes.get_yscale() for axes in plot_landscape(record)] == ["linear", "linear", "log"]


def test_the_noise_is_that_of_the_difference_to_the_committed_one() -> None:
    results = (
        complete(0, 0.1, parts=(0.8, 0.9, 1.0)),
        complete(1, 0.2, parts=(0.7, 0.9, 0.8)),
        complete(2, 0.3),  # without parts nothing is known of its noise
    )
    record = EpochRecord(epoch=0, results=results, chosen_number=0, reason="best score", n_sigma=2.0)
    (axes, *_) = plot_landscape(record)
    (bars,) = axes.containers
    (segment,) = bars.lines[2][0].get_segments()
    error = paired_error(results[1], results[0])
    assert error is not None
    assert segment[:, 0].tolist() == [0.2, 0.2]
    assert segment[:, 1] == pytest.approx([0.8 - 2 * error, 0.8 + 2 * error])
    assert "2 x noise" in labels(axes)


@pytest.mark.parametrize(("turn", "label"), [(-1.0, "score (-loss)"), (1.0, "score (loss)")])
def test_a_score_whose_sign_is_turned_round_says_so(turn: float, label: str) -> None:
    results = tuple(complete(k, 0.1 * (k + 1), score=turn * (k + 1), value=k + 1.0) for k in range(2))
    record = EpochRecord(epoch=0, results=results, chosen_number=0, reason="best score", objective="loss")
    assert plot_landscape(record)[0].get_ylabel() == label


def test_an_axis_of_accuracies_ends_at_one() -> None:
    record = dataclasses.replace(drawn_history()[0], results=(complete(0, 0.1, accuracy=1.0), complete(1, 0.2)))
    assert plot_landscape(record)[1].get_ylim()[1] == 1.0
