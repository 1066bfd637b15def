from __future__ import annotations

import sys
from typing import Any

import pytest

from lightning_gammabo.records import EpochRate, EpochRecord, SearchHistory, TrainedEpoch
from lightning_gammabo.report.landscape import plot_landscape
from lightning_gammabo.report.plots import plot_cost, plot_schedule
from tests.unit.report.histories import complete, drawn, drawn_history, labels

plt = pytest.importorskip("matplotlib.pyplot")


def trained(*epochs: dict[str, Any]) -> SearchHistory:
    """The searches among all epochs, as they were trained."""
    return SearchHistory(drawn_history(), [TrainedEpoch(epoch=k, **epoch) for k, epoch in enumerate(epochs)])


def test_the_schedule_shows_the_committed_rates_among_the_tried() -> None:
    rate, value = plot_schedule(drawn_history())
    assert rate.lines[0].get_xydata().tolist() == [[0, 0.01], [2, 0.02]]
    assert value.lines[0].get_ydata().tolist() == [1.49, 1.48]
    assert (rate.get_yscale(), value.get_ylabel()) == ("log", "kappa")
    assert labels(rate) == ["tried", "diverged", "committed"]
    assert sum(len(points.get_offsets()) for points in rate.collections) == 5
    assert drawn(rate).get_position().y0 > value.get_position().y1 - 0.05  # two panels, none over the other


def test_the_schedule_on_given_axes_has_the_objective_at_the_right() -> None:
    _, ax = plt.subplots()
    rate, value = plot_schedule(drawn_history(), ax)
    assert rate is ax
    assert value is not ax
    assert value.yaxis.get_label_position() == "right"
    assert drawn(value).get_position().bounds == ax.get_position().bounds


def test_the_schedule_shows_what_every_epoch_was_trained_with() -> None:
    rates = [EpochRate(epoch=e, start=0.1 / (e + 1), end=0.1 / (e + 2), steps=5, peak=0.1) for e in range(5)]
    rate, _ = plot_schedule(trained(*({"rate": rate} for rate in rates)))
    lines = {line.get_label(): line for line in rate.lines}
    points = [tuple(point) for point in lines["trained with"].get_xydata().tolist() if point[0] == point[0]]
    assert set(lines["peak of the schedule"].get_ydata()) == {0.1}
    assert points[:4] == [(0, 0.1), (1, 0.05), (1, 0.05), (2, 0.1 / 3)]
    assert len(points) == 10
    assert drawn(rate).get_xlim() == (-0.6, 5.1)


def test_rates_are_plain_numbers() -> None:
    rate, _ = plot_schedule(drawn_history())
    shown = {text.get_text() for text in drawn(rate).get_yticklabels()}
    assert {"0.01", "0.1"} <= shown


def test_epochs_are_whole_numbers() -> None:
    _, value = plot_schedule(SearchHistory(drawn_history()[1:2]))
    low, high = value.get_xlim()
    assert [tick for tick in drawn(value).get_xticks() if low <= tick <= high] == [2.0]


def test_without_kappa_the_next_value_is_shown() -> None:
    only_loss = complete(0, 0.1, value=None, accuracy=None)
    record = EpochRecord(epoch=0, results=(only_loss,), chosen_number=0, reason="the only one", objective="loss")
    assert plot_schedule(SearchHistory([record]))[1].get_ylabel() == "validation loss"


def test_a_rate_of_zero_needs_a_linear_scale() -> None:
    record = EpochRecord(epoch=0, results=(complete(0, 0.0), complete(1, 0.1)), chosen_number=0, reason="warm-up")
    assert drawn(plot_schedule(SearchHistory([record]))[0]).get_yscale() == "linear"
    assert drawn(plot_landscape(record)[0]).get_xscale() == "linear"


def test_the_cost_counts_every_pass() -> None:
    axes = plot_cost(drawn_history())
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights == [[2.0, 1.0, 0.0], [0.25, 0.0, 0.25], [0.0, 1.0, 1.0]]
    assert axes.get_title(loc="left") == "5.5 passes for 3 epochs"
    assert labels(drawn(axes)) == ["a plain fit", "candidates", "cut short", "trained again"]


