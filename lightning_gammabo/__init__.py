"""Tune the learning rate while training: a PyTorch Lightning callback with Bayesian optimisation."""

from lightning_gammabo.callback import GammaLRSearch
from lightning_gammabo.records import EpochRecord, Result, SearchHistory, Trial, TrialState

__all__ = ["EpochRecord", "GammaLRSearch", "Result", "SearchHistory", "Trial", "TrialState"]

__version__ = "0.1.0"
