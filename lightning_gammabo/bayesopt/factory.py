"""Searches by name, and searches of one's own."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from lightning_gammabo.bayesopt.asktell import Search
from lightning_gammabo.bayesopt.baselines import GridSearch, ListSearch, RandomSearch, SobolSearch
from lightning_gammabo.bayesopt.gaussian import GaussianBayesOpt
from lightning_gammabo.bayesopt.search import BayesOpt
from lightning_gammabo.bayesopt.space import LearningRateSpace

__all__ = ["SAMPLER_NAMES", "SEARCHES", "ListSampler", "SamplerFactory", "has_surrogate", "make_search", "search_name"]

SEARCHES: dict[str, tuple[Callable[..., Search], dict[str, Any]]] = {
    "gamma": (BayesOpt, {}),
    # the thesis: a Gaussian process with an RBF kernel at its best hyperparameters, reading L2 of eqs. 13-15, EI(0.01)
    "gamma_thesis": (
        BayesOpt,
        {
            "surrogate": "gaussian",
            "kernel": "rbf",
            "hyperparameters": "maximise",
            "acquisition": "thesis",
            "thesis_reading": "L2",
            "xi": 0.01,
        },
    ),
    "gaussian": (GaussianBayesOpt, {"acquisition": "ei", "xi": 0.01}),
    "gaussian_log_ei": (GaussianBayesOpt, {"acquisition": "log_ei"}),
    "gaussian_pi": (GaussianBayesOpt, {"acquisition": "pi", "xi": 0.01}),
    "grid": (GridSearch, {}),
    "random": (RandomSearch, {}),
    "sobol": (SobolSearch, {}),
    "list": (ListSearch, {}),
}
"""name -> class and the arguments that the name stands for"""
SAMPLER_NAMES = tuple(name for name in SEARCHES if name != "list")
"""what a callback's ``sampler`` may be, beside a :class:`SamplerFactory`"""


class SamplerFactory(ABC):
    """A search of one's own: a subclass makes one, anew for each epoch that is searched.

    :class:`~lightning_gammabo.bayesopt.asktell.AskTell` is a base for the search itself that leaves only the next rate
    to be said; anything that keeps the protocol :class:`~lightning_gammabo.bayesopt.Search` will do.

    Example:
        >>> class Coarse(SamplerFactory):
        ...     def make(self, space: LearningRateSpace, *, seed: int, n_initial: int, n_trials: int) -> Search:
        ...         return GridSearch(space, seed=seed, n_trials=3)
        >>> space = LearningRateSpace(1e-3, 1e-1)
        >>> make_search(Coarse(), space, seed=0, n_initial=2, n_trials=8).ask().lr
        0.001
    """

    @property
    def name(self) -> str:
        """What records, tables and messages call it: the name of its class, unless a subclass says otherwise."""
        return type(self).__name__

    @abstractmethod
    def make(self, space: LearningRateSpace, *, seed: int, n_initial: int, n_trials: int) -> Search:
        """A new search.

        Args:
            space: the rates that may be proposed.
            seed: of the search's own randomness, another one in each epoch.
            n_initial: trials before a surrogate is to be asked.
            n_trials: trials planned in all.

        Returns:
            The search; it was told nothing yet.
        """


class ListSampler(SamplerFactory):
    """The rates of a list, one after the other, in every search.

    Args:
        rates: learning rates at the peak of the schedule.

    Attributes:
        rates: as given.

    Raises:
        ValueError: if there is none, or one is not above 0 and finite.
        TypeError: if one is no number.

    Example:
        >>> ListSampler([1e-3, 0.1]).make(LearningRateSpace(1e-4, 1.0), seed=0, n_initial=2, n_trials=3).ask().lr
        0.001
    """

    def __init__(self, rates: Sequence[float]) -> None:
        if isinstance(rates, str) or not isinstance(rates, Sequence) or not rates:
            raise ValueError(f"ListSampler({rates!r}): need a list of rates, for example [1e-3, 1e-2, 0.1]")
        for rate in rates:
            if isinstance(rate, bool) or not isinstance(rate, (int, float)):
                raise TypeError(f"ListSampler({list(rates)!r}): {rate!r} is no number")
            if not 0.0 < rate < math.inf:
                raise ValueError(f"ListSampler({list(rates)!r}): {rate!r} is no rate; each is above 0 and finite")
        self.rates = rates

    @property
    def name(self) -> str:
        """``list``."""
        return "list"

    def make(self, space: LearningRateSpace, *, seed: int, n_initial: int, n_trials: int) -> Search:
        """The list from its beginning.

        Args:
            space: its bounds are for the record; the list is the user's own choice.
            seed: not used.
            n_initial: not used.
            n_trials: not used.

        Returns:
            The search.
        """
        return ListSearch(space, candidates=self.rates)


def has_surrogate(kind: SamplerFactory | str) -> bool | None:
    """Whether a search has a surrogate, which knows what another candidate is expected to gain.

    Args:
        kind: its name, or a factory.

    Returns:
        Whether it has; None of a factory of the user's own.

    Example:
        >>> has_surrogate("gamma"), has_surrogate("grid")
        (True, False)
    """
    if isinstance(kind, ListSampler):
        return False
    if isinstance(kind, SamplerFactory):
        return None
    made_by = SEARCHES[kind][0]
    return isinstance(made_by, type) and issubclass(made_by, BayesOpt)


def search_name(kind: SamplerFactory | str) -> str:
    """What records, tables and messages call a search.

    Args:
        kind: its name, or a factory.

    Returns:
        The name.

    Example:
        >>> search_name("gamma")
        'gamma'
    """
    return kind if isinstance(kind, str) else kind.name


def make_search(
    kind: SamplerFactory | str,
    space: LearningRateSpace,
    *,
    seed: int,
    n_initial: int,
    n_trials: int,
    candidates: Sequence[float] | None = None,
    **options: Any,
) -> Search:
    """A search by name, or one of one's own.

    Args:
        kind: ``gamma`` (Student-t process), ``gamma_thesis`` (eqs. 13-15 as the text reads),
            ``gaussian``, ``gaussian_log_ei``, ``gaussian_pi`` (BoTorch), ``grid``, ``random``, ``sobol``, ``list``;
            or a factory.
        space: the rates that may be proposed.
        seed: of the search's own randomness.
        n_initial: trials before a surrogate is asked; kinds without one ignore it.
        n_trials: trials planned in all; the size of the grid, other kinds go on as long as they are asked.
        candidates: the rates of ``list``.
        **options: keyword arguments of the search's class; they override what the name stands for.

    Returns:
        The search.

    Raises:
        ValueError: if the kind is unknown, an option is not one of its class, or ``candidates`` and kind do not fit.
        TypeError: if what a factory made is no search.

    Example:
        >>> make_search("grid", LearningRateSpace(1e-3, 1e-1), seed=0, n_initial=2, n_trials=3).ask().lr
        0.001
    """
    if isinstance(kind, SamplerFactory):
        return _made_by(kind, space, candidates, options, seed=seed, n_initial=n_initial, n_trials=n_trials)
    if kind not in SEARCHES:
        raise ValueError(f"make_search({kind!r}): the kinds are {', '.join(SEARCHES)}")
    if (candidates is not None) != (kind == "list"):
        need = "needs" if kind == "list" else "takes no"
        raise ValueError(f"make_search({kind!r}, candidates={candidates!r}): {kind!r} {need} candidates")
    cls, preset = SEARCHES[kind]
    known = [name for name in inspect.signature(cls).parameters if name != "space"]
    given: dict[str, Any] = {"seed": seed, "n_initial": n_initial, "n_trials": n_trials, "candidates": candidates}
    own = sorted(set(known) - set(given))
    unknown = sorted(set(options) - set(own))
    if unknown:
        raise ValueError(f"make_search({kind!r}): unknown option {', '.join(unknown)}; {_list(own)}")
    return cls(space, **{name: value for name, value in given.items() if name in known} | preset | options)


def _made_by(
    factory: SamplerFactory,
    space: LearningRateSpace,
    candidates: Sequence[float] | None,
    options: dict[str, Any],
    **planned: int,
) -> Search:
    given = [*(["candidates"] if candidates is not None else []), *options]
    if given:
        raise ValueError(f"make_search({factory.name}): a factory takes no {', '.join(given)}; give it to its class")
    search = factory.make(space, **planned)
    if not isinstance(search, Search):
        raise TypeError(
            f"{factory.name}.make() returned {search!r}; a search has ask, tell, enqueue, finished, state_dict, "
            "load_state_dict and space (the protocol lightning_gammabo.bayesopt.Search)"
        )
    return search


def _list(names: list[str]) -> str:
    return f"the options are {', '.join(names)}" if names else "it has no options"
