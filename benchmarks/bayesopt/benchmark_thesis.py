"""The thesis's claim on Krasser's function, read as literally as possible: Gaussian 8-9 evaluations, Gamma 5-6.

The set-up is that of the thesis's figures 12 and 13: f(x) = -sin(3x) - x^2 + 0.7x on [-1, 2], noise 0.2, first points
-0.9 and 1.1, a Gaussian process with its noise known and an RBF or Matern-5/2 kernel fitted by maximum likelihood
(scikit-learn), expected improvement with xi = 0.01. ``Gamma`` re-estimates variance and mean from the Gamma posterior
of the precision (eqs. 13-15) before the same expected improvement. An evaluation is any look at f, the first two
included. Where the text leaves a choice, it is the reading that the package calls ``gamma_thesis``.
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from benchmarks.bayesopt.benchmark_problems import Floats, Problem, Run, function_problem
from benchmarks.bayesopt.benchmark_searches import SEARCHES

RUNS = 200
EVALUATIONS = 12
XI = 0.01
BLOG = (-0.9, 1.1)
BEST_X = -0.36
SHAPE, RATE = 1.0, 1.0
"""Prior of the precision, of values in units of their standard deviation."""


def expected_improvement(mean: Floats, sd: Floats, best: float) -> Floats:
    sd = np.maximum(sd, 1e-12)
    z = (mean - best - XI) / sd
    return np.asarray((mean - best - XI) * norm.cdf(z) + sd * norm.pdf(z))


def gamma_moments(mean: Floats, var: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Mean and variance after eqs. 13-15, at every candidate: the surrogate's mean is taken as the known mean."""
    n, unit = len(y), max(float(y.var(ddof=1)), 1e-12)
    residual = ((y[None, :] - mean[:, None]) ** 2).sum(axis=1)
    precision_mean = (SHAPE + n / 2) / (RATE * unit + residual / 2)
    posterior_var = 1 / (1 / np.maximum(var, 1e-12) + n * precision_mean)
    posterior_mean = posterior_var * (mean / np.maximum(var, 1e-12) + y.sum() * precision_mean)
    return posterior_mean, posterior_var


def literal(kernel_name: str, gamma: bool) -> Any:
    """A search with the blog's surrogate."""

    def search(run: Run, evaluations: int) -> None:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern

        kernel = ConstantKernel(1.0) * (RBF(1.0) if kernel_name == "RBF" else Matern(1.0, nu=2.5))
        noise = max(run.problem.noise**2, 1e-6)
        candidates = 3.0 * run.problem.unit[:, None] - 1.0
        for n in range(evaluations):
            if n < 2:
                run.look(run.initial[n])
                continue
            x, y = candidates[run.index], np.array(run.observed, dtype=float)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a length scale at its bound
                process = GaussianProcessRegressor(kernel=kernel, alpha=noise).fit(x, y)
                mean, sd = process.predict(candidates, return_std=True)
                best = float(process.predict(x).max()) if run.problem.noise else float(y.max())
            var = sd**2
            if gamma:
                mean, var = gamma_moments(mean, var, y)
            score = expected_improvement(mean, np.sqrt(var), best)
            run.look(int(score.argmax()))

    return search


def first(hits: list[bool]) -> float:
    return float(hits.index(True) + 1) if True in hits else math.inf


def summarise(counts: list[float]) -> dict[str, float | None]:
    quantiles = np.quantile(counts, [0.25, 0.5, 0.75], method="inverted_cdf")
    low, median, high = (float(q) if math.isfinite(q) else None for q in quantiles)
    return {"q25": low, "median": median, "q75": high, "share": float(np.mean(np.isfinite(counts)))}


def measure_cell(search: Any, problem: Problem, blog_start: bool, runs: int) -> dict[str, Any]:
    x = 3.0 * problem.unit - 1.0
    near: dict[str, list[float]] = {"x within 0.1": [], "x within 0.05": [], "f within 1 %": []}
    wrong = []
    for seed in range(runs):
        run = Run(problem, seed)
        if blog_start:
            run.initial = [problem.nearest((start + 1) / 3) for start in BLOG]
        search(run, EVALUATIONS)
        distance = np.abs(x[run.index] - BEST_X)
        near["x within 0.1"].append(first([bool(d <= 0.1 + 1e-9) for d in distance]))
        near["x within 0.05"].append(first([bool(d <= 0.05 + 1e-9) for d in distance]))
        near["f within 1 %"].append(first([bool(r <= 0.01) for r in problem.regrets[run.index]]))
        wrong.append(float(np.mean(x[run.index[2:]] > 0.8)))
    return {name: summarise(counts) for name, counts in near.items()} | {
        "share of looks at x > 0.8": float(np.mean(wrong))
    }


def measure_thesis(runs: int = RUNS, botorch_runs: int = 60, keep: Path | None = None) -> dict[str, Any]:
    """Every search in every setting; with ``keep``, a file for each search, which is not run again."""
    searches = {
        "Gaussian, RBF": (literal("RBF", False), runs),
        "Gamma, RBF": (literal("RBF", True), runs),
        "Gaussian, Matern": (literal("Matern", False), runs),
        "Gamma, Matern": (literal("Matern", True), runs),
        "package: gaussian": (SEARCHES["gaussian"], botorch_runs),
        "package: gamma_thesis": (SEARCHES["gamma_thesis"], runs),
        "package: gamma": (SEARCHES["gamma"], runs),
        "random": (SEARCHES["random"], runs),
    }
    noisy, exact = function_problem("krasser_noise"), function_problem("krasser")
    found: dict[str, Any] = {}
    for name, (search, count) in searches.items():
        path = keep / f"{name.replace(': ', '-').replace(', ', '-')}.json" if keep else None
        if path and path.exists():
            found[name] = json.loads(path.read_text(encoding="utf-8"))
            continue
        found[name] = {
            "noise 0.2, the blog's start": measure_cell(search, noisy, True, count),
            "noise 0.2, random start": measure_cell(search, noisy, False, count),
            "no noise, random start": measure_cell(search, exact, False, count),
            "no noise, the blog's start": measure_cell(search, exact, True, 1),
            "runs": count,
        }
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found[name]), encoding="utf-8")
        print(name, found[name]["noise 0.2, the blog's start"]["x within 0.1"], flush=True)
    return found