def test_the_rest_of_a_kept_epoch_is_not_trained_again() -> None:
    part = complete(0, 0.1, passes=0.25)
    record = EpochRecord(epoch=0, results=(part, part), chosen_number=0, reason="best", train_passes=1.25)
    axes = plot_cost(SearchHistory([record]))
    assert labels(drawn(axes)) == ["a plain fit", "candidates", "the epoch itself"]
    assert [bars[0].get_height() for bars in axes.containers] == [0.5, 0.75]


def test_a_schedule_that_ends_near_zero_does_not_squeeze_the_others() -> None:
    rates = [
        EpochRate(epoch=0, start=0.1, end=0.1, steps=5, peak=0.1),
        EpochRate(epoch=1, start=0.1, end=1e-9, steps=5, peak=0.1),
    ]
    rate, _ = plot_schedule(trained(*({"rate": rate} for rate in rates)))
    assert 1e-3 < rate.get_ylim()[0] < 0.01


def lost_ground() -> SearchHistory:
    """Epoch 3 went back to the end of epoch 0: epochs 1 and 2 are lost, the search of 2 among them."""
    rates = [
        EpochRate(epoch=e, start=0.1, end=0.1, steps=5, peak=0.1, returned_to=0 if e == 3 else None) for e in range(5)
    ]
    return trained(*({"rate": rate, "value": 1.0 + rate.epoch} for rate in rates))


def test_the_schedule_marks_recovery_and_what_it_lost() -> None:
    rate, value = plot_schedule(lost_ground())
    lines = {line.get_label(): line for line in rate.lines}
    assert list(lines["went back"].get_xdata()) == [3, 3]
    assert lines["committed"].get_xydata().tolist() == [[0, 0.01]]  # that of epoch 2 is lost
    assert {x for x in lines["trained and lost"].get_xdata() if x == x} == {1, 2, 3}
    assert {x for x in lines["trained with"].get_xdata() if x == x} == {0, 1, 3, 4, 5}
    ended = next(line for line in value.lines if line.get_label() == "epoch's end")
    assert ended.get_xydata().tolist() == [[0, 1.0], [3, 4.0], [4, 5.0]]
    lost_ends = next(points for points in value.collections if points.get_label() == "lost")
    assert lost_ends.get_offsets().tolist() == [[1, 2.0], [2, 3.0]]


def test_the_schedule_shows_the_epochs_ends_beside_the_search_scores() -> None:
    _, value = plot_schedule(trained(*({"value": 0.5 * e} for e in range(5))))
    (ended,) = value.lines
    assert ended.get_ydata().tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    (scores,) = [points for points in value.collections if points.get_label() == "search score"]
    assert scores.get_offsets().tolist() == [[0, 1.49], [2, 1.48]]


def test_the_cost_counts_epochs_that_were_not_searched_and_marks_the_lost() -> None:
    axes = plot_cost(lost_ground())
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in axes.containers}
    assert heights["the epoch itself"] == [0.0, 1.0, 0.0, 1.0, 0.0]
    assert heights["lost"] == [1.0, 2.0]
    assert axes.get_title(loc="left") == "7.5 passes for 5 epochs"


def test_an_epoch_that_diverged_costs_its_pass_as_well() -> None:
    axes = plot_cost(SearchHistory(drawn_history(), [TrainedEpoch(epoch=1, retrained=2)]))
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in axes.containers}
    assert heights["trained again"] == [0.0, 2.0, 1.0, 1.0]


def test_an_axis_of_accuracies_ends_at_one() -> None:
    best = complete(0, 0.1, accuracy=1.0, value=1.0)
    record = EpochRecord(
        epoch=0, results=(best, complete(1, 0.2)), chosen_number=0, reason="best", objective="accuracy"
    )
    ends = [TrainedEpoch(epoch=0, accuracy=1.0), TrainedEpoch(epoch=1, accuracy=0.5)]
    assert plot_schedule(SearchHistory([record], ends))[1].get_ylim()[1] == 1.0


@pytest.mark.parametrize("plot", [plot_schedule, plot_cost])
def test_no_picture_of_nothing(plot: Any) -> None:
    with pytest.raises(ValueError, match="the history has no epochs"):
        plot(SearchHistory())


@pytest.mark.parametrize(
    "plot",
    [
        lambda: plot_schedule(drawn_history()),
        lambda: plot_landscape(drawn_history()[0]),
        lambda: plot_cost(drawn_history()),
    ],
)
def test_without_matplotlib_the_words_say_what_to_install(plot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"A picture needs matplotlib: pip install 'lightning_gammabo\[report\]'"
    ):
        plot()
