"""The contract under policies: an annealed search, also of short candidates, is the plain fit of someone who knew.

The plain fit's rates are written by a callback of the test, from the peaks that the search chose.
"""

from __future__ import annotations

from typing import Any

import pytest

from lightning_gammabo import GammaLRSearch, SearchPolicy
from tests.helpers.matrix import WHOLE
from tests.helpers.searching import searching, searching_in_part
from tests.integration.identity.fingerprint import differences
from tests.integration.identity.fits import fit
from tests.integration.identity.followers import known
from tests.integration.identity.scenarios import SCENARIOS, TYPICAL

pytestmark = pytest.mark.filterwarnings("ignore")

POLICIES = ["epochwise", "once", "thorough"]
FOLLOWS = [name for name, scenario in SCENARIOS.items() if scenario.follows and name != "writes its rate"]
FOLLOWS = FOLLOWS if WHOLE else [name for name in FOLLOWS if name in TYPICAL]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["shuffled", "keeps state", "groups", "stops in mid-epoch"])
def test_one_candidate_is_the_plain_annealed_fit(name: str, policy: str) -> None:
    scenario = SCENARIOS[name]
    search = searching(policy=policy, sampler="gamma", first_model=0, later_candidates=1)
    searched = fit(scenario, search)
    assert len(search.history) > 0
    assert differences(fit(scenario, known(search)), searched) == []


@pytest.mark.parametrize("name", FOLLOWS)
def test_short_candidates_that_go_on_are_the_plain_fit_at_the_chosen_peaks(name: str) -> None:
    scenario = SCENARIOS[name]
    search = searching_in_part(annealing="cosine")
    searched = fit(scenario, search)
    assert [record.epoch for record in search.history] == [rate.epoch for rate in search.rates]
    assert differences(fit(scenario, known(search)), searched) == []


@pytest.mark.parametrize("name", ["shuffled", "keeps state", "persistent workers", "counting callback"])
def test_replayed_short_candidates_are_the_same(name: str) -> None:
    scenario = SCENARIOS[name]
    search = searching_in_part(commit="replay")
    searched = fit(scenario, search)
    assert {record.commit for record in search.history} == {"replay"}
    assert differences(fit(scenario, known(search)), searched) == []


WORDS: dict[str, tuple[dict[str, Any], bool, bool]] = {
    "identity": ({"policy": "identity"}, True, True),
    "identity, scaled": ({"policy": "identity", "lr_schedulers": "scale"}, True, True),
    "identity, scheduler set aside": ({"policy": "identity", "lr_schedulers": "override"}, True, False),
    "one candidate of the default": ({"policy": SearchPolicy(first_random=1, first_model=0)}, False, True),
    "one candidate of thesis": ({"policy": SearchPolicy(base="thesis", first_random=1, first_model=0)}, True, False),
}
"""arguments -> whether the fit is the plain one without an LR scheduler, and with one; as docs/exactness.md says"""


@pytest.mark.parametrize("name", WORDS)
def test_what_one_candidate_means(name: str) -> None:
    given, without, within = WORDS[name]
    for scenario, plain in ((SCENARIOS["shuffled"], without), (SCENARIOS["scheduler: epoch"], within)):
        search = GammaLRSearch(**given, progress=False)
        assert (differences(fit(scenario), fit(scenario, search)) == []) is plain
        assert {len(record.results) for record in search.history} == {1}
