"""The searches that tests of trust run: few candidates in every epoch, drawn without a surrogate."""

from __future__ import annotations

from typing import Any

from lightning_gammabo import GammaLRSearch


def searching(**given: Any) -> GammaLRSearch:
    """Three candidates that train the whole epoch unless told otherwise; arguments as those of ``GammaLRSearch``."""
    return GammaLRSearch(
        **{"policy": "thesis", "n_initial": 1, "n_iterations": 2, "search": "random", "progress": False, **given}
    )


def searching_in_part(**given: Any) -> GammaLRSearch:
    """Three candidates that train a part of the epoch, the chosen one going on from there, under annealing."""
    part = {"first_fraction": 0.6, "fraction": 0.4, "min_steps": 1}
    # however few steps these epochs have, each is searched
    part |= {"n_initial": 2, "n_iterations": 1, "n_later": 3, "later_share": 100.0}
    return GammaLRSearch(**{"policy": "epochwise", "search": "random", "progress": False, **part, **given})
