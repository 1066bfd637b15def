"""The contract that a search leaves no trace but its result, checked for one way of training.

The plain fit is made once for all ways of searching: it does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.helpers.searching import gamma_search, searching
from tests.integration.identity.fingerprint import differences
from tests.integration.identity.followers import Follows

Fit = Callable[..., dict[str, Any]]
"""takes callbacks, trains from scratch, gives the fingerprint"""
COMMITS: dict[str, dict[str, Any]] = {"copy": {"commit": "copy"}, "replay": {"commit": "replay"}}


def check_one_candidate(fit: Fit, ways: Mapping[str, dict[str, Any]] = COMMITS, **given: Any) -> None:
    """With the policy ``identity``, at the rate that would be used anyway, a searched fit is the plain fit."""
    plain = fit()
    for way, arguments in ways.items():
        search = gamma_search("identity", progress=False, **{**arguments, **given})
        found = differences(plain, fit(search))
        assert found == [], f"one candidate, {way}: {found} differ from the plain fit"
        assert len(search.history) > 0, f"one candidate, {way}: nothing was searched"


def check_many_candidates(fit: Fit, ways: Mapping[str, dict[str, Any]] = COMMITS, **given: Any) -> None:
    """With many candidates it is the plain fit of someone who knew the chosen rates beforehand."""
    followed: dict[tuple[float, ...], dict[str, Any]] = {}
    for way, arguments in ways.items():
        search = searching(**{**arguments, **given})
        searched = fit(search)
        rates = tuple(record.chosen.lr for record in search.history)
        if rates not in followed:
            followed[rates] = fit(Follows(rates))
        found = differences(followed[rates], searched)
        assert found == [], f"many candidates, {way}: {found} differ from the plain fit at {rates}"
