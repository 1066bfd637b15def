"""The contract: a search leaves no trace but its result.

With one candidate at the rate that would be used anyway a searched fit *is* the plain fit, bit for bit; and with many
candidates it is the plain fit of someone who knew the chosen rates beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer, seed_everything

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.learning_rate.controller import LearningRates
from tests.integration.identity.fingerprint import Calls, differences, fingerprint
from tests.integration.identity.scenarios import SCENARIOS, Scenario

pytestmark = pytest.mark.filterwarnings("ignore")


class Follows(Callback):
    """Sets at each epoch's start the rate that a search had chosen."""

    def __init__(self, rates: Sequence[float]) -> None:
        self.rates = list(rates)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        LearningRates(trainer.optimizers).set(self.rates.pop(0))


def fit(scenario: Scenario, *callbacks: Callback) -> dict[str, Any]:
    seed_everything(1, verbose=False)
    calls = Calls()
    quiet = {} if scenario.trainer.get("barebones") else {
        "logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
    }  # fmt: skip
    options = {"max_epochs": 3, "accelerator": "cpu", **quiet, **scenario.trainer}
    trainer = Trainer(callbacks=[*callbacks, *scenario.callbacks(), calls], **options)
    module = scenario.module()
    if scenario.datamodule is not None:
        trainer.fit(module, datamodule=scenario.datamodule())
    else:
        trainer.fit(module, scenario.train(), scenario.val() if scenario.val is not None else None)
    return fingerprint(trainer, module, calls)


@pytest.mark.parametrize("commit", ["copy", "replay"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_one_candidate_is_the_plain_fit(name: str, commit: str) -> None:
    scenario = SCENARIOS[name]
    search = GammaLRSearch("thesis", commit=commit, **{**scenario.search, "n_initial": 1, "n_iterations": 0})
    searched = fit(scenario, search)
    assert len(search.history) > 0
    assert differences(fit(scenario), searched) == []


@pytest.mark.parametrize("commit", ["copy", "replay"])
@pytest.mark.parametrize("name", [name for name, scenario in SCENARIOS.items() if scenario.follows])
def test_many_candidates_are_the_plain_fit_at_the_chosen_rates(name: str, commit: str) -> None:
    scenario = SCENARIOS[name]
    search = GammaLRSearch(
        "thesis", commit=commit, search="random", **{"n_initial": 2, "n_iterations": 1, **scenario.search}
    )
    searched = fit(scenario, search)
    rates = [record.chosen.lr for record in search.history]
    assert differences(fit(scenario, Follows(rates)), searched) == []
