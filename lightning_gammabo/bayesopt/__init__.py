"""Which learning rate next? Ask and tell; sees no network.

BoTorch and GPyTorch are imported only when one of their classes, or a search that needs them, is used: importing them
takes a second or more and changes GPyTorch's settings for the whole process.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lightning_gammabo.bayesopt._asktell import Search
from lightning_gammabo.bayesopt._factory import SAMPLER_NAMES, ListSampler, SamplerFactory, make_search, search_name
from lightning_gammabo.bayesopt._view import SurrogateView
from lightning_gammabo.bayesopt.baselines import GridSearch, ListSearch, RandomSearch, SobolSearch
from lightning_gammabo.bayesopt.gaussian import GaussianBayesOpt
from lightning_gammabo.bayesopt.search import BayesOpt
from lightning_gammabo.bayesopt.space import LearningRateSpace

if TYPE_CHECKING:
    from lightning_gammabo.bayesopt.acquisition import (
        LogStudentTExpectedImprovement,
        LogThesisExpectedImprovement,
        StudentTExpectedImprovement,
        StudentTProbabilityOfImprovement,
    )
    from lightning_gammabo.bayesopt.model import GammaPrecisionGP, HyperNodes
    from lightning_gammabo.bayesopt.posterior import StudentTPosterior

__all__ = [
    "SAMPLER_NAMES",
    "BayesOpt",
    "GammaPrecisionGP",
    "GaussianBayesOpt",
    "GridSearch",
    "HyperNodes",
    "LearningRateSpace",
    "ListSampler",
    "ListSearch",
    "LogStudentTExpectedImprovement",
    "LogThesisExpectedImprovement",
    "RandomSearch",
    "SamplerFactory",
    "Search",
    "SobolSearch",
    "StudentTExpectedImprovement",
    "StudentTPosterior",
    "StudentTProbabilityOfImprovement",
    "SurrogateView",
    "make_search",
    "search_name",
]

_NEEDS_BOTORCH = {
    "GammaPrecisionGP": "model",
    "HyperNodes": "model",
    "LogStudentTExpectedImprovement": "acquisition",
    "LogThesisExpectedImprovement": "acquisition",
    "StudentTExpectedImprovement": "acquisition",
    "StudentTPosterior": "posterior",
    "StudentTProbabilityOfImprovement": "acquisition",
}


def __getattr__(name: str) -> Any:
    if name in _NEEDS_BOTORCH:
        return getattr(importlib.import_module(f"{__name__}.{_NEEDS_BOTORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
