"""Searches to compare with, behind the same ask and tell: list, grid, random, Sobol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.quasirandom import SobolEngine

from lightning_gammabo.bayesopt.asktell import AskTell
from lightning_gammabo.bayesopt.space import LearningRateSpace

__all__ = ["GridSearch", "ListSearch", "RandomSearch", "SobolSearch"]


class ListSearch(AskTell):
    """The given rates, in the given order; enqueued ones come first and do not count.

    Args:
        space: the range that reports speak of; the rates need not lie in it.
        candidates: the rates, finite and not negative.
        seed: accepted as in every search; nothing is random here.

    Raises:
        ValueError: if there are no candidates, or one is negative or not finite.

    Example:
        >>> search = ListSearch(LearningRateSpace(1e-3, 0.5), candidates=[0.1, 0.01])
        >>> [search.ask().lr, search.ask().lr], search.finished
        ([0.1, 0.01], True)
    """

    _origin = "list"

    def __init__(self, space: LearningRateSpace, *, candidates: Sequence[float], seed: int = 0) -> None:
        super().__init__(space, seed=seed)
        self.candidates = tuple(float(lr) for lr in candidates)
        if not self.candidates or not all(0.0 <= lr < math.inf for lr in self.candidates):
            raise ValueError(f"candidates={candidates!r}: give at least one rate, each finite and not negative")
        self._next = 0

    @property
    def finished(self) -> bool:
        """Whether every rate was asked for."""
        return not self._queue and self._next >= len(self.candidates)

    def _propose(self, number: int) -> tuple[float, str]:
        if self._next >= len(self.candidates):
            raise RuntimeError(f"all {len(self.candidates)} candidates were asked for; look at `finished` before ask()")
        self._next += 1
        return self.candidates[self._next - 1], self._origin

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which :meth:`load_state_dict` continues identically.

        Returns:
            Strings, numbers, None, lists and dictionaries only.
        """
        return {**super().state_dict(), "next": self._next}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state; the search must have been made with the same arguments.

        Args:
            state_dict: what :meth:`state_dict` gave.
        """
        super().load_state_dict(state_dict)
        self._next = int(state_dict["next"])


class GridSearch(ListSearch):
    """``n_trials`` equally spaced places from ``low`` to ``high``, both included, in ascending order.

    Rates that were enqueued before the first proposal take their share of ``n_trials``: the grid is then so much
    coarser and still ends at ``high``.

    Args:
        space: the range.
        n_trials: how many trials in all; a single one lies in the middle.
        seed: accepted as in every search; nothing is random here.

    Raises:
        ValueError: if ``n_trials`` is not positive.

    Example:
        >>> [round(trial.lr, 9) for trial in GridSearch(LearningRateSpace(1e-3, 1e-1), n_trials=3).ask(3)]
        [0.001, 0.01, 0.1]
    """

    _origin = "grid"

    def __init__(self, space: LearningRateSpace, *, n_trials: int, seed: int = 0) -> None:
        if n_trials < 1:
            raise ValueError(f"GridSearch(n_trials={n_trials!r}): need at least one trial")
        super().__init__(space, candidates=_grid(space, n_trials), seed=seed)
        self.n_trials = n_trials

    def enqueue(self, lr: float, origin: str = "current") -> None:
        """Have the next ``ask`` return this rate; before the grid has begun, the grid gets one place less.

        Args:
            lr: the rate, finite and not negative.
            origin: what the trial's ``origin`` will say.
        """
        super().enqueue(lr, origin)
        if self._next == 0:
            self._resize(len(self.candidates) - 1)

    def _resize(self, size: int) -> None:
        self.candidates = _grid(self.space, size) if size > 0 else ()

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which :meth:`load_state_dict` continues identically.

        Returns:
            Strings, numbers, None, lists and dictionaries only.
        """
        return {**super().state_dict(), "size": len(self.candidates)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state; the search must have been made with the same arguments.

        Args:
            state_dict: what :meth:`state_dict` gave.
        """
        super().load_state_dict(state_dict)
        self._resize(int(state_dict["size"]))


def _grid(space: LearningRateSpace, size: int) -> tuple[float, ...]:
    if size == 1:
        return (space.from_unit(0.5),)
    return tuple(space.from_unit(i / (size - 1)) for i in range(size))


class RandomSearch(AskTell):
    """Places drawn uniformly and independently: the baseline that every claim is to be compared with.

    Args:
        space: the range.
        seed: not negative; trial k's place depends on the seed and on k alone.

    Example:
        >>> search = RandomSearch(LearningRateSpace(1e-3, 1e-1), seed=0)
        >>> 1e-3 <= search.ask().lr <= 1e-1
        True
    """

    def _propose(self, number: int) -> tuple[float, str]:
        return self.space.from_unit(float(self._rng(number).uniform())), "random"


class SobolSearch(AskTell):
    """A scrambled Sobol sequence: random search without its clumps.

    Args:
        space: the range.
        seed: not negative; trial k's place depends on the seed and on k alone.

    Example:
        The first two places lie in different halves of the range:

        >>> search = SobolSearch(LearningRateSpace(0.0, 1.0, scale="linear"), seed=0)
        >>> sorted(trial.lr > 0.5 for trial in search.ask(2))
        [False, True]
    """

    def _propose(self, number: int) -> tuple[float, str]:
        engine: Any = SobolEngine(1, scramble=True, seed=self.seed)  # type: ignore[no-untyped-call]
        if number:
            engine.fast_forward(number)
        return self.space.from_unit(float(engine.draw(1, dtype=torch.float64))), "sobol"
