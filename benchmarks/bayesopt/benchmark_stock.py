"""The reference: BoTorch as its front page uses it. SingleTaskGP, LogExpectedImprovement, optimize_acqf, all defaults.

Its proposal is a point of the unit interval; the nearest candidate is evaluated, and BoTorch is told of that one. It
may propose a candidate again; that counts as an evaluation. A diverged candidate is told as the problem's floor.
"""

from __future__ import annotations

import warnings

import torch
from botorch.acquisition import AcquisitionFunction
from torch import Tensor

from benchmarks.bayesopt.benchmark_problems import Run


def stock_ask(x: Tensor, y: Tensor, *, inside: float = 0.0) -> float:
    """Fit to ``n x 1`` points of the unit interval and ``n x 1`` values, and propose the next point.

    ``inside`` is no part of the reference: it multiplies expected improvement by the package's belief that the best
    point lies inside the range, to that power, to see how much of a difference that belief alone makes.
    """
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fit that was restarted, of two points being few
        model = SingleTaskGP(x, y)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        acquisition = LogExpectedImprovement(model, best_f=y.max())
        bounds = torch.tensor([[0.0], [1.0]], dtype=x.dtype)
        if inside:
            acquisition = _Inside(acquisition, inside)
        point, _ = optimize_acqf(acquisition, bounds=bounds, q=1, num_restarts=5, raw_samples=20)
    return float(point)


class _Inside(AcquisitionFunction):
    """Log acquisition plus ``power * ln(0.05 + 0.95 * 4 u (1 - u))``."""

    def __init__(self, log_acquisition: AcquisitionFunction, power: float) -> None:
        super().__init__(log_acquisition.model)
        self.log_acquisition, self.power = log_acquisition, power

    def forward(self, X: Tensor) -> Tensor:
        u = X.squeeze(-1).squeeze(-1)
        return self.log_acquisition(X) + self.power * torch.log(0.05 + 0.95 * 4 * u * (1 - u))


def stock_recommend(x: Tensor, y: Tensor) -> int:
    """Which of the evaluated points has the greatest posterior mean."""
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SingleTaskGP(x, y)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return int(model.posterior(x).mean.argmax())


def run_stock(run: Run, evaluations: int, *, diverged: str = "floor", inside: float = 0.0) -> list[int]:
    """Run the reference; returns the recommended candidate after each evaluation.

    ``diverged`` is what BoTorch is told of a diverged candidate: the problem's ``floor``, or the ``worst`` finite
    value seen so far (the floor while there is none).
    """
    problem, recommended = run.problem, []
    with torch.random.fork_rng():
        torch.manual_seed(run.seed)
        for n in range(evaluations):
            run.look(run.initial[n] if n < 2 else problem.nearest(stock_ask(*_data(run, diverged), inside=inside)))
            recommended.append(_recommended(run, diverged))
    return recommended


def _data(run: Run, diverged: str) -> tuple[Tensor, Tensor]:
    seen = [value for value in run.observed if value is not None]
    bad = min(seen, default=run.problem.floor) if diverged == "worst" else run.problem.floor
    x = torch.tensor([[run.problem.unit[i]] for i in run.index], dtype=torch.double)
    y = torch.tensor([[bad if value is None else value] for value in run.observed], dtype=torch.double)
    return x, y


def _recommended(run: Run, diverged: str) -> int:
    x, y = _data(run, diverged)
    if run.problem.noise and len(run.index) in (5, 8, 12):
        return run.index[stock_recommend(x, y)]
    return run.index[int(y.argmax())]
