"""The learning rates that may be proposed, and their place on the unit interval.

The surrogate never sees a learning rate: it sees ``u``, the rate's place between ``low`` (0) and ``high`` (1) on a
logarithmic or a linear scale. The scale lives here and nowhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["LearningRateSpace", "Scale"]

Scale = Literal["log", "linear"]


@dataclass(frozen=True)
class LearningRateSpace:
    """A closed range of learning rates with a scale.

    A rate outside the range has a place too, below 0 or above 1: a trial that was enqueued from there informs the
    surrogate like any other.

    Args:
        low: smallest rate that is proposed; positive on the ``log`` scale, not negative on the ``linear`` one.
        high: largest rate that is proposed.
        scale: ``"log"`` (places are equally spaced in ln lr) or ``"linear"`` (the thesis searched 0.0 to 0.5 linearly).

    Raises:
        ValueError: if the bounds do not fit the scale, or the scale is unknown.

    Example:
        >>> space = LearningRateSpace(1e-3, 1e-1)
        >>> round(space.to_unit(1e-2), 12), round(space.from_unit(0.5), 12)
        (0.5, 0.01)
        >>> round(space.to_unit(1.0), 12)
        1.5
    """

    low: float
    high: float
    scale: Scale = "log"

    def __post_init__(self) -> None:
        if self.scale not in ("log", "linear"):
            raise ValueError(f"LearningRateSpace(scale={self.scale!r}): the scales are 'log' and 'linear'")
        if not 0.0 <= self.low < self.high < math.inf:
            raise ValueError(f"LearningRateSpace needs 0 <= low < high < inf, got low={self.low!r}, high={self.high!r}")
        if self.scale == "log" and self.low == 0.0:
            raise ValueError(
                f"LearningRateSpace(low={self.low!r}, scale='log'): a logarithm needs low > 0; "
                "raise low (1e-5, say) or take scale='linear'"
            )

    def has_place(self, lr: float) -> bool:
        """Whether ``lr`` has a place on this scale: every finite rate on the linear one, positive ones on the other.

        Args:
            lr: a learning rate, in the range or not.

        Returns:
            True where :meth:`to_unit` is defined.
        """
        return math.isfinite(lr) and (self.scale == "linear" or lr > 0.0)

    def to_unit(self, lr: float) -> float:
        """Place of a rate: 0 at ``low``, 1 at ``high``, beyond them outside the range.

        Args:
            lr: a learning rate.

        Returns:
            The place, finite.

        Raises:
            ValueError: if the rate has no place on this scale (not finite; not positive on the ``log`` scale).
        """
        if not self.has_place(lr):
            raise ValueError(f"to_unit({lr!r}): no place on the {self.scale} scale; ask has_place(lr) first")
        if self.scale == "linear":
            return (lr - self.low) / (self.high - self.low)
        return (math.log(lr) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))

    def from_unit(self, u: float) -> float:
        """Rate at a place; places in [0, 1] give rates in [low, high] exactly, whatever the rounding.

        Args:
            u: a place; outside [0, 1] it gives a rate outside the range.

        Returns:
            The learning rate.

        Raises:
            ValueError: if ``u`` is not finite.
        """
        if not math.isfinite(u):
            raise ValueError(f"from_unit({u!r}): a place is a finite number")
        if u in (0.0, 1.0):
            return self.high if u else self.low
        if self.scale == "linear":
            lr = self.low + u * (self.high - self.low)
        else:
            lr = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        return min(max(lr, self.low), self.high) if 0.0 <= u <= 1.0 else lr

    def log10_rates(self, places: Tensor) -> Tensor:
        """``log10`` of the rates at places, differentiable.

        Args:
            places: any shape.

        Returns:
            Shape of ``places``; at a rate of 0 the log of the least positive float.
        """
        if self.scale == "log":
            low, high = math.log10(self.low), math.log10(self.high)
            return low + places * (high - low)
        return (self.low + places * (self.high - self.low)).clamp_min(torch.finfo(places.dtype).tiny).log10()
