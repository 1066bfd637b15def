from __future__ import annotations

import pytest

from lightning_gammabo.records import EpochRecord
from lightning_gammabo.report.style import apart, by_epoch, legend_above, log_scale, panels, plain, scatter, score_label
from tests.unit.report.histories import searched_history

plt = pytest.importorskip("matplotlib.pyplot")


def test_a_figure_is_pyplots_unless_it_is_made_apart() -> None:
    (axes,) = panels(3.0)
    assert axes.figure.number in plt.get_fignums()
    plt.close("all")
    with apart(width=3.5):
        (axes,) = panels(3.0)
    assert plt.get_fignums() == []
    # half as wide; the height shrinks by a quarter only, for the words keep their size
    assert axes.figure.get_size_inches() == pytest.approx([3.5, 2.25])


def test_apart_ends_where_the_body_raises() -> None:
    with pytest.raises(RuntimeError, match="boom"), apart(width=3.5):
        raise RuntimeError("boom")
    assert panels(3.0)[0].figure.get_figwidth() == 7.0


def test_panels_lie_below_each_other_and_share_their_x_axis() -> None:
    top, low = panels(4.0, ratios=(3.0, 1.0))
    low.set_xlim(2.0, 5.0)
    assert top.get_xlim() == (2.0, 5.0)
    top.figure.draw_without_rendering()
    assert top.get_position().y0 > low.get_position().y1
    assert top.get_position().height == pytest.approx(3 * low.get_position().height, rel=0.05)


def test_no_points_draw_nothing() -> None:
    (axes,) = panels(3.0)
    scatter(axes, [], label="none")
    assert not axes.collections
    scatter(axes, [(1.0, 2.0), (3.0, 4.0)], label="two")
    assert axes.collections[0].get_offsets().tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(("width", "columns"), [(7.0, 4), (3.5, 2)])
def test_a_legend_has_as_many_columns_as_there_is_room_for(width: float, columns: int) -> None:
    with apart(width):
        (axes,) = panels(3.0)
    axes.figure.draw_without_rendering()
    for name in "abcde":
        axes.plot([0, 1], label=name)
    legend_above(axes, "$ is no formula")
    assert axes.get_legend()._ncols == columns
    assert axes.get_title(loc="left") == "$ is no formula"


@pytest.mark.parametrize(
    ("low", "high", "ticks"), [(0.011, 0.9, [0.02, 0.05, 0.1, 0.2, 0.5]), (0.00011, 0.9, [0.001, 0.01, 0.1])]
)
def test_ticks_of_a_logarithmic_axis_are_plain_numbers(low: float, high: float, ticks: list[float]) -> None:
    (axes,) = panels(3.0)
    log_scale(axes.xaxis, low, high)
    axes.set_xlim(low, high)
    axes.figure.draw_without_rendering()
    shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert shown == pytest.approx(ticks)
    assert axes.xaxis.get_major_formatter()(0.05) == "0.05"


def test_a_long_name_of_an_objective_is_cut() -> None:
    def label(objective: str) -> str:
        return score_label(EpochRecord(epoch=0, results=(), chosen_number=None, reason="", objective=objective))

    assert label("val_f1") == "score (val_f1)"
    assert label("a" * 20) == f"score ({'a' * 20})"
    assert label("a" * 21) == f"score ({'a' * 17}...)"


def test_an_axis_of_epochs_has_whole_numbers_and_room_for_the_first_and_the_last() -> None:
    (axes,) = panels(3.0)
    by_epoch(axes, searched_history(3))
    assert axes.get_xlim() == (-0.6, 2.6)
    assert [tick for tick in axes.get_xticks() if -0.6 <= tick <= 2.6] == [0, 1, 2]


@pytest.mark.parametrize("keep_right", [True, False])
def test_lines_that_carry_nothing_are_gone(keep_right: bool) -> None:
    (axes,) = panels(3.0)
    plain(axes, keep_right=keep_right)
    assert not axes.spines["top"].get_visible()
    assert axes.spines["right"].get_visible() is keep_right
