"""The learning rates of all optimizers of a run, moved by one multiplier.

A search moves one number; the ratios between parameter groups, and between optimizers, stay as the user set them.
The number that is reported is the *reference rate*: that of the first group that has one above zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

__all__ = ["configured_rate", "default_range", "groups_of", "moved", "rates_of", "usual_rate", "write_rate"]

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


def usual_rate(optimizers: Sequence[Any]) -> float | None:
    """The rate at which an optimizer of this kind usually trains best, at the peak of a schedule that falls to zero.

    Args:
        optimizers: the run's optimizers; the first one counts.

    Returns:
        ``10 ** -2.3`` for Adam and such; ``10 ** -0.25 * (1 - momentum)`` for SGD; None for others.

    Source: medians over recorded runs of small networks (docs/policies_method.md); large Transformers and pretrained
        networks want 10 to 100 times less.
    """
    name = type(optimizers[0]).__name__.lower() if optimizers else ""
    if any(kind in name for kind in _ADAPTIVE):
        return float(10.0**-2.3)
    if "sgd" not in name:
        return None
    momentum = next((float(group.get("momentum", 0.0)) for group in groups_of(optimizers)), 0.0)
    return float(10.0**-0.25 * (1.0 - momentum)) if momentum < 1.0 else None


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
        The groups of all of them, in order; not those whose rate is None, because the optimizer finds its own.
    """
    groups = (group for optimizer in optimizers for group in getattr(optimizer, "param_groups", []))
    return [group for group in groups if group.get("lr") is not None]


def rates_of(optimizers: Sequence[Any]) -> list[float]:
    """The rates as they stand.

    Args:
        optimizers: torch optimizers.

    Returns:
        One rate for each group.
    """
    return [float(group["lr"]) for group in groups_of(optimizers)]


def configured_rate(optimizer: Any, group: dict[str, Any]) -> float:
    """The rate that a group was configured with, whatever a scheduler has made of it.

    Args:
        optimizer: the group's optimizer.
        group: the parameter group.

    Returns:
        ``initial_lr``, else the optimizer's default; 0.0 where there is neither.
    """
    return float(group.get("initial_lr") or getattr(optimizer, "defaults", {}).get("lr") or 0.0)


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
