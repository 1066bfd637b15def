"""What pictures and reports need beside the package itself, asked for before a training and not after it."""

from __future__ import annotations

import importlib.util

__all__ = ["check_extras"]


def check_extras(what: str, *packages: str) -> None:
    """Refuse to begin what could not be ended.

    Args:
        what: what needs the packages, as the message is to begin.
        *packages: names to import.

    Raises:
        ModuleNotFoundError: if one is not installed; says which and how to get it.

    Example:
        >>> check_extras("A sum", "math")
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        remedy = "pip install 'lightning_gammabo[report]'"
        raise ModuleNotFoundError(f"{what} needs {' and '.join(missing)}: {remedy}", name=missing[0])
