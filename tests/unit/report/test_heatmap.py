from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lightning_gammabo.report.heatmap import plot_confusion

pytest.importorskip("matplotlib")


def test_the_diagonal_is_left_out_and_errors_are_named() -> None:
    axes = plot_confusion([[900, 3, 0], [1, 800, 7], [0, 0, 700]], title="epoch 4", labels=["cat", "dog", "$x$"])
    cells = axes.collections[0].get_array()
    np.testing.assert_array_equal(np.diag(cells.mask), True)
    assert cells.max() == axes.collections[0].norm.vmax == 7.0
    assert sorted(text.get_text() for text in axes.texts) == ["1", "3", "7"]
    assert {text.get_text(): text.get_position() for text in axes.texts}["7"] == (2, 1)
    assert axes.get_title(loc="left") == "epoch 4: 0.5 % wrong"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["cat", "dog", "$x$"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    low, high = axes.get_ylim()
    assert low > high  # the first class stands above
    axes.figure.canvas.draw()


def test_many_classes_have_no_numbers_and_few_names() -> None:
    axes = plot_confusion(np.ones((100, 100)))
    assert len(axes.texts) == 0
    assert len(axes.get_xticks()) <= 13
    assert axes.collections[0].get_rasterized()


def test_nothing_wrong_and_nothing_counted() -> None:
    assert plot_confusion(np.eye(3)).get_title(loc="left") == "0.0 % wrong"
    assert plot_confusion(np.zeros((3, 3))).get_title(loc="left") == "nothing was counted"


@pytest.mark.parametrize(
    ("matrix", "labels", "words"),
    [
        ([[1, 2, 3], [4, 5, 6]], None, r"need a square matrix.*got shape \(2, 3\)"),
        ([], None, r"need a square matrix"),
        ([[1, -2], [3, 4]], None, "finite and not negative"),
        ([[1, float("nan")], [3, 4]], None, "finite and not negative"),
        ([[1, 2], [3, 4]], ["one"], "1 labels for 2 classes"),
    ],
)
def test_bad_matrices(matrix: Any, labels: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plot_confusion(matrix, labels=labels)
