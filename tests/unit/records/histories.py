"""Records with every kind of result, to store and to read back."""

from __future__ import annotations

from lightning_gammabo.records import EpochRecord, Result, SearchHistory, TrialState


def result(number: int = 0, **fields: object) -> Result:
    values = {"lr": 0.1 / (number + 1), "state": TrialState.COMPLETE, "score": 1.0 + number, "loss": 0.5, "passes": 1.0}
    return Result(number=number, **(values | fields))  # type: ignore[arg-type]


def diverged(number: int) -> Result:
    return result(number, state=TrialState.DIVERGED, score=None, loss=None, passes=0.25, message="loss is nan")


def record(epoch: int = 0, **fields: object) -> EpochRecord:
    values = {
        "results": (result(0, metrics={"val_loss": 0.5}), diverged(1)),
        "chosen_number": 0,
        "reason": "best score",
    }
    return EpochRecord(epoch=epoch, **(values | fields))  # type: ignore[arg-type]


def history() -> SearchHistory:
    failed = result(0, state=TrialState.FAILED, score=None, message="out of memory")
    return SearchHistory([record(0, train_passes=1.25), record(2, results=(failed,), chosen_number=None)])
