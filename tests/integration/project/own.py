"""An objective and a search of a project's own."""

from __future__ import annotations

from lightning_gammabo import CustomObjective, SamplerFactory
from lightning_gammabo.bayesopt import GridSearch, LearningRateSpace, Search
from lightning_gammabo.determinant.objective import ValidationMetrics


class Weighted(CustomObjective):
    def __init__(self, weight: float = 0.5) -> None:
        self.weight = weight

    def score(self, measured: ValidationMetrics) -> float:
        return measured.metrics["val_acc"] - self.weight * measured.metrics["val_loss"]


class Coarse(SamplerFactory):
    def __init__(self, points: int = 3) -> None:
        self.points = points

    def make(self, space: LearningRateSpace, *, seed: int, n_initial: int, n_trials: int) -> Search:
        return GridSearch(space, n_trials=self.points)
