"""The learning rates of all optimizers of a run, moved by one multiplier.

A search moves one number; the ratios between parameter groups, and between optimizers, stay as the user set them.
The number that is reported is the *reference rate*: that of the first group that has one above zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor

__all__ = ["LearningRates", "SchedulerGuard", "moved"]


class SchedulerGuard:
    """Sets LR schedulers aside, or lets the search multiply what they schedule, until :meth:`release`.

    The schedulers stay where users, checkpoints and monitors look for them; only their ``step`` is another one, by
    exchanging the object's class. So it holds for schedulers that Lightning steps and for those stepped by hand.

    Args:
        schedulers: LR schedulers, of torch or like them.
        optimizers: the optimizers that they write to.
        scale: whether their rates are multiplied by :attr:`multiplier`; else they are set aside and never step.
        multiplier: the multiplier that the optimizers' present rates already contain (after a resume).

    Raises:
        TypeError: if a scheduler's class cannot be exchanged.
    """

    def __init__(
        self, schedulers: Iterable[Any], optimizers: Sequence[Any], *, scale: bool, multiplier: float = 1.0
    ) -> None:
        self.scale = scale
        self.multiplier = multiplier
        self._optimizers = list(optimizers)
        # by optimizer and group: what is scheduled, and what this guard wrote last
        self._scheduled: list[list[float]] = [[] for _ in self._optimizers]
        self._written: list[list[float]] = [[] for _ in self._optimizers]
        self._stepping = False
        self._classes: list[tuple[Any, type]] = []
        for scheduler in schedulers:
            own = type(scheduler)
            step = self._scaled_step(own) if scale else _ignored_step
            try:
                scheduler.__class__ = type(own.__name__, (own,), {"step": step, "__module__": own.__module__})
            except TypeError as error:
                self.release()
                raise TypeError(
                    f"GammaLRSearch(lr_schedulers={'scale' if scale else 'override'!r}) cannot set "
                    f"{own.__module__}.{own.__name__} aside ({error}); remove this scheduler for the search"
                ) from error
            self._classes.append((scheduler, own))

    @property
    def sets_aside(self) -> bool:
        """Whether there are schedulers that do not step."""
        return bool(self._classes) and not self.scale

    def release(self) -> None:
        """Give the schedulers their own ``step`` back."""
        while self._classes:
            scheduler, own = self._classes.pop()
            scheduler.__class__ = own

    def rescale(self, multiplier: float) -> None:
        """Multiply the scheduled rates by another number from now on.

        Args:
            multiplier: the new :attr:`multiplier`.
        """
        self._follow()
        self.multiplier = multiplier
        self._write(multiplier)

    def _scaled_step(self, own: type) -> Callable[..., Any]:
        def step(scheduler: Any, *args: Any, **kwargs: Any) -> Any:
            if self._stepping:  # one scheduler steps another
                return own.step(scheduler, *args, **kwargs)  # type: ignore[attr-defined]
            self._follow()
            self._write(1.0)  # the scheduler sees the rates that it left
            self._stepping = True
            try:
                return own.step(scheduler, *args, **kwargs)  # type: ignore[attr-defined]
            finally:
                self._stepping = False
                self._scheduled = [_rates([optimizer]) for optimizer in self._optimizers]
                self._write(self.multiplier)

        return step

    def _follow(self) -> None:
        """Take over what others wrote since: rates set by hand, groups added; they contain the multiplier."""
        for optimizer, scheduled, written in zip(self._optimizers, self._scheduled, self._written, strict=True):
            rates = _rates([optimizer])
            kept = [old if now == left else None for now, old, left in zip(rates, scheduled, written, strict=False)]
            kept += [None] * (len(rates) - len(kept))
            scheduled[:] = [now / self.multiplier if old is None else old for now, old in zip(rates, kept, strict=True)]

    def _write(self, multiplier: float) -> None:
        for optimizer, scheduled, written in zip(self._optimizers, self._scheduled, self._written, strict=True):
            for group, rate in zip(_groups([optimizer]), scheduled, strict=True):
                _write_rate(group, rate * multiplier)
            written[:] = _rates([optimizer])


def moved(rates: Sequence[float], reference: float, lr: float) -> list[float]:
    """Rates moved by one multiplier, so that their ratios stay.

    Args:
        rates: rates, one for each group.
        reference: the reference rate among them, above zero.
        lr: what the reference rate becomes.

    Returns:
        The rates; those that stood at the reference rate are ``lr`` to the bit.

    Example:
        >>> moved([0.1, 0.2], 0.1, 0.5)
        [0.5, 1.0]
    """
    return [lr if rate == reference else rate * (lr / reference) for rate in rates]


class LearningRates:
    """Reads and writes the rates of some optimizers.

    Args:
        optimizers: torch optimizers (anything with ``param_groups``); others are passed over.
        guard: the guard of their schedulers, if it scales.

    Attributes:
        reference: the rate that is reported and searched; 0.0 if there is none above zero.
    """

    def __init__(self, optimizers: Sequence[Any], guard: SchedulerGuard | None = None) -> None:
        self._optimizers = list(optimizers)
        self._guard = guard if guard is not None and guard.scale else None
        self._multiplier = self._guard.multiplier if self._guard is not None else 1.0
        self._base = self._present = self.current()
        if not any(self._base):
            # a warm-up that starts at zero: the rate it leads to stands in the group or in the optimizer's defaults
            self._base = [_configured(optimizer, group) for optimizer in optimizers for group in _groups([optimizer])]
            if guard is not None and guard.sets_aside:
                self._present = self._base  # nothing will lead there any more
        self.reference = next((rate for rate in self._base if rate > 0.0), 0.0)

    def current(self) -> list[float]:
        """The rates as they stand.

        Returns:
            One rate for each group of each optimizer.
        """
        return _rates(self._optimizers)

    def set(self, lr: float) -> list[float]:
        """Move all rates so that the reference rate becomes ``lr``.

        Args:
            lr: the new reference rate. The present one leaves every group as it was found, to the bit.

        Returns:
            The rates that now stand, group by group.
        """
        ratio = 1.0 if lr == self.reference else lr / self.reference
        if self._guard is not None:
            if self._guard.multiplier != self._multiplier * ratio:
                self._guard.rescale(self._multiplier * ratio)
            return self.current()
        targets = self._present if lr == self.reference else moved(self._base, self.reference, lr)
        for group, rate in zip(_groups(self._optimizers), targets, strict=True):
            if float(group["lr"]) != rate:
                _write_rate(group, rate)
        return self.current()


def _ignored_step(scheduler: Any, *args: Any, **kwargs: Any) -> None:
    """An LR scheduler that is set aside does not move."""


def _groups(optimizers: Sequence[Any]) -> list[dict[str, Any]]:
    return [group for optimizer in optimizers for group in getattr(optimizer, "param_groups", []) if "lr" in group]


def _rates(optimizers: Sequence[Any]) -> list[float]:
    return [float(group["lr"]) for group in _groups(optimizers)]


def _configured(optimizer: Any, group: dict[str, Any]) -> float:
    return float(group.get("initial_lr", 0.0) or getattr(optimizer, "defaults", {}).get("lr", 0.0))


# a rate that is a tensor (capturable and compiled optimizers) is filled in place
def _write_rate(group: dict[str, Any], lr: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr
