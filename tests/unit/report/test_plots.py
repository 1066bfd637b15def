from __future__ import annotations

import sys
from typing import Any

import pytest

from lightning_gammabo.records import EpochRate, EpochRecord, Result, SearchHistory, TrialState
from lightning_gammabo.report.plots import plot_cost, plot_landscape, plot_schedule

plt = pytest.importorskip("matplotlib.pyplot")


def complete(number: int, lr: float, **values: Any) -> Result:
    metrics = {"score": 1.0 - lr, "value": 1.5 - lr, "loss": 0.5 + lr, "accuracy": 0.9 - lr, "passes": 1.0} | values
    return Result(number=number, lr=lr, state=TrialState.COMPLETE, **metrics)


def lost(number: int, lr: float, state: TrialState = TrialState.DIVERGED) -> Result:
    return Result(number=number, lr=lr, state=state, passes=0.25)


def history() -> SearchHistory:
    first = EpochRecord(
        epoch=0,
        results=(complete(0, 0.1), complete(1, 0.01), lost(2, 0.9)),
        chosen_number=1,
        reason="best score",
        train_passes=2.25,
    )
    second = EpochRecord(
        epoch=2, results=(complete(0, 0.02),), chosen_number=0, reason="best score", train_passes=2.0, commit="replay"
    )
    nothing = EpochRecord(
        epoch=4, results=(lost(0, 0.5),), chosen_number=None, reason="diverged", train_passes=1.25, commit="replay"
    )
    return SearchHistory([first, second, nothing])


def labels(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def drawn(axes: Any) -> Any:
    axes.figure.canvas.draw()
    return axes


def test_the_schedule_shows_the_committed_rates_among_the_tried() -> None:
    rate, value = plot_schedule(history())
    assert rate.lines[0].get_xydata().tolist() == [[0, 0.01], [2, 0.02]]
    assert value.lines[0].get_ydata().tolist() == [1.49, 1.48]
    assert (rate.get_yscale(), value.get_ylabel()) == ("log", "kappa")
    assert labels(rate) == ["tried", "diverged", "committed"]
    assert sum(len(points.get_offsets()) for points in rate.collections) == 5
    assert drawn(rate).get_position().y0 > value.get_position().y1 - 0.05  # two panels, none over the other


def test_the_schedule_on_given_axes_has_the_objective_at_the_right() -> None:
    _, ax = plt.subplots()
    rate, value = plot_schedule(history(), ax)
    assert rate is ax
    assert value is not ax
    assert value.yaxis.get_label_position() == "right"
    assert drawn(value).get_position().bounds == ax.get_position().bounds


def test_the_schedule_shows_what_every_epoch_was_trained_with() -> None:
    rates = [EpochRate(epoch=e, start=0.1 / (e + 1), end=0.1 / (e + 2), steps=5, peak=0.1) for e in range(5)]
    rate, _ = plot_schedule(history(), rates=rates)
    (trained,) = [line for line in rate.lines if line.get_label() == "trained with"]
    points = [tuple(point) for point in trained.get_xydata().tolist() if point[0] == point[0]]
    assert points[:4] == [(0, 0.1), (1, 0.05), (1, 0.05), (2, 0.1 / 3)]
    assert len(points) == 10
    assert drawn(rate).get_xlim() == (-0.6, 5.1)


def test_rates_are_plain_numbers() -> None:
    rate, _ = plot_schedule(history())
    shown = {text.get_text() for text in drawn(rate).get_yticklabels()}
    assert {"0.01", "0.1"} <= shown


def test_a_pruned_candidate_is_named() -> None:
    results = (complete(0, 0.1), lost(1, 0.5, TrialState.PRUNED), lost(2, 0.9))
    record = EpochRecord(epoch=0, results=results, chosen_number=0, reason="best score")
    assert labels(plot_landscape(record)[0]) == ["pruned or diverged", "committed"]


def test_epochs_are_whole_numbers() -> None:
    _, value = plot_schedule(history()[1:2])  # type: ignore[arg-type]
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


def test_the_landscape_has_a_panel_for_each_value() -> None:
    panels = plot_landscape(history()[0])
    assert [axes.get_ylabel() for axes in panels] == ["score (kappa)", "validation accuracy", "validation loss"]
    assert labels(panels[0]) == ["diverged", "committed"]
    assert panels[0].get_title(loc="left") == "epoch 0: 3 candidates"
    for axes in panels:
        assert axes.collections[-1].get_offsets().tolist()[0][0] == 0.01  # the star
        assert drawn(axes).get_xscale() == "log"


def test_the_landscape_on_given_axes_is_the_scores() -> None:
    _, ax = plt.subplots()
    assert plot_landscape(history()[0], ax) == (ax,)
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


def test_the_cost_counts_every_pass() -> None:
    axes = plot_cost(history())
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights == [[2.0, 1.0, 0.0], [0.25, 0.0, 0.25], [0.0, 1.0, 1.0]]
    assert axes.get_title(loc="left") == "5.5 passes for 3 epochs"
    assert labels(drawn(axes)) == ["a plain run", "candidates", "cut short", "trained again"]


def test_the_rest_of_a_kept_epoch_is_not_trained_again() -> None:
    part = complete(0, 0.1, passes=0.25)
    record = EpochRecord(epoch=0, results=(part, part), chosen_number=0, reason="best", train_passes=1.25)
    axes = plot_cost(SearchHistory([record]))
    assert labels(drawn(axes)) == ["a plain run", "candidates", "rest of the kept epoch"]
    assert [bars[0].get_height() for bars in axes.containers] == [0.5, 0.75]


def test_a_schedule_that_ends_near_zero_does_not_squeeze_the_others() -> None:
    rates = [
        EpochRate(epoch=0, start=0.1, end=0.1, steps=5, peak=0.1),
        EpochRate(epoch=1, start=0.1, end=1e-9, steps=5, peak=0.1),
    ]
    rate, _ = plot_schedule(history(), rates=rates)
    assert 1e-3 < rate.get_ylim()[0] < 0.01


@pytest.mark.parametrize("plot", [plot_schedule, plot_cost])
def test_no_picture_of_nothing(plot: Any) -> None:
    with pytest.raises(ValueError, match="the history has no epochs"):
        plot(SearchHistory())


@pytest.mark.parametrize(
    "plot", [lambda: plot_schedule(history()), lambda: plot_landscape(history()[0]), lambda: plot_cost(history())]
)
def test_without_matplotlib_the_words_say_what_to_install(plot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"A picture needs matplotlib: pip install 'lightning_gammabo\[report\]'"
    ):
        plot()
