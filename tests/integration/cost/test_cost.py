"""What a searched run costs, counted by the module itself: as recorded, as planned, and never above the cap."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch.utils.data import DataLoader

from lightning_gammabo import GammaLRSearch, ListSampler, SearchPolicy
from lightning_gammabo.policy import POLICIES
from lightning_gammabo.records import TrialState
from tests.helpers.searching import gamma_search
from tests.integration.identity.fingerprint import differences
from tests.integration.identity.fits import fit as identical
from tests.integration.identity.followers import Follows
from tests.integration.identity.scenarios import SCENARIOS, TRAIN, VAL, Net, Scenario

pytestmark = pytest.mark.filterwarnings("ignore")

EPOCHS = 6
BATCHES = 20
VALIDATED = len(VAL)


class Count:
    """Stands outside of the module, so that no rewind reaches it."""

    trained = 0
    validated = 0
    committed = 0

    @classmethod
    def clear(cls) -> None:
        cls.trained = cls.validated = cls.committed = 0


class Counted(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        Count.trained += 1
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        Count.validated += len(batch[0])
        super().validation_step(batch, batch_idx)


class EpochByEpoch(Callback):
    def __init__(self) -> None:
        self.passes: list[float] = []
        self.before = 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.passes.append((Count.trained - self.before) / BATCHES)
        self.before = Count.trained

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        # callbacks are called for the Trainer's own validations only
        Count.committed += VALIDATED


def fit(search: GammaLRSearch, module: Net | None = None, **options: Any) -> list[float]:
    """Passes of each epoch."""
    Count.clear()
    seed_everything(1, verbose=False)
    counting = EpochByEpoch()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        callbacks=[search, counting], accelerator="cpu", enable_checkpointing=False, num_sanity_val_steps=0,
        **{"max_epochs": EPOCHS, **quiet, **options},
    )  # fmt: skip
    trainer.fit(module or Counted(), DataLoader(TRAIN, 2, shuffle=True), DataLoader(VAL, 5))
    return counting.passes


def scorings() -> float:
    """Validations of candidates."""
    return (Count.validated - Count.committed) / VALIDATED


def extra_passes() -> float:
    """Beyond the plain run, a forward counted as a third."""
    return Count.trained / BATCHES - EPOCHS + scorings() * VALIDATED / len(TRAIN) / 3.0


# within a range where nothing diverges and nobody is hopeless
CALM = {"min_lr": 1e-3, "max_lr": 0.1, "prune_at": "never", "progress": False}


@pytest.mark.parametrize("commit", ["copy", "replay"])
@pytest.mark.parametrize("policy", ["epochwise", "once"])
def test_the_passes_that_are_recorded_were_trained(policy: str, commit: Any) -> None:
    search = gamma_search(policy, sampler="random", first_random=2, first_model=1, commit=commit, **CALM)
    passes = fit(search)
    recorded = {record.epoch: record.train_passes for record in search.history}
    assert passes == pytest.approx([recorded.get(epoch, 1.0) for epoch in range(EPOCHS)], abs=1e-9)
    assert scorings() == sum(record.scorings for record in search.history)
    if commit == "copy":
        # the winner of a part goes on from there: what is left of the epoch is trained, not the epoch
        later = [record for record in search.history if record.epoch > 0 and record.commit == "copy"]
        assert len(later) == len(search.history) - 1
        assert all(record.train_passes == pytest.approx(1 + (len(record.results) - 1) * 0.4) for record in later)


@pytest.mark.parametrize("commit", ["copy", "replay"])
@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_planned_is_what_it_costs(policy: str, commit: Any) -> None:
    # by the best: the rule of the largest may come back to a candidate that is not held, and train it again
    fewer = {"first_random": 3, "first_model": 0}
    search = gamma_search(policy, rule="best", sampler="random", commit=commit, **fewer, **CALM)
    fit(search)
    plan = search._session.plan
    assert plan is not None
    assert plan.planned is not None
    assert [record.epoch for record in search.history] == plan.search_epochs
    assert {record.commit for record in search.history} == {commit}
    assert 1 + extra_passes() / EPOCHS == pytest.approx(1 + plan.planned / EPOCHS, rel=0.03)


@pytest.mark.parametrize("cap", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("policy", POLICIES)
def test_the_cap_is_never_exceeded(policy: str, cap: float) -> None:
    search = GammaLRSearch(policy, sampler="random", max_overhead=cap, progress=False)
    fit(search)
    assert extra_passes() <= cap * EPOCHS + 1e-9
    if policy != "identity":  # one candidate costs nothing but its validation
        assert extra_passes() > 0.2 * cap * EPOCHS - 1e-9  # and what it allows is not left lying
    if cap == 0.0:
        assert len(search.history) == 0
        assert len(search.rates) == EPOCHS


def test_a_cap_that_is_used_up_ends_the_searches(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    search = GammaLRSearch("thesis", sampler="random", max_overhead="40%s", progress=False)
    fit(search)
    searched = [record.epoch for record in search.history]
    assert 0 < len(searched) < EPOCHS
    assert f"epoch {EPOCHS - 1} is not searched: max_overhead='40%s' leaves nothing for it" in caplog.text
    assert len(search.rates) == EPOCHS


# ---- the hopeless


class BehindBelow(Counted):
    """Its loss is five times as high at a rate below a thousandth."""

    def loss(self, batch: Any) -> torch.Tensor:
        behind = self.trainer.optimizers[0].param_groups[0]["lr"] < 1e-3
        return super().loss(batch) * (5.0 if behind and self.training else 1.0)


PRUNES = {
    "annealing": "constant",
    "rule": "best",
    "when": "first",
    "later_overhead": 9.0,
    "progress": False,
}


def test_a_hopeless_candidate_is_pruned_and_never_chosen() -> None:
    search = gamma_search(sampler=ListSampler([1e-5, 0.02, 1e-4]), prune_at=0.25, **PRUNES)
    passes = fit(search, BehindBelow())
    record = search.history[0]
    states = [result.state for result in record.results]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.COMPLETE, TrialState.PRUNED]
    assert [result.passes for result in record.results] == [1.0, 0.25, 1.0, 0.25]
    assert [result.steps for result in record.results] == [20, 5, 20, 5]
    assert "times the leader's on the same batches" in record.results[1].message
    assert record.chosen is not None
    assert record.chosen.state is TrialState.COMPLETE
    assert passes[0] == record.train_passes == 2.5
    # the untrained network and the two that came to their end
    assert scorings() == record.scorings == 3


def test_where_pruning_is_off_every_candidate_comes_to_its_end() -> None:
    search = gamma_search(sampler=ListSampler([1e-5, 0.02, 1e-4]), prune_at="never", **PRUNES)
    fit(search, BehindBelow(), max_epochs=1)
    assert {result.state for result in search.history[0].results} == {TrialState.COMPLETE}


def test_a_pruned_candidate_leaves_no_trace() -> None:
    scenario = Scenario(BehindBelow, train=SCENARIOS["shuffled"].train)
    search = gamma_search(sampler=ListSampler([0.02, 1e-5]), prune_at=0.25, **{**PRUNES, "when": "every"})
    searched = identical(scenario, search)
    assert TrialState.PRUNED in {result.state for record in search.history for result in record.results}
    rates = [record.chosen.lr for record in search.history]
    assert differences(identical(scenario, Follows(rates)), searched) == []


@pytest.mark.parametrize("listed", [True, False])
def test_candidates_that_are_made_longer_cost_at_most_the_ceiling(
    listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_gammabo.scheduler.stopping.progress_ratio", lambda *_: 10.0)
    policy = SearchPolicy(base="once", min_steps=4, stop_below="never", prune_at="never", horizon=0.0)
    rates = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07]
    search = GammaLRSearch(policy, **({"sampler": ListSampler(rates)} if listed else {}))
    passes = fit(search)
    assert len(search.history[0].results) == (1 + len(rates) if listed else 6)
    told = search.history.cost
    counted = 1.0 + (sum(passes) - EPOCHS + scorings() * VALIDATED / 3.0 / len(TRAIN)) / EPOCHS
    assert told.times_plain == pytest.approx(counted, rel=0.01)
    if not listed:
        assert told.planned is not None
        assert told.times_plain <= told.planned * 1.001
        assert told.times_plain == pytest.approx(told.planned, rel=0.03)
