"""Tuners that pick a rate and then train with a cosine from it: Lightning's range test, Optuna; and AutoLRS."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.tuner import Tuner

from benchmarks.training.autolrs import autolrs
from benchmarks.training.fitting import Fitted, Run, fit, make_trainer
from benchmarks.training.pbt import pbt

SKIP = slice(10, -1)
SMOOTHING = 0.98
"""Of the losses in Lightning's range test."""

TRIALS = 8
"""As many runs as the grid has."""


def range_test(run: Run) -> Any:
    """Lightning's own, with its own settings: 100 steps from 1e-8 to 1."""
    # it writes a checkpoint, and shows a bar whatever the Trainer was told
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        trainer = make_trainer(run.epochs, folder=folder)
        train, val = run.workload.loaders(run.folder, run.seed)
        return Tuner(trainer).lr_find(run.module(run.lr), train, val)


def finder(run: Run) -> Fitted:
    """The rate that Lightning suggests."""
    found = range_test(run)
    rate = found.suggestion() if found else None
    return fit(run, run.module(rate or run.lr, "cosine"))


def finder_minimum(run: Run) -> Fitted:
    """A tenth of the rate at which the same range test saw its least loss: the rule of thumb of older finders.

    Lightning's running mean of the losses is off by one step in its correction for the start, so that the first ones
    come out at half their value and would be the least; that is put right here. The first ten and the last point are
    left out, as the suggestion has it.
    """
    results = range_test(run).results
    steps = torch.arange(1, len(results["loss"]) + 1)
    means = torch.tensor(results["loss"]) * (1 - SMOOTHING ** (steps + 1)) / (1 - SMOOTHING**steps)
    losses = means[SKIP].nan_to_num(torch.inf, torch.inf)
    return fit(run, run.module(results["lr"][SKIP][int(losses.argmin())] / 10, "cosine"))


def optuna_trials(make_pruner: Callable[[Run], Any]) -> Callable[[Run], Fitted]:
    """TPE over the rates that searches of ours have, pruned through Optuna's own callback; the best trial is kept."""

    def method(run: Run) -> Fitted:
        import optuna
        from optuna_integration import PyTorchLightningPruningCallback

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        best: list[Fitted] = []

        def objective(trial: optuna.Trial) -> float:
            lr = trial.suggest_float("lr", *run.workload.range, log=True)
            prune: Callback = PyTorchLightningPruningCallback(trial, "val_loss")
            fitted = fit(run, run.module(lr, "cosine"), [prune])
            best[:] = [min([*best, fitted], key=lambda one: one.val_loss)]
            return fitted.val_loss

        sampler = optuna.samplers.TPESampler(seed=run.seed)
        study = optuna.create_study(direction="minimize", sampler=sampler, pruner=make_pruner(run))
        study.optimize(objective, n_trials=TRIALS)
        pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
        return Fitted(best[0].module, best[0].scores, best[0].rates, {"pruned": pruned})

    return method


def median_pruner(run: Run) -> Any:
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=2)


def hyperband_pruner(run: Run) -> Any:
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(min_resource=1, max_resource=run.epochs)


TUNERS = {
    "finder": finder,
    "finder-minimum": finder_minimum,
    "optuna-median": optuna_trials(median_pruner),
    "optuna-hyperband": optuna_trials(hyperband_pruner),
    "autolrs": autolrs,
    "pbt": pbt,
}
