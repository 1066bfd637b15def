"""Callbacks for tests, made of flat arguments: fields of the policy and arguments of the callback side by side."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from lightning_gammabo import GammaLRSearch, SearchPolicy

FIELDS = {field.name for field in fields(SearchPolicy)}


def gamma_search(policy: str = "epochwise", **given: Any) -> GammaLRSearch:
    """A callback whose policy is a named one with the given fields changed.

    Args:
        policy: name of the policy.
        **given: fields of ``SearchPolicy`` and arguments of ``GammaLRSearch``.
    """
    changed = {name: given.pop(name) for name in FIELDS & set(given)}
    return GammaLRSearch(SearchPolicy(base=policy, **changed), **given)  # type: ignore[arg-type]


def searching(**given: Any) -> GammaLRSearch:
    """Three full candidates in each epoch, drawn without a surrogate, unless told otherwise."""
    return gamma_search(
        **{"policy": "thesis", "first_random": 1, "first_model": 2, "sampler": "random", "progress": False, **given}
    )
