"""The contract under policies: an anchored search, also of short candidates, is the plain fit of someone who knew.

The plain fit's rates are written by a callback of the test, from the heights that the search chose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.learning_rate.annealing import progress_of
from tests.integration.identity.fingerprint import differences
from tests.integration.identity.scenarios import SCENARIOS
from tests.integration.identity.test_identity import fit

pytestmark = pytest.mark.filterwarnings("ignore")

PARTIAL = {"n_initial": 2, "n_iterations": 1, "n_later": 3, "fraction": 0.4, "first_fraction": 0.6, "min_steps": 1}
PARTIAL |= {"later_share": 100.0}  # however few steps these epochs have, each is searched
POLICIES = ["epochwise", "adaptive", "once", "thorough"]
FOLLOWS = [name for name, scenario in SCENARIOS.items() if scenario.follows and name != "writes its rate"]


class Knows(Callback):
    """A schedule of which the height is set at each epoch's start, and written after every batch."""

    def __init__(self, rates: Sequence[float | None], anchor: str = "linear") -> None:
        self.rates = list(rates)
        self.anchor = anchor
        self.height = 1.0

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.base: list[float] = []
        self.write(trainer, 0)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.write(trainer, 0)  # the epoch before may have ended early
        chosen = self.rates.pop(0) if self.rates else None
        present = next(g["lr"] for o in trainer.optimizers for g in o.param_groups if g["lr"] > 0)
        if chosen is not None and chosen != present:
            self.height *= chosen / present
            self.write(trainer, 0)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.write(trainer, batch_idx + 1)

    def write(self, trainer: Trainer, batches: int) -> None:
        progress = progress_of(trainer, batches)
        done = 0.0 if progress is None else min(progress, 1.0)
        shape = 1.0 - done if self.anchor == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        self.base = self.base or [group["lr"] for group in groups]
        for group, base in zip(groups, self.base, strict=True):
            group["lr"] = base * (self.height * shape)


def known(search: GammaLRSearch, epochs: int = 5) -> Knows:
    chosen = {record.epoch: record.chosen.lr for record in search.history}
    return Knows([chosen.get(epoch) for epoch in range(epochs)], search._session.rates.anchor)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["shuffled", "keeps state", "groups", "stops in mid-epoch"])
def test_one_candidate_is_the_plain_anchored_fit(name: str, policy: str) -> None:
    scenario = SCENARIOS[name]
    search = GammaLRSearch(policy, n_initial=1, n_iterations=0, n_later=1, progress=False)
    searched = fit(scenario, search)
    assert len(search.history) > 0
    assert differences(fit(scenario, known(search)), searched) == []


@pytest.mark.parametrize("name", FOLLOWS)
def test_short_candidates_that_go_on_are_the_plain_fit_at_the_chosen_heights(name: str) -> None:
    scenario = SCENARIOS[name]
    search = GammaLRSearch("epochwise", anchor="cosine", search="random", progress=False, **PARTIAL)
    searched = fit(scenario, search)
    assert [record.epoch for record in search.history] == [rate.epoch for rate in search.rates]
    assert differences(fit(scenario, known(search)), searched) == []


@pytest.mark.parametrize("name", ["shuffled", "keeps state", "persistent workers", "counting callback"])
def test_replayed_short_candidates_are_the_same(name: str) -> None:
    scenario = SCENARIOS[name]
    search = GammaLRSearch("epochwise", search="random", commit="replay", progress=False, **PARTIAL)
    searched = fit(scenario, search)
    assert {record.commit for record in search.history} == {"replay"}
    assert differences(fit(scenario, known(search)), searched) == []
