"""A run's LR schedule in miniature: what a short candidate trains with, so that it can be judged by its peak rate.

A candidate that begins inside a warm-up sees small rates only, whatever the peak is. In the miniature the warm-up is
shortened to at most a quarter of the candidate, and the peak follows.
"""

from __future__ import annotations

from dataclasses import dataclass

from lightning_gammabo.learning_rate.lookahead import Forecast

__all__ = ["WARM_UP_SHARE", "Miniature", "cooling_factors", "miniature"]

WARM_UP_SHARE = 4
"""a warm-up takes at most one in so many steps of a candidate"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Miniature:
    """The rates of a candidate, one for each optimizer step before its cooling.

    Args:
        multipliers: rate of the reference group relative to the candidate's peak.
        ratios: each group's rate relative to the reference group's; one tuple for each step.
        momenta: momentum, or Adam's first beta; empty where no scheduler cycles it.
    """

    multipliers: tuple[float, ...]
    ratios: tuple[tuple[float, ...], ...]
    momenta: tuple[float, ...] = ()

    def rates(self, step: int, peak: float) -> list[float]:
        """The rates of one step.

        Args:
            step: optimizer step of the candidate, from 0; past the end it is the last one.
            peak: the candidate's peak rate.

        Returns:
            One rate for each parameter group.
        """
        step = min(step, len(self.multipliers) - 1)
        return [peak * self.multipliers[step] * ratio for ratio in self.ratios[step]]

    def momentum(self, step: int) -> float | None:
        """The momentum of one step.

        Args:
            step: as in :meth:`rates`.

        Returns:
            The momentum, or Adam's first beta; None where no scheduler cycles it.
        """
        return self.momenta[min(step, len(self.momenta) - 1)] if self.momenta else None


def miniature(forecast: Forecast, steps: int) -> Miniature:
    """Shorten a run's schedule to a candidate's length.

    Args:
        forecast: the schedule of the run.
        steps: optimizer steps of the candidate, without its cooling.

    Returns:
        The warm-up, at even distances, in at most a quarter of the steps; then the peak.

    Raises:
        ValueError: if ``steps`` is below 1.

    Example:
        >>> import numpy as np
        >>> from lightning_gammabo.learning_rate.lookahead import Forecast
        >>> rates = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 0.8, 0.6, 0.4, 0.2])
        >>> alone = ((0, (1.0,)),)
        >>> run = Forecast(
        ...     multipliers=rates, peak=0.1, configured=0.1, ratios=alone, momenta=rates[:0], interval="step"
        ... )
        >>> miniature(run, 8).multipliers
        (0.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    """
    if steps < 1:
        raise ValueError(f"miniature(steps={steps!r}): need at least 1")
    whole = forecast.warm_up
    short = min(whole, steps // WARM_UP_SHARE)
    # the middles of equal parts: of a warm-up that is not shortened, each of its steps
    positions = [(2 * step + 1) * whole // (2 * short) for step in range(short)] + [whole] * (steps - short)
    return Miniature(
        multipliers=tuple(float(forecast.multipliers[at]) if at < whole else 1.0 for at in positions),
        ratios=tuple(forecast.ratios_at(at) for at in positions),
        momenta=tuple(float(forecast.momenta[at]) for at in positions) if len(forecast.momenta) else (),
    )


def cooling_factors(steps: int) -> tuple[float, ...]:
    """A line from one to zero over some optimizer steps, in the middle of each.

    Args:
        steps: optimizer steps of the cooling.

    Returns:
        What the rate before the cooling is multiplied by, for each step.

    Example:
        >>> cooling_factors(4)
        (0.875, 0.625, 0.375, 0.125)
    """
    return tuple(1.0 - (step + 0.5) / steps for step in range(steps))
