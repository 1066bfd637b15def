"""Tune the learning rate while training: a PyTorch Lightning callback with Bayesian optimisation."""

from __future__ import annotations

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from lightning_gammabo.records import EpochRate, EpochRecord, Result, SearchHistory, Trial, TrialState

if _TYPE_CHECKING:
    from lightning_gammabo.bayesopt import ListSampler, SamplerFactory
    from lightning_gammabo.callback import GammaLRSearch
    from lightning_gammabo.determinant.kappa import Kappa
    from lightning_gammabo.determinant.objective import CustomObjective
    from lightning_gammabo.learning_rate.schedule import GammaSchedule, LRSchedule
    from lightning_gammabo.policy import SearchPolicy

__all__ = [
    "CustomObjective",
    "EpochRate",
    "EpochRecord",
    "GammaLRSearch",
    "GammaSchedule",
    "Kappa",
    "LRSchedule",
    "ListSampler",
    "Result",
    "SamplerFactory",
    "SearchHistory",
    "SearchPolicy",
    "Trial",
    "TrialState",
]

__version__ = "1.0.0rc1"

# what imports torch or Lightning comes when it is asked for: every Trainer of an environment with this package imports
# it, by the entry point of `cli.environment`, and most of them want nothing of it
_LATER = {
    "CustomObjective": "determinant.objective",
    "GammaLRSearch": "callback",
    "GammaSchedule": "learning_rate.schedule",
    "Kappa": "determinant.kappa",
    "LRSchedule": "learning_rate.schedule",
    "ListSampler": "bayesopt",
    "SamplerFactory": "bayesopt",
    "SearchPolicy": "policy",
}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(_importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    if name == "GammaLRSearch":
        from lightning_gammabo.trainer.compat import join_namespaces

        join_namespaces(found)
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
