"""The rooms of the package, and which others each may import."""

from __future__ import annotations

__all__ = ["MAY_IMPORT"]

_FOUNDATION = {"records", "learning_rate", "determinant", "bayesopt"}
MAY_IMPORT: dict[str, set[str]] = {
    "records": set(),
    "learning_rate": {"records"},
    "determinant": {"records"},
    "bayesopt": {"records"},
    "policy": {"bayesopt", "determinant", "learning_rate"},
    "trainer": {"records", "learning_rate"},
    "report": {"records", "bayesopt"},
    "scheduler": _FOUNDATION | {"policy", "trainer", "report"},
    "callback": _FOUNDATION | {"policy", "trainer", "report", "scheduler"},
    "cli": {"callback", "policy", "bayesopt", "records", "learning_rate", "report", "trainer.compat"},
    "__init__": {"callback", "records", "determinant", "learning_rate", "bayesopt", "policy", "trainer.compat"},
    "__main__": {"cli"},
}
"""room -> rooms, or single modules, that it may import; docs/house.md shows the same table"""
