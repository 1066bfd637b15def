"""The search that tests of trust run: full candidates in every epoch, few of them, drawn without a surrogate."""

from __future__ import annotations

from typing import Any

from lightning_gammabo import GammaLRSearch


def searching(**given: Any) -> GammaLRSearch:
    """Three candidates in each epoch unless told otherwise; arguments as those of ``GammaLRSearch``."""
    return GammaLRSearch(
        **{"policy": "thesis", "n_initial": 1, "n_iterations": 2, "search": "random", "progress": False, **given}
    )
