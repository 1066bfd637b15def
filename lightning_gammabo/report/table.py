"""How several runs compare, as a console table."""

from __future__ import annotations

from collections.abc import Mapping

from lightning_gammabo.records.table import NOTHING, aligned

__all__ = ["comparison_table"]


def comparison_table(runs: Mapping[str, Mapping[str, float | str | None]]) -> str:
    """Several runs beside each other, one line for each.

    Args:
        runs: a name for each run, with its values by column; a run may lack columns that others have.

    Returns:
        Lines of plain text: names on the left, values aligned on the right, numbers with four digits.

    Example:
        >>> print(comparison_table({"search": {"accuracy": 0.9712, "passes": 60}, "plain": {"accuracy": 0.95}}))
        run     accuracy  passes
        search    0.9712      60
        plain       0.95       -
    """
    columns = list(dict.fromkeys(column for values in runs.values() for column in values))
    width = max(len(name) for name in ("run", *runs))
    rows = ((name.ljust(width), *(_value(values.get(column)) for column in columns)) for name, values in runs.items())
    return "\n".join(aligned(("run".ljust(width), *columns), rows))


def _value(value: float | str | None) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
