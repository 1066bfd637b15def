"""The ask/tell protocol, and what every search shares: numbering, the queue, what was told, the state.

Trial ``k`` of a search with seed ``s`` draws from a generator made of ``(s, k)``. So the state holds no generator, the
same seed and the same tells give the same asks, and no global generator is touched.
"""

from __future__ import annotations

import math
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np

from lightning_gammabo.bayesopt.space import LearningRateSpace
from lightning_gammabo.records import Trial

__all__ = ["AskTell", "Search", "Told"]

_STATE_VERSION = 1


@runtime_checkable
class Search(Protocol):
    """Which rate next? The caller owns the loop: ``ask``, train, ``tell``.

    Attributes:
        space: the rates that may be proposed.
    """

    space: LearningRateSpace

    def enqueue(self, lr: float, origin: str = "current") -> None:
        """Have the next ``ask`` return this rate, wherever it lies.

        Args:
            lr: the rate, finite and not negative; in the range or not.
            origin: what the trial's ``origin`` will say.
        """

    @overload
    def ask(self) -> Trial: ...
    @overload
    def ask(self, n: int) -> list[Trial]: ...
    def ask(self, n: int | None = None) -> Trial | list[Trial]:
        """Propose a trial, or ``n`` trials that are to run side by side.

        Args:
            n: how many; None for a single trial that is not in a list.

        Returns:
            The trial, or the list.
        """

    def tell(self, trial: Trial, score: float | None) -> None:
        """Report how a trial ended.

        Args:
            trial: a trial that ``ask`` returned and that was not told yet.
            score: greater is better; None or a value that is not finite says that it diverged or failed.
        """

    @property
    def finished(self) -> bool:
        """Whether there is nothing (worthwhile) left to try."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which :meth:`load_state_dict` continues identically.

        Returns:
            Strings, numbers, None, lists and dictionaries only.
        """

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state; the search must have been made with the same arguments.

        Args:
            state_dict: what :meth:`state_dict` gave.
        """


@dataclass(frozen=True)
class Told:
    """A trial that has come back.

    Args:
        trial: the trial.
        score: its finite score; None if it diverged or failed.
    """

    trial: Trial
    score: float | None


class AskTell(ABC):
    """Base of the searches: subclasses only say which rate is next.

    Args:
        space: the rates that may be proposed.
        seed: not negative; the same seed and the same tells give the same asks.

    Raises:
        ValueError: if ``seed`` is no integer or negative.
    """

    def __init__(self, space: LearningRateSpace, *, seed: int = 0) -> None:
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"{type(self).__name__}(seed={seed!r}): a seed is an integer and not negative")
        self.space = space
        self.seed = int(seed)
        self._queue: list[tuple[float, str]] = []
        self._pending: dict[int, Trial] = {}
        self._told: list[Told] = []
        self._count = 0

    @abstractmethod
    def _propose(self, number: int) -> tuple[float, str]:
        """Rate and origin of trial ``number``; the queue is empty."""

    def _changed(self) -> None:  # noqa: B027 (a hook, not an abstract method)
        """What was told or is pending has changed: subclasses drop what they computed from it."""

    def enqueue(self, lr: float, origin: str = "current") -> None:
        """Have the next ``ask`` return this rate, wherever it lies; several are returned in the order of enqueueing.

        Args:
            lr: the rate, finite and not negative; outside the range and 0.0 are fine.
            origin: what the trial's ``origin`` will say.

        Raises:
            ValueError: if the rate is negative or not finite.
        """
        rate = _number("enqueue", "lr", lr)
        if not (math.isfinite(rate) and rate >= 0.0):
            raise ValueError(f"enqueue({lr!r}): a learning rate is finite and not negative")
        self._queue.append((rate, str(origin)))

    @overload
    def ask(self) -> Trial: ...
    @overload
    def ask(self, n: int) -> list[Trial]: ...
    def ask(self, n: int | None = None) -> Trial | list[Trial]:
        """Propose a trial, or ``n`` trials that are to run side by side.

        Args:
            n: how many; None for a single trial that is not in a list.

        Returns:
            The trial, or the list.

        Raises:
            ValueError: if ``n`` is not positive.
            RuntimeError: if a finite list of candidates is used up (look at ``finished`` first).
        """
        if n is None:
            return self._ask_one()
        if not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(f"ask({n!r}): ask for at least one trial, by a whole number")
        return [self._ask_one() for _ in range(n)]

    def _ask_one(self) -> Trial:
        if self._queue:
            lr, origin = self._queue.pop(0)
        else:
            lr, origin = self._propose(self._count)
        trial = Trial(number=self._count, lr=lr, origin=origin)
        self._count += 1
        self._pending[trial.number] = trial
        self._changed()
        return trial

    def tell(self, trial: Trial, score: float | None) -> None:
        """Report how a trial ended.

        Args:
            trial: a trial that ``ask`` returned and that was not told yet.
            score: greater is better; None or a value that is not finite says that it diverged or failed. Arrays and
                tensors of one element are numbers.

        Raises:
            ValueError: if this search did not ask for the trial, it was told before, or the score is no number.
        """
        number = math.nan if score is None else _number("tell", "score", score)
        self._take_pending(trial)
        self._told.append(Told(trial, number if math.isfinite(number) else None))
        self._changed()

    def discard(self, trial: Trial) -> None:
        """Take a trial back that will never be told (its process was killed); it leaves no trace but its number.

        Args:
            trial: a trial that ``ask`` returned and that was not told yet.

        Raises:
            ValueError: if this search did not ask for the trial, or it was told before.
        """
        self._take_pending(trial)
        self._changed()

    def _take_pending(self, trial: Trial) -> None:
        if self._pending.get(trial.number) == trial:
            del self._pending[trial.number]
            return
        if any(told.trial == trial for told in self._told):
            raise ValueError(f"{trial} was told before; tell each trial once")
        waiting = [t.number for t in self._pending.values()]
        raise ValueError(
            f"{trial} was not asked for by this search (waiting for trials {waiting}); tell what ask() gave"
        )

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to try: never, unless a subclass knows an end."""
        return False

    @property
    def told(self) -> tuple[Told, ...]:
        """What has come back so far, in the order of telling."""
        return tuple(self._told)

    @property
    def pending(self) -> tuple[Trial, ...]:
        """What was asked for and has not come back."""
        return tuple(self._pending.values())

    def _rng(self, number: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, number))

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which :meth:`load_state_dict` continues identically.

        Returns:
            Strings, numbers, None, lists and dictionaries only: fit for JSON and ``torch.load(weights_only=True)``.
        """
        return {
            "version": _STATE_VERSION,
            "search": type(self).__name__,
            "seed": self.seed,
            "count": self._count,
            "queue": [[lr, origin] for lr, origin in self._queue],
            "pending": [trial.to_dict() for trial in self._pending.values()],
            "told": [{**told.trial.to_dict(), "score": told.score} for told in self._told],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state; the search must have been made with the same arguments.

        Args:
            state_dict: what :meth:`state_dict` gave.

        Raises:
            ValueError: if the state is of another kind of search or of a version that is not known.
        """
        if state_dict.get("search") != type(self).__name__ or state_dict.get("version") != _STATE_VERSION:
            raise ValueError(
                f"state of {state_dict.get('search')!r}, version {state_dict.get('version')!r}, does not fit "
                f"{type(self).__name__!r}, version {_STATE_VERSION}; make the search that wrote it"
            )
        self.seed = int(state_dict["seed"])
        self._count = int(state_dict["count"])
        self._queue = [(float(lr), str(origin)) for lr, origin in state_dict["queue"]]
        self._pending = {trial.number: trial for trial in map(Trial.from_dict, state_dict["pending"])}
        self._told = [Told(Trial.from_dict(told), told["score"]) for told in state_dict["told"]]
        self._changed()


def _number(method: str, name: str, value: object) -> float:
    # a float, or a sentence that says why there is none
    try:
        plain: Any = value.item() if hasattr(value, "item") else value  # of more elements than one there is none
        if isinstance(plain, (str, bytes, bytearray)):
            raise TypeError("text")
        return float(plain)
    except OverflowError:
        raise ValueError(
            f"{method}({name}=...): the number is greater than a float can hold (1.8e308); scale it, or tell None"
        ) from None
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"{method}({name}={reprlib.repr(value)}): need one number (an array or tensor of one element will do)"
            + (", or None for a trial that diverged" if method == "tell" else "")
        ) from None
