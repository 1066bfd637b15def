"""Gaussian Bayesian optimisation as BoTorch does it: what the Student-t process is compared with."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from lightning_gammabo.bayesopt._asktell import AskTell
from lightning_gammabo.bayesopt._bounds import Bounds
from lightning_gammabo.bayesopt.space import LearningRateSpace

if TYPE_CHECKING:
    from botorch.models.gp_regression import SingleTaskGP

__all__ = ["GaussianBayesOpt"]

_CHOICES = ("ei", "log_ei", "pi")


class GaussianBayesOpt(AskTell):
    """``SingleTaskGP`` with its default priors, fitted by ``fit_gpytorch_mll``, and ``optimize_acqf``, unchanged.

    BoTorch is imported at the first proposal that needs it. Its draws come from a fork of the global generator,
    seeded by (seed, trial number). Diverged trials bound the search as in ``BayesOpt``; pending ones are believed to
    score the posterior's mean.

    Args:
        space: the rates that may be proposed.
        seed: not negative; the same seed and the same tells give the same asks.
        acquisition: ``"ei"`` with margin ``xi``, ``"log_ei"`` (without margin) or ``"pi"`` with margin ``xi``.
        xi: margin by which the best score is to be improved on, in units of the score; 0.01 is the thesis's.
        n_initial: trials before the surrogate is asked; enqueued ones count.
        num_restarts: restarts of ``optimize_acqf``.
        raw_samples: raw samples of ``optimize_acqf``.

    Raises:
        ValueError: if an option is unknown or out of its range.
    """

    def __init__(
        self,
        space: LearningRateSpace,
        *,
        seed: int = 0,
        acquisition: Literal["ei", "log_ei", "pi"] = "ei",
        xi: float = 0.01,
        n_initial: int = 2,
        num_restarts: int = 4,
        raw_samples: int = 64,
    ) -> None:
        super().__init__(space, seed=seed)
        if acquisition not in _CHOICES:
            raise ValueError(f"GaussianBayesOpt(acquisition={acquisition!r}): the choices are {_CHOICES}")
        if not 0.0 <= xi < float("inf") or n_initial < 0:
            raise ValueError(f"GaussianBayesOpt(xi={xi!r}, n_initial={n_initial!r}): need both to be at least 0")
        self.acquisition, self.xi, self.n_initial = acquisition, xi, n_initial
        self.num_restarts, self.raw_samples = num_restarts, raw_samples

    def _places(self, rates: list[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.asarray([self.space.to_unit(lr) for lr in rates if self.space.has_place(lr)], dtype=np.float64)

    def _propose(self, number: int) -> tuple[float, str]:
        finite = [t for t in self._told if t.score is not None and self.space.has_place(t.trial.lr)]
        bounds = Bounds(
            finite=self._places([t.trial.lr for t in finite]),
            diverged=self._places([t.trial.lr for t in self._told if t.score is None]),
        )
        if self._count < self.n_initial or not finite:
            return self.space.from_unit(self._random_allowed(number, bounds)), "initial"
        with _isolated(self.seed, number):
            place = self._optimise(bounds, [t.score for t in finite if t.score is not None])
        return self.space.from_unit(place), "acquisition"

    def _random_allowed(self, number: int, bounds: Bounds) -> float:
        draws = self._rng(number).uniform(size=64)
        allowed = draws[bounds.allows(draws)]
        return float(allowed[0]) if allowed.size else 0.5 * min(max(bounds.wall, 0.0), 1.0)

    def _optimise(self, bounds: Bounds, scores: list[float]) -> float:
        from botorch.optim.optimize import optimize_acqf

        x = torch.as_tensor(bounds.finite).unsqueeze(-1)
        y = torch.tensor(scores, dtype=torch.float64).unsqueeze(-1)
        model = self._fit(x, y)
        pending = self._places([t.lr for t in self._pending.values()])
        if pending.size:
            extra = torch.as_tensor(pending).unsqueeze(-1)
            x, y = torch.cat([x, extra]), torch.cat([y, model.posterior(extra).mean.detach()])
            model = self._fit(x, y)
        candidate, _ = optimize_acqf(
            self._acquisition(model, float(max(scores))),
            bounds=torch.tensor([[0.0], [_highest(bounds)]], dtype=torch.float64),
            q=1,
            num_restarts=self.num_restarts,
            raw_samples=self.raw_samples,
        )
        return min(max(float(candidate), 0.0), 1.0)

    def _fit(self, x: torch.Tensor, y: torch.Tensor) -> SingleTaskGP:
        from botorch.fit import fit_gpytorch_mll
        from botorch.models.gp_regression import SingleTaskGP
        from botorch.models.transforms.outcome import Standardize
        from gpytorch.mlls import ExactMarginalLogLikelihood

        model = SingleTaskGP(x, y, outcome_transform=Standardize(1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return model

    def _acquisition(self, model: SingleTaskGP, best: float) -> Any:
        from botorch.acquisition.analytic import ExpectedImprovement, LogExpectedImprovement, ProbabilityOfImprovement

        if self.acquisition == "log_ei":
            return LogExpectedImprovement(model, best_f=best)
        kind = ExpectedImprovement if self.acquisition == "ei" else ProbabilityOfImprovement
        return kind(model, best_f=best + self.xi)


def _highest(bounds: Bounds) -> float:
    # the upper bound of the search: half the way from the highest finite place to the wall, at most 1
    if bounds.wall == float("inf"):
        return 1.0
    return float(min(max(0.5 * (bounds.wall + bounds.finite.max()), 1e-6), 1.0))


@contextmanager
def _isolated(seed: int, number: int) -> Iterator[None]:
    """BoTorch draws from torch's global generator and warns of scaling: neither is to be seen outside."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(int(np.random.SeedSequence((seed, number)).generate_state(1)[0]))
        yield
