"""The rates that the user's LR schedulers will write in a run, found by stepping copies of them ahead."""

from __future__ import annotations

import contextlib
import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lightning_gammabo.learning_rate.param_groups import configured_rate, groups_of
from lightning_gammabo.learning_rate.shadow import shadows

__all__ = ["NEAR_PEAK", "Forecast", "look_ahead"]

NEAR_PEAK = 0.99
"""share of the peak rate from which on a warm-up is over"""
Move = Callable[[Any, int, int], object]
"""steps a scheduler, given the epoch and the optimizer steps since the look-ahead began"""
_SAME = 1e-6
"""relative difference of two rates that are taken as equal"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecast:
    """The scheduled rates of a run, one for each optimizer step.

    The rates are those of the reference group: the first parameter group with a rate above zero, at the first step at
    which there is one.

    Args:
        multipliers: rate of each step relative to the peak; shape ``steps``.
        peak: highest rate of the run.
        configured: rate that the reference group was configured with.
        ratios: ``(step, ratios)``: from this step on, each group's rate relative to the reference group's. One entry
            where the groups keep their ratios; the first one is of step 0.
        momenta: momentum, or Adam's first beta, of each step where a scheduler cycles it; shape ``steps``, or empty.
        interval: ``step`` or ``epoch``: how often a scheduler moves the rate; ``never`` where none does.
    """

    multipliers: npt.NDArray[np.float64]
    peak: float
    configured: float
    ratios: tuple[tuple[int, tuple[float, ...]], ...]
    momenta: npt.NDArray[np.float64]
    interval: str

    @property
    def warm_up(self) -> int:
        """Optimizer steps before the rate is near its peak for the first time (:data:`NEAR_PEAK`)."""
        return int(np.argmax(self.multipliers >= NEAR_PEAK))

    @property
    def constant(self) -> bool:
        """Whether the rate stays the same all along."""
        return bool(self.multipliers.min() >= 1.0 - _SAME) and len(self.ratios) == 1

    def ratios_at(self, step: int) -> tuple[float, ...]:
        """Each group's rate relative to the reference group's.

        Args:
            step: an optimizer step, from 0.

        Returns:
            One number for each parameter group.
        """
        return next(ratios for begin, ratios in reversed(self.ratios) if begin <= step)


def look_ahead(
    configs: Sequence[Any],
    optimizers: Sequence[Any],
    *,
    steps: int,
    batches_per_epoch: int | None,
    accumulate: int = 1,
    epoch: int = 0,
    move: Move = lambda scheduler, epoch, steps: scheduler.step(),
) -> Forecast | str:
    """Step copies of the LR schedulers as the Trainer will, from the start of an epoch to the end of the run.

    Nothing of the originals moves: no rate, no counter, no random number generator. Schedulers that react to a metric
    (``reduce_on_plateau``) are left out, so that a plateau scheduler counts as constant. Look ahead before a
    :class:`~lightning_gammabo.learning_rate.controller.LRController` takes the schedulers over.

    Args:
        configs: Lightning's scheduler configurations (read are ``scheduler``, ``interval``, ``frequency`` and
            ``reduce_on_plateau``).
        optimizers: the optimizers of the run.
        steps: optimizer steps that are left of the run.
        batches_per_epoch: batches of an epoch; None where that is not known.
        accumulate: batches of an optimizer step.
        epoch: the epoch that starts, from 0.
        move: steps a scheduler, where that is not done by its own ``step()`` without arguments.

    Returns:
        The forecast; or, where the rates cannot be known, why not, in words.

    Raises:
        ValueError: if ``steps``, ``batches_per_epoch`` or ``accumulate`` is below 1.

    Example:
        >>> from types import SimpleNamespace
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
        >>> warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.2, total_iters=4)
        >>> config = SimpleNamespace(scheduler=warm_up, interval="step", frequency=1, reduce_on_plateau=False)
        >>> forecast = look_ahead([config], [optimizer], steps=6, batches_per_epoch=6)
        >>> forecast.multipliers.round(3).tolist(), forecast.peak, forecast.warm_up
        ([0.2, 0.4, 0.6, 0.8, 1.0, 1.0], 0.5, 4)
        >>> warm_up.last_epoch, optimizer.param_groups[0]["lr"]
        (0, 0.1)
    """
    for name, value in (("steps", steps), ("batches_per_epoch", batches_per_epoch), ("accumulate", accumulate)):
        if value is not None and value < 1:
            raise ValueError(f"look_ahead({name}={value!r}): need at least 1")
    moving = [config for config in configs if not config.reduce_on_plateau]
    by_epoch = [config for config in moving if config.interval == "epoch"]
    if batches_per_epoch is None and by_epoch:
        names = _names(by_epoch)
        return f"{names} steps once an epoch, and the length of an epoch is not known"
    try:
        real = [optimizer for optimizer in optimizers if hasattr(optimizer, "param_groups")]
        schedulers, copies = shadows([config.scheduler for config in moving], real)
    except Exception as error:
        return f"{_names(moving)} cannot be copied ({type(error).__name__}: {error})"
    clock = _Clock(moving, schedulers, move, batches_per_epoch or math.inf, accumulate, epoch)
    notes = _Notes(copies)
    try:
        with _without_trace():
            for step in range(steps):
                if step:
                    clock.tick()
                notes.take(step)
    except Exception as error:
        return f"{_names(moving)} fails when it is run ahead to step {step} ({type(error).__name__}: {error})"
    interval = "never" if not moving else "epoch" if len(by_epoch) == len(moving) else "step"
    return notes.forecast(interval)


class _Clock:
    """Steps schedulers as Lightning's training loop does after each optimizer step."""

    def __init__(
        self, configs: Sequence[Any], schedulers: Sequence[Any], move: Move, batches: float, accumulate: int, epoch: int
    ) -> None:
        pairs = list(zip(configs, schedulers, strict=True))
        self._by_step = [(config.frequency, scheduler) for config, scheduler in pairs if config.interval == "step"]
        self._by_epoch = [(config.frequency, scheduler) for config, scheduler in pairs if config.interval == "epoch"]
        self._move = move
        self._batches = batches
        self._accumulate = accumulate
        self._epoch = epoch
        self._batch: float = 0
        self._steps = 0

    def tick(self) -> None:
        """Train one optimizer step."""
        self._steps += 1
        self._batch = min(self._batch + self._accumulate, self._batches)  # the last batch of an epoch always steps
        self._move_due(self._by_step, self._batch)  # Lightning counts the batches of the epoch
        if self._batch == self._batches:
            self._move_due(self._by_epoch, self._epoch + 1)
            self._epoch += 1
            self._batch = 0

    def _move_due(self, schedulers: Sequence[tuple[int, Any]], count: float) -> None:
        for frequency, scheduler in schedulers:
            if count % frequency == 0:
                self._move(scheduler, self._epoch, self._steps)


