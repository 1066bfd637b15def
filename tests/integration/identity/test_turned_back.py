"""A winner whose end state is not held any more: the rule may come back to a candidate that led before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lightning_gammabo.determinant.determinant import Determinant
from lightning_gammabo.records import Result
from tests.helpers.searching import SHORT, gamma_search
from tests.integration.identity.fingerprint import differences
from tests.integration.identity.fits import fit
from tests.integration.identity.followers import known
from tests.integration.identity.scenarios import SCENARIOS

pytestmark = pytest.mark.filterwarnings("ignore")


def first_then_second_then_first(self: Determinant, results: Sequence[Result]) -> tuple[Result, str]:
    return results[1 if len(results) == 2 else 0], "turned back"


@pytest.mark.parametrize("share", [SHORT, "epoch"])
def test_it_is_trained_again(share: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Determinant, "choose", first_then_second_then_first)
    search = gamma_search(
        "epochwise", annealing="cosine", sampler="random", first_random=3, first_model=0, later_share=share,
        first_share=share, later_candidates=3, min_steps=2, later_overhead=9.0, prune_at="never", progress=False,
    )  # fmt: skip
    searched = fit(SCENARIOS["shuffled"], search)
    assert [record.chosen_number for record in search.history] == [0, 0, 0]
    assert [record.commit for record in search.history] == ["replay"] * 3
    assert differences(fit(SCENARIOS["shuffled"], known(search)), searched) == []
