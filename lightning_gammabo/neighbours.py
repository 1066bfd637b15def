"""Other parts of a run that work beside a search, but otherwise than their user may expect: named at set-up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["remarks"]


def remarks(trainer: Any, *, scales: bool, keeps_history: bool) -> Iterator[str]:
    """What to say of a Trainer's callbacks and its way to start processes, each with the remedy.

    Args:
        trainer: the Trainer.
        scales: whether the user's LR schedulers are scaled.
        keeps_history: whether the history is written to a file.

    Yields:
        One sentence for each.
    """
    for callback in trainer.callbacks:
        names = {base.__name__ for base in type(callback).__mro__}
        if "LearningRateMonitor" in names and getattr(callback, "logging_interval", None) == "epoch":
            yield (
                "LearningRateMonitor(logging_interval='epoch') logs at the start of an epoch, before it is searched; "
                "logging_interval='step' logs the rates that are trained at"
            )
        if "StochasticWeightAveraging" in names and not scales:
            yield (
                "the schedule of StochasticWeightAveraging is an LR scheduler, and the search writes over it; "
                "lr_schedulers='scale' lets the search multiply it instead"
            )
    launcher = type(getattr(trainer.strategy, "launcher", None)).__name__
    if launcher == "_MultiProcessingLauncher" and not keeps_history:
        yield (
            "the processes that this strategy starts do not give `callback.history` back to yours; "
            "history_file='history.jsonl' keeps it"
        )
