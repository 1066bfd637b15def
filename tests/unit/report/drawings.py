"""Small histories to draw, and what a drawing holds."""

from __future__ import annotations

from typing import Any

from lightning_gammabo.records import EpochRecord, Result, SearchHistory, TrainedEpoch, TrialState


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


def trained(*epochs: dict[str, Any]) -> SearchHistory:
    """The searches among all epochs, as they were trained."""
    return SearchHistory(history(), [TrainedEpoch(epoch=k, **epoch) for k, epoch in enumerate(epochs)])


def labels(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def drawn(axes: Any) -> Any:
    axes.figure.canvas.draw()
    return axes
