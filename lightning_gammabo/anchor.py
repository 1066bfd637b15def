"""Shapes that a learning rate follows over a run: pure functions of the run's progress."""

from __future__ import annotations

import math

__all__ = ["shape"]


def shape(name: str, progress: float) -> float:
    """Value of a shape.

    Args:
        name: ``constant``, ``cosine`` or ``linear``.
        progress: share of the run that is over, in [0, 1].

    Returns:
        The rate as a share of its height, 1 at the start.

    Raises:
        ValueError: if there is no shape of that name.

    Example:
        >>> shape("cosine", 0.5), shape("linear", 0.25), shape("constant", 0.5)
        (0.5, 0.75, 1.0)
    """
    if name == "constant":
        return 1.0
    if name == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    if name == "linear":
        return 1.0 - progress
    raise ValueError(f"shape({name!r}): the shapes are 'constant', 'cosine', 'linear'")
