"""Confusion heat maps with the diagonal left out, where right answers would outshine every error.

Source: the thesis's figures 18, 19 and 21.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_gammabo.report.style import ORANGE, ink, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_confusion"]

_MOST_NUMBERS = 12
"""classes up to which cells bear their numbers"""
_MOST_CELLS = 30
"""classes up to which cells are drawn one by one, not as one image"""


def plot_confusion(
    matrix: Sequence[Sequence[float]], ax: Axes | None = None, *, title: str = "", labels: Sequence[str] | None = None
) -> Axes:
    """Which classes are taken for which others.

    Args:
        matrix: counts or shares, ``C x C``: a row for each true class, a column for each predicted one, as
            torchmetrics has it. Lists, an array or a tensor on the CPU.
        ax: draw here; None for a figure of its own.
        title: stands above.
        labels: names of the classes; None for their numbers.

    Returns:
        The axes.

    Raises:
        ValueError: if the matrix is not square, has a value that is negative or not finite, or the labels do not fit.

    Example:
        >>> axes = plot_confusion([[50, 3], [1, 46]])  # doctest: +SKIP
    """
    counts = np.asarray(matrix, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"plot_confusion: need a square matrix, a row for each true class; got shape {counts.shape}")
    if not (np.isfinite(counts).all() and (counts >= 0.0).all()):
        raise ValueError("plot_confusion: need counts or shares, finite and not negative")
    n = len(counts)
    names = [str(k) for k in range(n)] if labels is None else list(labels)
    if len(names) != n:
        raise ValueError(f"plot_confusion: {len(names)} labels for {n} classes")
    axes = panels(6.0)[0] if ax is None else ax
    errors = counts.copy()
    np.fill_diagonal(errors, 0.0)
    _draw_cells(axes, errors)
    _name_cells(axes, errors, names)
    total = counts.sum()
    words = f"{errors.sum() / total:.1%} wrong".replace("%", " %") if total > 0.0 else "nothing was counted"
    axes.set_title(f"{title}: {words}" if title else words, loc="left", fontsize="medium", parse_math=False)
    return axes


def _draw_cells(axes: Axes, errors: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    n = len(errors)
    # from nothing to a colour, so that it reads on light and on dark
    clear, full = to_rgba(ORANGE, 0.0), to_rgba(ORANGE, 0.75)
    shades = LinearSegmentedColormap.from_list("errors", [clear, full])
    edges = np.arange(n + 1) - 0.5
    hidden = np.ma.masked_array(errors, mask=np.eye(n, dtype=bool))
    axes.pcolormesh(edges, edges, hidden, cmap=shades, vmin=0.0, vmax=errors.max() or 1.0, rasterized=n > _MOST_CELLS)
    axes.plot([-0.5, n - 0.5], [-0.5, n - 0.5], color=ink(), linewidth=0.5, alpha=0.4)
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(n - 0.5, -0.5)
    axes.set_aspect("equal")


def _name_cells(axes: Axes, errors: np.ndarray[tuple[int, ...], np.dtype[np.float64]], names: Sequence[str]) -> None:
    n = len(names)
    if n <= _MOST_NUMBERS:
        for row, column in zip(*np.nonzero(errors), strict=True):
            axes.text(column, row, f"{errors[row, column]:.3g}", ha="center", va="center", fontsize="x-small")
    step = max(1, round(n / _MOST_NUMBERS))
    places = range(0, n, step)
    upright = max(map(len, names)) > 2
    axes.set_xticks(places, [names[k] for k in places], rotation=90 if upright else 0, parse_math=False)
    axes.set_yticks(places, [names[k] for k in places], parse_math=False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
