"""What is compared: by name, a function that trains one run and hands the network over.

``start`` is a factor of the default rate: a grid is the same method at several of them, and its cost that of all runs.
"""

from __future__ import annotations

from collections.abc import Callable

from fitting import Fitted, Run, fit
from methods_free import FREE
from methods_tuners import TUNERS

from lightning_gammabo import GammaLRSearch

Method = Callable[[Run], Fitted]

POLICIES = ("thesis", "epochwise", "adaptive", "once", "thorough")


def scheduled(schedule: str, longer: int = 1) -> Method:
    """The configured rate and a schedule; ``longer``: so many times the epochs."""

    def method(run: Run) -> Fitted:
        return fit(run, run.module(run.lr, schedule), epochs=run.epochs * longer)

    return method


def searched(policy: str) -> Method:
    """Our callback as it comes, with the name of a policy and nothing else set."""

    def method(run: Run) -> Fitted:
        search = GammaLRSearch(policy=policy, seed=run.seed, progress=False)
        fitted = fit(run, run.module(run.lr), [search])
        rates = [rate.start for rate in search.rates]
        return Fitted(fitted.module, fitted.scores, rates)

    return method


METHODS: dict[str, Method] = {
    "constant": scheduled("constant"),
    "cosine": scheduled("cosine"),
    "linear": scheduled("linear"),
    "onecycle": scheduled("onecycle"),
    "cosine-2x": scheduled("cosine", longer=2),
    **TUNERS,
    **FREE,
    **{policy: searched(policy) for policy in POLICIES},
}

IGNORE_START = {*TUNERS, *FREE}
"""Methods that do not look at the configured rate: run once, they stand for every start."""
