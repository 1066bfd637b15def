"""What is compared: by name, a function that trains one run and hands the network over.

``start`` is a factor of the default rate: a grid is the same method at several of them, and its cost that of all runs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.training.fitting import Fitted, Run, fit
from benchmarks.training.methods_free import FREE
from benchmarks.training.methods_tuners import TUNERS
from lightning_gammabo import GammaLRSearch, SearchPolicy
from lightning_gammabo.learning_rate.annealing import horizon_factor
from lightning_gammabo.learning_rate.param_groups import usual_rate

Method = Callable[[Run], Fitted]

NO_RECOVERY = "no-recovery"
"""the default with its recovery off"""
OURS: dict[str, str | SearchPolicy] = {
    "thesis": "thesis",
    "epochwise": "epochwise",
    "once": "once",
    "thorough": "thorough",
    NO_RECOVERY: SearchPolicy(recover=False),
}
POLICIES = tuple(OURS)


def scheduled(schedule: str | None, longer: int = 1) -> Method:
    """The configured rate and a schedule, the task's own without a name; ``longer``: so many times the epochs."""

    def method(run: Run) -> Fitted:
        return fit(run, run.module(run.lr, schedule), epochs=run.epochs * longer)

    return method


class BestEpoch(Callback):
    """Keeps the weights of the epoch with the least validation loss, as a checkpoint by `val_loss` does."""

    def __init__(self) -> None:
        self.loss = math.inf
        self.scores: dict[str, float] = {}
        self.weights: dict[str, Any] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if scores["val_loss"] < self.loss:
            self.loss, self.scores = scores["val_loss"], scores
            self.weights = copy.deepcopy(pl_module.state_dict())


def best_epoch(schedule: str) -> Method:
    """The configured rate and a schedule; of all epochs the weights of the best one are handed over."""

    def method(run: Run) -> Fitted:
        best = BestEpoch()
        fitted = fit(run, run.module(run.lr, schedule), [best])
        if best.weights:
            fitted.module.load_state_dict(best.weights)
        return Fitted(fitted.module, best.scores, fitted.rates)

    return method


def searched(policy: str | SearchPolicy) -> Method:
    """Our callback as it comes, with a policy and nothing else set."""

    def method(run: Run) -> Fitted:
        search = GammaLRSearch(policy=policy, seed=run.seed, progress=False)
        fitted = fit(run, run.module(run.lr), [search])
        rates = [rate.start for rate in search.rates]
        cost = search.history.cost
        return Fitted(fitted.module, fitted.scores, rates, {"planned": cost.planned, "counted": cost.times_plain})

    return method


def usual(run: Run) -> Fitted:
    """The optimizer's usual rate, and the task's own schedule or a line: no search, no look at the configured rate."""
    rate = usual_rate([run.workload.optimizer([torch.nn.Parameter(torch.zeros(1))], 1.0)])
    assert rate is not None
    own = run.workload.schedule
    return fit(run, run.module(rate, "linear" if own == "constant" else own))


def cosine_for_length(run: Run) -> Fitted:
    """A cosine at the configured rate, lowered for the length of the run as the default lowers its peak."""
    factor = horizon_factor(run.epochs, SearchPolicy().horizon)
    return fit(run, run.module(run.lr * factor, "cosine"))


METHODS: dict[str, Method] = {
    "own": scheduled(None),
    "usual": usual,
    "constant": scheduled("constant"),
    "cosine": scheduled("cosine"),
    "cosine-best-epoch": best_epoch("cosine"),
    "linear": scheduled("linear"),
    "onecycle": scheduled("onecycle"),
    "cosine-2x": scheduled("cosine", longer=2),
    "cosine-for-length": cosine_for_length,
    **TUNERS,
    **FREE,
    **{name: searched(policy) for name, policy in OURS.items()},
}

IGNORE_START = {"usual", *TUNERS, *FREE}
"""Methods that do not look at the configured rate: run once, they stand for every start."""
