"""A winner whose end state is not held any more: the rule may come back to a candidate that led before."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.determinant.determinant import Determinant
from lightning_gammabo.records import Result
from tests.integration.identity.fingerprint import differences
from tests.integration.identity.scenarios import SCENARIOS
from tests.integration.identity.test_identity import fit
from tests.integration.identity.test_policies import known

pytestmark = pytest.mark.filterwarnings("ignore")


def first_then_second_then_first(self: Determinant, results: Sequence[Result]) -> tuple[Result, str]:
    return results[1 if len(results) == 2 else 0], "turned back"


@pytest.mark.parametrize("fraction", [0.4, 1.0])
def test_it_is_trained_again(fraction: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Determinant, "choose", first_then_second_then_first)
    search = GammaLRSearch(
        "epochwise", anchor="cosine", search="random", n_initial=3, n_iterations=0, fraction=fraction,
        first_fraction=fraction, n_later=3, min_steps=1, later_share=9.0, drop_at=1.0, progress=False,
    )  # fmt: skip
    searched = fit(SCENARIOS["shuffled"], search)
    assert [record.chosen_number for record in search.history] == [0, 0, 0]
    assert [record.commit for record in search.history] == ["replay"] * 3
    assert differences(fit(SCENARIOS["shuffled"], known(search)), searched) == []
