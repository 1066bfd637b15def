"""Optimizer x precision x callback: the contract in each cell, for both ways of committing and for short candidates."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.searching import SHORT
from tests.integration.identity.contract import check_many_candidates, check_one_candidate
from tests.integration.identity.fits import fit_with_files
from tests.integration.identity.matrix import CELLS

pytestmark = pytest.mark.filterwarnings("ignore")

WAYS: dict[str, dict[str, Any]] = {
    "copy": {},
    "replay": {"commit": "replay"},
    # candidates train a part of the epoch, and the chosen one goes on from there, under watch
    "part": {"first_share": SHORT, "later_share": SHORT, "min_steps": 3, "recover": True},
}


@pytest.mark.parametrize("name", CELLS)
def test_cell(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scenario = CELLS[name]
    fit = partial(fit_with_files, scenario, tmp_path)
    check_one_candidate(fit, WAYS, **scenario.search)
    if scenario.follows:
        check_many_candidates(fit, WAYS, **{"min_lr": 1e-3, "max_lr": 0.3, **scenario.search})
