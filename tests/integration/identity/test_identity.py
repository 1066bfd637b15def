"""The contract for every way of training in ``scenarios``: a search leaves no trace but its result."""

from __future__ import annotations

from functools import partial

import pytest

from tests.helpers.matrix import WHOLE
from tests.integration.identity.contract import COMMITS, check_many_candidates, check_one_candidate
from tests.integration.identity.fits import short_fit
from tests.integration.identity.scenarios import SCENARIOS, TYPICAL

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", SCENARIOS)
def test_one_candidate_is_the_plain_fit(name: str) -> None:
    scenario = SCENARIOS[name]
    check_one_candidate(partial(short_fit, scenario), sampler="gamma", **scenario.search)


@pytest.mark.parametrize("name", [name for name, scenario in SCENARIOS.items() if scenario.follows])
def test_many_candidates_are_the_plain_fit_at_the_chosen_rates(name: str) -> None:
    scenario = SCENARIOS[name]
    # a single candidate is replayed in every scenario, above
    ways = COMMITS if WHOLE or name in TYPICAL else {"copy": COMMITS["copy"]}
    check_many_candidates(
        partial(short_fit, scenario), ways, **{"first_random": 2, "first_model": 1, **scenario.search}
    )
