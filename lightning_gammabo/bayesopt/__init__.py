"""Which learning rate next? Ask and tell; sees no network.

BoTorch and GPyTorch are imported when a search first asks its model, or one of the classes that need them is looked up:
importing them takes a second or more and changes GPyTorch's settings for the whole process.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lightning_gammabo.bayesopt.asktell import Search
from lightning_gammabo.bayesopt.baselines import GridSearch, ListSearch, RandomSearch, SobolSearch
from lightning_gammabo.bayesopt.factory import (
    SAMPLER_NAMES,
    ListSampler,
    SamplerFactory,
    has_surrogate,
    make_search,
    search_name,
)
from lightning_gammabo.bayesopt.gaussian import GaussianBayesOpt
from lightning_gammabo.bayesopt.priors import PlacePrior
from lightning_gammabo.bayesopt.search import BayesOpt
from lightning_gammabo.bayesopt.space import LearningRateSpace
from lightning_gammabo.bayesopt.surrogate import SurrogateView

if TYPE_CHECKING:
    from lightning_gammabo.bayesopt.acquisition import (
        LogStudentTExpectedImprovement,
        LogStudentTProbabilityOfImprovement,
        LogThesisExpectedImprovement,
        StudentTExpectedImprovement,
        StudentTProbabilityOfImprovement,
    )
    from lightning_gammabo.bayesopt.hyperparameters import HyperNodes
    from lightning_gammabo.bayesopt.model import GammaPrecisionGP
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
    "LogStudentTProbabilityOfImprovement",
    "LogThesisExpectedImprovement",
    "PlacePrior",
    "RandomSearch",
    "SamplerFactory",
    "Search",
    "SobolSearch",
    "StudentTExpectedImprovement",
    "StudentTPosterior",
    "StudentTProbabilityOfImprovement",
    "SurrogateView",
    "has_surrogate",
    "make_search",
    "search_name",
]

_NEEDS_BOTORCH = {
    "GammaPrecisionGP": "model",
    "HyperNodes": "hyperparameters",
    "LogStudentTExpectedImprovement": "acquisition",
    "LogStudentTProbabilityOfImprovement": "acquisition",
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
