"""Which learning rate next? Ask and tell; sees no network.

BoTorch and GPyTorch are imported only when one of their classes, or a search that needs them, is used.
"""

from __future__ import annotations

from lightning_gammabo.bayesopt._asktell import Search
from lightning_gammabo.bayesopt._factory import make_search
from lightning_gammabo.bayesopt.baselines import GridSearch, ListSearch, RandomSearch, SobolSearch
from lightning_gammabo.bayesopt.gaussian import GaussianBayesOpt
from lightning_gammabo.bayesopt.search import BayesOpt
from lightning_gammabo.bayesopt.space import LearningRateSpace

__all__ = [
    "BayesOpt",
    "GaussianBayesOpt",
    "GridSearch",
    "LearningRateSpace",
    "ListSearch",
    "RandomSearch",
    "Search",
    "SobolSearch",
    "make_search",
]
