"""Are the surrogates' intervals as wide as they say? Coverage and log score of the predicted next observation.

A surrogate sees ``n`` candidates of a table (drawn at random, or those that the search itself chose first) and predicts
others of the same table that did not diverge. PIT is the predictive distribution function at what came; an interval of
level q covers where ``|2 PIT - 1| <= q``. The log score is the log density of what came, in nats (greater is better);
only differences between rows of one group mean something. On noisy functions the observation is predicted, noise and
all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.stats import norm

from benchmarks.bayesopt.benchmark_problems import Floats, Problem, Run, problems
from benchmarks.bayesopt.benchmark_searches import SEARCHES, predict_gamma

LEVELS = (0.5, 0.8, 0.9, 0.95)
COUNTS = tuple(range(3, 13))
GROUPS = ("digits", "mnist500", "cifar", "krasser", "krasser_noise")
RUNS = 200
BOTORCH_RUNS = 60
TARGETS = 20

Prediction = tuple[Floats, Floats]
"""PIT and log density of each target."""


def predict_gaussian(problem: Problem, seen: list[int], y: Floats, targets: list[int], y_targets: Floats) -> Prediction:
    """BoTorch's SingleTaskGP with its defaults."""
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

    x = torch.tensor(problem.unit[seen]).unsqueeze(-1)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        model = SingleTaskGP(x, torch.tensor(y).unsqueeze(-1))
        with torch.enable_grad():
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        posterior = model.posterior(torch.tensor(problem.unit[targets]).unsqueeze(-1), observation_noise=True)
        mean, sd = posterior.mean.squeeze(-1).numpy(), posterior.variance.clamp_min(1e-16).sqrt().squeeze(-1).numpy()
    return np.asarray(norm.cdf(y_targets, mean, sd)), np.asarray(norm.logpdf(y_targets, mean, sd))


SURROGATES: dict[str, Callable[..., Prediction]] = {"gamma": predict_gamma, "SingleTaskGP": predict_gaussian}


def designs(problem: Problem, seed: int, design: str) -> list[int]:
    """Twelve candidates, in order, that did not diverge; ``search`` takes those of the package's own search."""
    if design == "search":
        run = Run(problem, seed)
        SEARCHES["gamma"](run, max(COUNTS) + 8)  # a few more, as diverged ones and repetitions are left out
        order = [i for i in dict.fromkeys(run.index) if np.isfinite(problem.values[i])]
    else:
        rng = np.random.default_rng([seed, problem.cluster, problem.part, 1])
        order = [int(i) for i in rng.permutation(np.flatnonzero(np.isfinite(problem.values)))]
    return order[: max(COUNTS)]


def measure_group(group: str, design: str) -> list[dict[str, Any]]:
    cases = problems(group)
    found: dict[tuple[str, int], list[Prediction]] = {}
    for repetition in range(-(-RUNS // len(cases))):
        for number, problem in enumerate(cases):
            order = designs(problem, repetition, design)
            rng = np.random.default_rng([repetition, problem.cluster, problem.part, 2])
            rest = np.setdiff1d(np.flatnonzero(np.isfinite(problem.values)), order)
            targets = [int(i) for i in rng.choice(rest, size=TARGETS, replace=False)]
            noise = problem.noise * rng.standard_normal(len(order) + TARGETS)
            observed = problem.values[order] + noise[: len(order)]
            wanted = problem.values[targets] + noise[len(order) :]
            for name, predict in SURROGATES.items():
                if name != "gamma" and repetition * len(cases) + number >= BOTORCH_RUNS:
                    continue
                for n in COUNTS:
                    if n <= len(order):
                        pair = predict(problem, order[:n], observed[:n], targets, wanted)
                        found.setdefault((name, n), []).append(pair)
    rows = []
    for (name, n), pairs in sorted(found.items()):
        pit, score = np.concatenate([p for p, _ in pairs]), np.concatenate([s for _, s in pairs])
        row: dict[str, Any] = {"group": group, "design": design, "surrogate": name, "n": n, "runs": len(pairs)}
        row |= {f"{level:.0%}": float((np.abs(2 * pit - 1) <= level).mean()) for level in LEVELS}
        rows.append(row | {"log score": float(score.mean())})
    return rows


def measure_calibration() -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for design in ("random", "search"):
        for group in GROUPS:
            rows += measure_group(group, design)
            print("calibration", design, group, flush=True)
    return rows


def coverage(rows: list[dict[str, Any]], level: str = "90%") -> list[dict[str, Any]]:
    """Coverage of one level averaged over n, for each group, design and surrogate; and the extremes over n."""
    short = []
    for key in dict.fromkeys((row["group"], row["design"], row["surrogate"]) for row in rows):
        cells = [row for row in rows if (row["group"], row["design"], row["surrogate"]) == key]
        values = [row[level] for row in cells]
        head = dict(zip(("group", "design", "surrogate"), key, strict=True))
        head |= {f"{q:.0%}": float(np.mean([row[f"{q:.0%}"] for row in cells])) for q in LEVELS}
        head |= {f"least {level}": min(values), f"most {level}": max(values)}
        short.append(head | {"log score": float(np.mean([row["log score"] for row in cells]))})
    return short
