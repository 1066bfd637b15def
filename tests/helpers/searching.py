"""Callbacks for tests, made of flat arguments: fields of the policy and arguments of the callback side by side."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from lightning_gammabo import GammaLRSearch, SearchPolicy

FIELDS = {field.name for field in fields(SearchPolicy)}


def flat_arguments(policy: str = "epochwise", **given: Any) -> dict[str, Any]:
    """Arguments of the callback, the policy's fields put into a policy with that base."""
    changed = {name: given.pop(name) for name in FIELDS & set(given)}
    return {"policy": SearchPolicy(base=policy, **changed), **given}  # type: ignore[arg-type]


def gamma_search(policy: str = "epochwise", **given: Any) -> GammaLRSearch:
    """A callback whose policy is a named one with the given fields changed."""
    return GammaLRSearch(**flat_arguments(policy, **given))


def searching(**given: Any) -> GammaLRSearch:
    """Three candidates that train the whole epoch, drawn without a surrogate, unless told otherwise."""
    return gamma_search(
        **{"policy": "thesis", "first_random": 1, "first_model": 2, "sampler": "random", "progress": False, **given}
    )


def searching_in_part(**given: Any) -> GammaLRSearch:
    """Three candidates that train a part of the epoch, the chosen one going on from there, under annealing."""
    part = {"first_share": 0.6, "later_share": 0.4, "min_steps": 1}
    # however few steps these epochs have, each is searched
    part |= {"first_random": 2, "first_model": 1, "later_candidates": 3, "later_overhead": 100.0}
    return gamma_search(**{"policy": "epochwise", "sampler": "random", "progress": False, **part, **given})
