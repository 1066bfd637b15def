"""Callbacks for tests, made of flat arguments: fields of the policy and arguments of the callback side by side."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from lightning_gammabo import GammaLRSearch, SearchPolicy

FIELDS = {field.name for field in fields(SearchPolicy)}
SHORT = 1e-6
"""share of a run that is less than a step: candidates then train `min_steps`"""
EVERY_EPOCH: dict[str, Any] = {
    "first_random": 4, "first_model": 3, "stop_below": "never", "when": "every", "first_share": "epoch",
    "later_share": SHORT, "min_steps": 8, "later_candidates": 2, "cooling": 0.0, "later_gate": "off",
    "later_direction": "both", "horizon": 0.0, "rule": "keep_unless_better", "smooth_first": True,
    "later_overhead": 0.15,
}  # fmt: skip
"""a policy that searches around the present rate in every epoch, however small the runs of tests are"""


def flat_arguments(policy: str = "epochwise", **given: Any) -> dict[str, Any]:
    """Arguments of the callback, the policy's fields put into a policy with that base.

    On top of ``epochwise`` and ``once``, whose numbers are tuned and change, fields are those of :data:`EVERY_EPOCH`.
    """
    changed = {name: given.pop(name) for name in FIELDS & set(given)}
    if policy in ("epochwise", "once") and changed:
        changed = {**EVERY_EPOCH, **({"when": "first"} if policy == "once" else {}), **changed}
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
    part = {"first_share": SHORT, "later_share": SHORT, "min_steps": 3}
    # however few steps these epochs have, each is searched
    part |= {"first_random": 2, "first_model": 1, "later_candidates": 3, "later_overhead": 100.0}
    return gamma_search(**{"policy": "epochwise", "sampler": "random", "progress": False, **part, **given})
