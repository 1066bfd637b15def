"""Gaussian Bayesian optimisation as BoTorch does it: what the Student-t process is compared with."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from lightning_gammabo.bayesopt.belief import Belief
from lightning_gammabo.bayesopt.priors import PlacePrior
from lightning_gammabo.bayesopt.search import BayesOpt
from lightning_gammabo.bayesopt.space import LearningRateSpace

if TYPE_CHECKING:
    from botorch.acquisition.acquisition import AcquisitionFunction
    from botorch.models.model import Model

__all__ = ["GaussianBayesOpt"]


class GaussianBayesOpt(BayesOpt):
    """The same search over ``SingleTaskGP`` with its default priors, and BoTorch's own acquisitions.

    The model is fitted by ``fit_gpytorch_mll`` to standardised scores. Should the fit draw random numbers, they come
    from a fork of the global generator, seeded by (seed, trial number). Pending trials are believed to score their
    mean: the shape of ``best_f`` that a batch of fantasies needs differs between versions of BoTorch.

    Args:
        space: the rates that may be proposed.
        seed: not negative; the same seed and the same tells give the same asks.
        acquisition: ``"ei"`` with margin ``xi``, ``"log_ei"`` (without margin) or ``"pi"`` with margin ``xi``.
        xi: margin by which the best score is to be improved on, in units of the score; 0.01 is the thesis's.
        n_initial: trials before the surrogate is asked; enqueued ones count.
        prior: where the optimum is believed to lie; None for no belief.
        grid_size: number of places on the unit interval.

    Raises:
        ValueError: if an option is unknown or out of its range.
    """

    _fantasies = 1

    def __init__(
        self,
        space: LearningRateSpace,
        *,
        seed: int = 0,
        acquisition: Literal["ei", "log_ei", "pi"] = "ei",
        xi: float = 0.01,
        n_initial: int = 2,
        prior: PlacePrior | None = None,
        grid_size: int = 512,
    ) -> None:
        self._one_of("acquisition", acquisition, ("ei", "log_ei", "pi"))
        super().__init__(
            space,
            seed=seed,
            acquisition=acquisition,
            xi=xi,
            n_initial=n_initial,
            inside=0.0,
            prior=prior,
            grid_size=grid_size,
        )

    @property
    def _in_logs(self) -> bool:
        return self.acquisition == "log_ei"

    @property
    def _drawn_at(self) -> float:
        return float("inf")

    @contextmanager
    def _arithmetic(self) -> Iterator[None]:
        with super()._arithmetic(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of restarted fits, of two points being few, of EI without a log
            yield

    def _make_model(self, x: Tensor, y: Tensor) -> Model:
        from botorch.fit import fit_gpytorch_mll
        from botorch.models.gp_regression import SingleTaskGP
        from gpytorch.mlls import ExactMarginalLogLikelihood

        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(self._seed_of(2))
            model = SingleTaskGP(x, y, outcome_transform=None)
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return model

    def _make_acquisition(self, belief: Belief) -> AcquisitionFunction:
        from botorch.acquisition.analytic import ExpectedImprovement, ProbabilityOfImprovement

        if self.acquisition == "log_ei":
            return self._make_log_ei(belief)
        kind = ExpectedImprovement if self.acquisition == "ei" else ProbabilityOfImprovement
        return kind(belief.ahead, best_f=belief.best + self.xi / belief.units.unit)

    def _make_log_ei(self, belief: Belief) -> AcquisitionFunction:
        from botorch.acquisition.analytic import LogExpectedImprovement

        return LogExpectedImprovement(belief.ahead, best_f=belief.best)