class _Notes:
    """Writes down rates, step by step."""

    def __init__(self, optimizers: Sequence[Any]) -> None:
        self._optimizers = optimizers
        self._reference: int | None = None  # until one has a rate above zero
        self._rates: list[float] = []
        self._momenta: list[float] = []
        self._ratios: list[tuple[int, tuple[float, ...]]] = []

    def take(self, step: int) -> None:
        """Note the rates that an optimizer step is trained with."""
        groups = groups_of(self._optimizers)
        rates = [float(group["lr"]) for group in groups]
        if self._reference is None:
            self._reference = next((index for index, rate in enumerate(rates) if rate > 0.0), None)
        index = self._reference or 0
        self._rates.append(rates[index] if rates else 0.0)
        self._momenta.append(_momentum(groups[index]) if groups else 0.0)
        if self._rates[-1] > 0.0:
            ratios = tuple(rate / self._rates[-1] for rate in rates)
            if not self._ratios or not _same(self._ratios[-1][1], ratios):
                self._ratios.append((step if self._ratios else 0, ratios))

    def forecast(self, interval: str) -> Forecast | str:
        """What was noted.

        Returns:
            As :func:`look_ahead`.
        """
        rates = np.array(self._rates)
        peak = float(rates.max())
        if not 0.0 < peak < math.inf:  # NaN as well
            return f"the highest scheduled rate is {peak}"
        configured = [configured_rate(owner, group) for owner in self._optimizers for group in groups_of([owner])]
        momenta = np.array(self._momenta)
        return Forecast(
            multipliers=rates / peak,
            peak=peak,
            configured=configured[self._reference or 0] or peak,
            ratios=tuple(self._ratios),
            momenta=momenta if np.ptp(momenta) > 0.0 else momenta[:0],
            interval=interval,
        )


def _same(left: tuple[float, ...], right: tuple[float, ...]) -> bool:
    return len(left) == len(right) and all(map(lambda a, b: abs(a - b) <= _SAME * abs(a), left, right))


def _momentum(group: dict[str, Any]) -> float:
    return float(group["betas"][0] if "betas" in group else group.get("momentum", 0.0))


def _names(configs: Sequence[Any]) -> str:
    return ", ".join(sorted({type(config.scheduler).__name__ for config in configs}))


@contextlib.contextmanager
def _without_trace() -> Iterator[None]:
    """Within the block nothing is warned of, and the global random number generators are put back at its end."""
    python, numpy = random.getstate(), np.random.get_state()
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
