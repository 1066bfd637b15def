"""Numbers as a reader says them."""

from __future__ import annotations

__all__ = ["count", "percent", "short_time"]


def count(n: int, noun: str) -> str:
    """A number and its noun.

    Args:
        n: how many.
        noun: in the singular; its plural ends on s.

    Returns:
        Such as ``1 epoch`` or ``2 epochs``.
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def percent(share: float) -> str:
    """A share in percent.

    Args:
        share: from 0 to 1.

    Returns:
        Such as ``97.2 %``.
    """
    return f"{100.0 * share:.1f} %"


def short_time(seconds: float) -> str:
    """A time span in a few characters.

    Args:
        seconds: of wall time.

    Returns:
        Seconds below 100, then minutes and seconds, then hours.

    Example:
        >>> [short_time(s) for s in (2.54, 42.0, 200, 7500)]
        ['2.5 s', '42 s', '3:20', '2.1 h']
    """
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes / 60.0:.1f} h" if minutes >= 60 else f"{minutes}:{rest:02d}"
