"""The contract with cooled candidates: what goes on from one is the plain fit at its rate, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer

from lightning_gammabo.records import TrialState
from lightning_gammabo.trainer.candidate_plan import CandidatePlan
from lightning_gammabo.trainer.epoch_loop import arm, watch_loader
from lightning_gammabo.trainer.epoch_runner import EpochRunner
from lightning_gammabo.trainer.inspection import needs_native_batches
from lightning_gammabo.trainer.snapshot.loaders import unreplayable, val_loaders
from tests.helpers.matrix import WHOLE
from tests.integration.identity.fingerprint import differences
from tests.integration.identity.fits import short_fit
from tests.integration.identity.followers import Follows
from tests.integration.identity.scenarios import SCENARIOS, TYPICAL

pytestmark = pytest.mark.filterwarnings("ignore")

FACTORS = (1.0, 0.5, 2.0)
NAMES = [name for name, scenario in SCENARIOS.items() if scenario.follows]
TRAIN_WHOLE = {"live validation", "augmented validation, persistent workers", "endless validation"}
"""validation data that cannot be read twice: candidates train whole epochs"""
NEVER_COOL = {"iterable", "iterable in workers", "leaves epoch early", "overfits", *TRAIN_WHOLE}
"""of unknown length, or no longer than the candidates"""


class Cools(Callback):
    """Trains candidates that cool in each epoch, and commits one of them."""

    def __init__(self, winner: int, replay: bool = False) -> None:
        self.winner, self.replay = winner, replay
        self.rates: list[float] = []
        self.held: list[bool] = []
        self.cooled: list[float] = []
        self.mark: Any = None

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        watch_loader(trainer, lambda mark: setattr(self, "mark", mark))

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        def search(fetcher: Any, run: Any) -> None:
            whole = unreplayable(val_loaders(trainer)) is not None
            plan = CandidatePlan() if whole else CandidatePlan(until=2, cooling=1)
            replay = self.replay or needs_native_batches(trainer) is not None
            mark, self.mark = self.mark, None
            cooled = []
            with EpochRunner(
                trainer, pl_module, fetcher, run, mark=mark, controller=None, replay=replay, plan=plan
            ) as runner:
                current = runner.rates.reference
                for number, factor in enumerate(FACTORS):
                    outcome = runner.train(factor * current)
                    assert outcome.state is TrialState.COMPLETE, outcome.message
                    cooled.append(outcome.cooling_passes)
                    if number == self.winner:
                        runner.keep()
            held, chosen = runner.holds, FACTORS[self.winner] * current
            runner.commit(chosen)
            # what candidates did to callbacks is put back, so that this is noted at the end
            self.rates.append(chosen)
            self.held.append(held)
            self.cooled += cooled

        arm(trainer, search)


@pytest.mark.parametrize("name", NAMES)
def test_what_goes_on_from_a_cooled_candidate_is_the_plain_fit(name: str) -> None:
    scenario = SCENARIOS[name]
    # one that others follow, and the last one
    for winner in (1, 2) if WHOLE or name in TYPICAL else (1,):
        search = Cools(winner)
        searched = short_fit(scenario, search)
        assert any(search.cooled) or name in NEVER_COOL, "nothing was cooled"
        assert differences(short_fit(scenario, Follows(search.rates)), searched) == [], winner


@pytest.mark.parametrize("name", ["shuffled", "augmented", "own generators", "accumulates", "keeps state", "groups"])
def test_such_a_candidate_is_held_and_not_trained_again(name: str) -> None:
    search = Cools(1)
    short_fit(SCENARIOS[name], search)
    assert all(search.held)


@pytest.mark.parametrize("name", ["shuffled", "keeps state"])
def test_one_that_is_replayed_is_the_same(name: str) -> None:
    search = Cools(1, replay=True)
    searched = short_fit(SCENARIOS[name], search)
    assert not any(search.held)
    assert differences(short_fit(SCENARIOS[name], Follows(search.rates)), searched) == []
