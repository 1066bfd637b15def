"""The direction of a metric by its name."""

from __future__ import annotations

import pytest

from lightning_gammabo.determinant.direction import known_mode


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("val_loss", "min"),
        ("loss/validation", "min"),
        ("valLoss", "min"),
        ("val_top5_error", None),
        ("test/RMSE", "min"),
        ("val_cross_entropy", "min"),
        ("ppl", "min"),
        ("val_acc", "max"),
        ("val_MulticlassF1Score", "max"),
        ("AUROC", "max"),
        ("val/r2", "max"),
        ("val_mAP", "max"),
        ("val_score", None),
        ("accuracy_loss", None),
        ("maple_leaf", None),
        ("", None),
    ],
)
def test_a_name_tells_its_direction_or_nothing(name: str, mode: str | None) -> None:
    assert known_mode(name) == mode
