"""What differs between Lightnings, and which other parts of a run work otherwise beside a search.

Lightning is installed under two names, ``lightning.pytorch`` and ``pytorch_lightning``. They are copies of the same
code with classes of their own, and each looks with ``isinstance`` for its own ``Callback`` (Trainers before 2.6, any
``LightningCLI``, ``Trainer(callbacks=one)``). So a callback of this package has to be one of both. The second
namespace is not imported for that: nobody can ask for its class who has not imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["NAMESPACES", "join_namespaces", "remarks"]

NAMESPACES = ("lightning.pytorch", "pytorch_lightning")


def join_namespaces(callback: type) -> None:
    """Make a callback class one of every namespace that was imported by now; cheap, and safe to call again.

    To be called wherever the class is looked up or an object of it is made: the namespace that is in use may have been
    imported after this package.

    Args:
        callback: a class derived from the ``Callback`` of one of them.

    Example:
        >>> from lightning.pytorch import Callback
        >>> class Mine(Callback): ...
        >>> join_namespaces(Mine)
        >>> issubclass(Mine, Callback)
        True
    """
    for namespace in NAMESPACES:
        # a module that is being imported just now has no Callback yet
        theirs = getattr(sys.modules.get(namespace), "Callback", None)
        if theirs is not None and not issubclass(callback, theirs):
            callback.__bases__ = (*callback.__bases__, theirs)


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
        if "LearningRateFinder" in names:
            yield (
                "LearningRateFinder runs first and sets the rate that is then one candidate among the others; take it "
                "out, unless you want to pay for both"
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
