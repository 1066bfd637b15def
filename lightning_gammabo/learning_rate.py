"""The learning rates of all optimizers of a run, moved by one multiplier.

A search moves one number; the ratios between parameter groups, and between optimizers, stay as the user set them.
The number that is reported is the *reference rate*: that of the first group that has one above zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from lightning_gammabo.rate_guard import RateGuard

__all__ = ["LearningRates", "default_range", "groups_of", "moved", "rates_of", "write_rate"]

_ADAPTIVE = ("adam", "rmsprop", "lion", "adan", "sophia", "lamb", "adopt", "muon")
"""what the names of optimizers contain that divide the gradient by its size: their rates are smaller"""


def default_range(optimizers: Sequence[Any]) -> tuple[float, float]:
    """A range in which usable rates lie, by the kind of the first optimizer.

    Args:
        optimizers: the run's optimizers.

    Returns:
        Lowest and highest rate: 1e-5 to 0.1 where the gradient's size does not count (Adam and such), else 1e-4 to 1.
    """
    name = type(optimizers[0]).__name__.lower() if optimizers else ""
    return (1e-5, 0.1) if any(kind in name for kind in _ADAPTIVE) else (1e-4, 1.0)


class LearningRates:
    """Reads and writes the rates of some optimizers.

    Args:
        optimizers: torch optimizers (anything with ``param_groups``); others are passed over.
        guard: their guard, or None.

    Attributes:
        reference: the rate that is reported and searched; 0.0 if there is none above zero.
    """

    def __init__(self, optimizers: Sequence[Any], guard: RateGuard | None = None) -> None:
        self._optimizers = list(optimizers)
        self._guard = guard if guard is not None and guard.multiplies else None
        self._height = self._guard.height if self._guard is not None else 1.0
        self._base = self._present = self.current()
        if not any(self._base):
            # a warm-up that starts at zero: the rate it leads to stands in the group or in the optimizer's defaults
            self._base = [_configured(optimizer, group) for optimizer in optimizers for group in groups_of([optimizer])]
            if guard is not None and guard.sets_aside:
                self._present = self._base  # nothing will lead there any more
        self.reference = next((rate for rate in self._base if rate > 0.0), 0.0)

    def current(self) -> list[float]:
        """The rates as they stand.

        Returns:
            One rate for each group of each optimizer.
        """
        return rates_of(self._optimizers)

    def set(self, lr: float) -> list[float]:
        """Move all rates so that the reference rate becomes ``lr``.

        Args:
            lr: the new reference rate. The present one leaves every group as it was found, to the bit.

        Returns:
            The rates that now stand, group by group.
        """
        ratio = 1.0 if lr == self.reference else lr / self.reference
        if self._guard is not None:
            if self._guard.height != self._height * ratio:
                self._guard.rescale(self._height * ratio)
            return self.current()
        targets = self._present if lr == self.reference else moved(self._base, self.reference, lr)
        for group, rate in zip(groups_of(self._optimizers), targets, strict=True):
            if float(group["lr"]) != rate:
                write_rate(group, rate)
        return self.current()


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


def groups_of(optimizers: Sequence[Any]) -> list[dict[str, Any]]:
    """The parameter groups that have a rate.

    Args:
        optimizers: torch optimizers; others are passed over.

    Returns:
        The groups of all of them, in order.
    """
    return [group for optimizer in optimizers for group in getattr(optimizer, "param_groups", []) if "lr" in group]


def rates_of(optimizers: Sequence[Any]) -> list[float]:
    """The rates as they stand.

    Args:
        optimizers: torch optimizers.

    Returns:
        One rate for each group.
    """
    return [float(group["lr"]) for group in groups_of(optimizers)]


def _configured(optimizer: Any, group: dict[str, Any]) -> float:
    return float(group.get("initial_lr", 0.0) or getattr(optimizer, "defaults", {}).get("lr", 0.0))


def write_rate(group: dict[str, Any], lr: float) -> None:
    """Set a group's rate; one that is a tensor (capturable and compiled optimizers) is filled in place.

    Args:
        group: the parameter group.
        lr: the rate.
    """
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr
