"""Ask and tell on the unit interval: what was told and is pending as places, and where a proposal may lie."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from lightning_gammabo.bayesopt.asktell import AskTell
from lightning_gammabo.bayesopt.bounds import Bounds, away_from, space_filling
from lightning_gammabo.bayesopt.space import LearningRateSpace
from lightning_gammabo.bayesopt.surrogate import newest_and_best

__all__ = ["MAX_POINTS", "PlacedSearch"]

Array = npt.NDArray[np.float64]

MAX_POINTS = 256
"""a surrogate sees the better half and the newer half of so many scores, lest ask() grow without bound"""
_BESIDE = 0.02
"""trials that run side by side are at least so far apart on the unit interval"""


class PlacedSearch(AskTell):
    """Base of the searches with a surrogate: a grid of places, bounds, and space filling while nothing is known.

    Args:
        space: the rates that may be proposed.
        seed: not negative; the same seed and the same tells give the same asks.
        n_initial: trials before the surrogate is asked; enqueued ones count.
        deterministic: whether a repeated rate would repeat its score: if so none is proposed twice.
        grid_size: number of places on the unit interval.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(
        self, space: LearningRateSpace, *, seed: int, n_initial: int, deterministic: bool, grid_size: int
    ) -> None:
        super().__init__(space, seed=seed)
        self._at_least("n_initial", n_initial, 0)
        self._at_least("grid_size", grid_size, 8)
        self.n_initial, self.deterministic, self.grid_size = n_initial, deterministic, grid_size
        self._places = np.linspace(0.0, 1.0, grid_size)

    def _places_of(self, rates: Iterable[float]) -> Array:
        return np.asarray([self.space.to_unit(lr) for lr in rates if self.space.has_place(lr)], dtype=np.float64)

    def _bounds(self) -> Bounds:
        return Bounds(
            finite=self._places_of(t.trial.lr for t in self._told if t.score is not None),
            diverged=self._places_of(t.trial.lr for t in self._told if t.score is None),
        )

    def _tried(self) -> Array:
        return self._places_of([*(t.trial.lr for t in self._told), *(t.lr for t in self._pending.values())])

    def _scored(self) -> tuple[Array, Array]:
        # rates and scores of the finite trials that have a place, at most MAX_POINTS
        scored = [(t.trial.lr, t.score) for t in self._told if t.score is not None and self.space.has_place(t.trial.lr)]
        pairs = newest_and_best(np.asarray(scored, dtype=np.float64).reshape(-1, 2), MAX_POINTS)
        return pairs[:, 0], pairs[:, 1]

    def _pending_places(self) -> Array:
        return self._places_of(t.lr for t in self._pending.values())

    def _space_filling(self, number: int) -> float:
        cells = self.n_initial if self._count < self.n_initial else 0
        place = space_filling(self._rng(number), self._bounds(), self._tried(), cells, self._places)
        return self.space.from_unit(place)

    def _allowed(self) -> npt.NDArray[np.bool_]:
        # neither where rates diverged nor beside a pending trial nor, if scores repeat, where one was tried
        allowed = self._bounds().allows(self._places)
        allowed &= away_from(self._places, self._pending_places(), _BESIDE)
        if self.deterministic:
            allowed &= away_from(self._places, self._tried(), 0.5 / (self.grid_size - 1))
        return allowed

    def _one_of(self, name: str, value: object, choices: tuple[str, ...]) -> None:
        if value not in choices:
            listed = ", ".join(map(repr, choices))
            raise ValueError(f"{type(self).__name__}({name}={value!r}): the choices are {listed}")

    def _at_least(self, name: str, value: float, least: float) -> None:
        if not least <= value < math.inf:
            raise ValueError(f"{type(self).__name__}({name}={value!r}): need a finite number of at least {least}")
