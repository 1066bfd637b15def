from __future__ import annotations

from typing import Any, get_args

import pytest

from lightning_gammabo.records import SearchHistory
from lightning_gammabo.report.figures import Kind, plot
from lightning_gammabo.report.style import apart
from tests.unit.report.histories import searched_history

plt = pytest.importorskip("matplotlib.pyplot")
MATRICES = {0: {"val_cm": [[9, 1], [2, 8]]}, 3: {"val_cm": [[9, 0], [1, 9]]}}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_draws_on_axes_of_its_own_and_on_given_ones(kind: Kind) -> None:
    axes = plot(searched_history(2), kind, confusion=MATRICES)
    assert axes.figure.axes[0] is axes
    assert axes.figure.number in plt.get_fignums()
    _, ax = plt.subplots()
    assert plot(searched_history(2), kind, ax=ax, confusion=MATRICES) is ax


@pytest.mark.parametrize(
    ("kind", "epoch", "title"),
    [
        ("surrogate", None, "epoch 1: belief after 7 candidates"),
        ("surrogate", 0, "epoch 0: belief after 7 candidates"),
        ("landscape", None, "epoch 1: 7 candidates"),
        ("landscape", 0, "epoch 0: 7 candidates"),
        ("confusion", None, "epoch 3: 5.3 % wrong"),
        ("confusion", 0, "epoch 0: 15.0 % wrong"),
    ],
)
def test_the_last_epoch_or_the_one_that_is_named(kind: Kind, epoch: int | None, title: str) -> None:
    assert plot(searched_history(2), kind, epoch, confusion=MATRICES).get_title(loc="left") == title


@pytest.mark.parametrize(
    ("history", "arguments", "words"),
    [
        (searched_history(1), ("posterior",), r"plot\('posterior'\): the kinds are surrogate, landscape, schedule"),
        (searched_history(1), ("landscape", 5), r"plot\('landscape', epoch=5\): searched were the epochs 0$"),
        (searched_history(1), ("cost", 0), r"plot\('cost', epoch=0\): this picture shows all epochs"),
        (searched_history(1), ("confusion", 1), r"epoch=1\): matrices were seen in the epochs 0, 3"),
        (SearchHistory(), ("landscape",), "the history has no epochs"),
        (SearchHistory(), ("schedule",), "the history has no epochs"),
    ],
)
def test_what_cannot_be_drawn(history: SearchHistory, arguments: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plot(history, *arguments, confusion=MATRICES)


def test_without_a_matrix_the_words_say_how_to_get_one() -> None:
    with pytest.raises(ValueError, match=r"no confusion matrix was seen.*ConfusionMatrix.*plot_confusion"):
        plot(searched_history(1), "confusion")


def test_apart_figures_are_not_pyplots() -> None:
    with apart(width=4.0):
        figure = plot(searched_history(1), "schedule").figure
    assert plt.get_fignums() == []
    assert figure.get_figwidth() == 4.0
    plot(searched_history(1), "schedule")
    assert len(plt.get_fignums()) == 1
