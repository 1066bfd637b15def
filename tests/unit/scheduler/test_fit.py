"""What one fit learns: when nothing is searched, what a checkpoint holds of it, and what it leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.records import SearchHistory
from lightning_gammabo.scheduler.fit import FitSession
from tests.helpers.searching import searching
from tests.helpers.trainers import loaders, trainer_of
from tests.integration.identity.fingerprint import plain
from tests.integration.identity.scenarios import Net

pytestmark = pytest.mark.filterwarnings("ignore")


def session_of(search: GammaLRSearch) -> FitSession:
    return search._session


class NoRate(Net):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def test_a_trial_run_is_not_searched(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    search = searching()
    trainer_of(search, fast_dev_run=True).fit(Net(), *loaders())
    assert session_of(search).idle == "fast_dev_run is on"
    assert caplog.text.count("no epoch is searched: fast_dev_run is on") == 1
    assert session_of(search).plan is None


def test_an_epoch_whose_rates_are_all_zero_is_not_searched(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    search = searching()
    trainer_of(search).fit(NoRate(), *loaders())
    for epoch in (0, 1):
        assert f"epoch {epoch} is not searched: no optimizer has a learning rate above 0" in caplog.text
    assert len(search.history) == 0


def test_an_epoch_that_trains_nothing_is_not_searched(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    search = searching()
    trainer_of(search, limit_train_batches=0).fit(Net(), *loaders())
    assert len(search.history) == 0


def test_a_plan_is_made_where_training_starts() -> None:
    search = searching(stop_epoch=3, every_n_epochs=2)
    trainer_of(search, max_epochs=4).fit(Net(), *loaders())
    plan = session_of(search).plan
    assert plan is not None
    assert plan.search_epochs == [0, 2]
    assert plan.shape.batches == 5
    assert plan.shape.val_ratio == 0.5
    assert [record.epoch for record in search.history] == [0, 2]


class TakesState(Callback):
    """Takes the session's state at the end of the first epoch, as a checkpoint would."""

    def __init__(self, search: GammaLRSearch) -> None:
        self.search = search
        self.state: dict[str, Any] = {}

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 0:
            self.state = session_of(self.search).state_dict(trainer)


def test_its_state_is_loaded_as_it_was_taken(tmp_path: Any) -> None:
    search = searching()
    takes = TakesState(search)
    trainer_of(search, takes).fit(Net(), *loaders())
    torch.save(takes.state, tmp_path / "state.ckpt")
    state = torch.load(tmp_path / "state.ckpt", weights_only=True)
    assert [(one["kind"], one.get("epoch")) for one in state["history"]] == [("run", None), ("search", 0), ("epoch", 0)]
    other = session_of(searching())
    other.load_state_dict(state)
    assert other.recorder.history == SearchHistory(search.history[:1], search.history.trained[:1])
    again = other.state_dict(None)
    assert again["resume"] is None  # only within a fit is there a moment to go on from
    assert [
        key for key in ("history", "rates", "reference_loss", "percent") if plain(again[key]) != plain(state[key])
    ] == []


def test_a_session_that_has_seen_nothing_has_a_state_too() -> None:
    state = session_of(searching()).state_dict(None)
    assert state["history"] == []
    other = session_of(searching())
    other.load_state_dict(state)
    assert other.state_dict(None) == state


@pytest.mark.parametrize("raises", [False, True])
def test_it_leaves_the_trainers_loops_as_they_were(raises: bool) -> None:
    class Raises(Net):
        def on_train_epoch_end(self) -> None:
            if raises:
                raise RuntimeError("boom")

    search = searching()
    trainer = trainer_of(search)
    if raises:
        with pytest.raises(RuntimeError, match="boom"):
            trainer.fit(Raises(), *loaders())
    else:
        trainer.fit(Raises(), *loaders())
    assert "setup_data" not in vars(trainer.fit_loop)
    assert "run" not in vars(trainer.fit_loop.epoch_loop)
    session_of(search).end()  # once more does no harm
