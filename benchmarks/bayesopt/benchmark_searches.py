"""The searches of the benchmark, each as ``search(run, evaluations) -> recommended candidate after each evaluation``.

Without noise the recommended candidate is the best one seen. With noise it is what the search itself recommends; a
search that has no opinion recommends its best observation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.bayesopt.benchmark_problems import Floats, Problem, Run
from benchmarks.bayesopt.benchmark_stock import run_stock
from lightning_gammabo.bayesopt import LearningRateSpace, make_search

SPACE = LearningRateSpace(1e-4, 1.0)
"""Range of the recorded tables; test functions are laid over the same range, which only names their places."""

BOTORCH = ("gaussian", "gaussian_log_ei", "gaussian_pi", "stock_worst", "stock_inside")
"""Searches that are fitted by BoTorch, about 0.1 s a proposal, and run less often than the reference."""

Search = Callable[[Run, int], list[int]]


def make(kind: str, *, seed: int, n_trials: int = 12, **options: Any) -> Any:
    """A search of the package on :data:`SPACE` with two initial trials."""
    return make_search(kind, SPACE, seed=seed, n_initial=2, n_trials=n_trials, **options)


def best_seen(run: Run) -> int:
    """The candidate of the best observation; the first one while all diverged."""
    values = [-np.inf if value is None else value for value in run.observed]
    return run.index[int(np.argmax(values))]


def ask_at_candidate(run: Run, search: Any) -> tuple[Any, int]:
    """A trial and its candidate. A place between two is moved to the nearer one, and the search learns of the move."""
    trial = search.ask()
    index = run.problem.nearest(SPACE.to_unit(trial.lr))
    exact = SPACE.from_unit(float(run.problem.unit[index]))
    if abs(SPACE.to_unit(trial.lr) - run.problem.unit[index]) > 1e-9:
        search.discard(trial)
        search.enqueue(exact)
        trial = search.ask()
    return trial, index


def ask_and_tell(run: Run, search: Any) -> None:
    """One evaluation."""
    trial, index = ask_at_candidate(run, search)
    search.tell(trial, run.look(index))


def run_model(
    run: Run, evaluations: int, *, kind: str, start: str = "paired", side_by_side: int = 1, **options: Any
) -> list[int]:
    """A search with a surrogate; ``start="own"`` lets it choose its first two candidates itself.

    ``side_by_side`` evaluations, of which there is a multiple, are asked for before the first of them is told.
    """
    if kind.startswith("gamma"):  # its grid is the candidates
        options = {"grid_size": len(run.problem.unit), "deterministic": run.problem.noise == 0.0} | options
    search, recommended = make(kind, seed=run.seed, n_trials=evaluations, **options), []
    if start == "paired":
        for index in run.initial:
            search.enqueue(SPACE.from_unit(float(run.problem.unit[index])))
    for _ in range(evaluations // side_by_side):
        for trial, place in [ask_at_candidate(run, search) for _ in range(side_by_side)]:
            search.tell(trial, run.look(place))
            if run.problem.noise and hasattr(search, "suggest_best"):
                recommended.append(run.problem.nearest(SPACE.to_unit(search.suggest_best())))
            else:
                recommended.append(best_seen(run))
    return recommended


def run_blind(run: Run, evaluations: int, *, kind: str) -> list[int]:
    """Random search goes on from the common start; Sobol's sequence is its own from the first point on."""
    search, recommended = make(kind, seed=run.seed), []
    for n in range(evaluations):
        trial = search.ask()
        paired = kind == "random" and n < len(run.initial)
        index = run.initial[n] if paired else run.problem.nearest(SPACE.to_unit(trial.lr))
        search.tell(trial, run.look(index))
        recommended.append(best_seen(run))
    return recommended


def run_grid(run: Run, evaluations: int) -> list[int]:
    """After n evaluations: the best of a grid of n, a new grid for each n."""
    recommended = []
    for n in range(1, evaluations + 1):
        grid = Run(run.problem, run.seed)
        search = make("grid", seed=0, n_trials=n)
        for _ in range(n):
            trial = search.ask()
            search.tell(trial, grid.look(run.problem.nearest(SPACE.to_unit(trial.lr))))
        recommended.append(best_seen(grid))
    run.index = grid.index
    return recommended


def predict_gamma(
    problem: Problem, seen: list[int], y: Floats, targets: list[int], y_targets: Floats, **options: Any
) -> tuple[Floats, Floats]:
    """PIT and log density of observations at some candidates, by the package's surrogate."""
    search = make("gamma", seed=0, deterministic=problem.noise == 0.0, **options)
    for index, value in zip(seen, y, strict=True):
        search.enqueue(SPACE.from_unit(float(problem.unit[index])))
        search.tell(search.ask(), float(value))
    rates = [SPACE.from_unit(float(problem.unit[i])) for i in targets]
    view = search.surrogate_at(rates, observation_noise=True)
    return view.cdf(y_targets), view.log_density(y_targets)


SEARCHES: dict[str, Search] = {
    "stock": run_stock,
    "stock_worst": partial(run_stock, diverged="worst"),
    "stock_inside": partial(run_stock, inside=2.0),
    "gamma": partial(run_model, kind="gamma"),
    "gamma_own_start": partial(run_model, kind="gamma", start="own"),
    "gamma_no_inside": partial(run_model, kind="gamma", inside=0.0),
    "gamma_one_node": partial(run_model, kind="gamma", hyperparameters="maximise"),
    "gamma_unit_precision": partial(run_model, kind="gamma", surrogate="gaussian"),
    "gamma_four": partial(run_model, kind="gamma", side_by_side=4),
    "gamma_thesis": partial(run_model, kind="gamma_thesis"),
    "gaussian": partial(run_model, kind="gaussian"),
    "gaussian_log_ei": partial(run_model, kind="gaussian_log_ei"),
    "gaussian_pi": partial(run_model, kind="gaussian_pi"),
    "grid": run_grid,
    "sobol": partial(run_blind, kind="sobol"),
    "random": partial(run_blind, kind="random"),
}
"""The reference first. ``gamma`` is the package's default; the three after ``own_start`` leave one of its parts out,
the one after them asks for four trials side by side."""
