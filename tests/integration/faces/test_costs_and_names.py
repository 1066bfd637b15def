"""Costs and rankings told truly: prices are counted where nobody tells them, names are checked before a candidate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset

from lightning_gammabo import GammaLRSearch, SearchPolicy
from lightning_gammabo.determinant.objective import NotLogged
from tests.integration.faces.fits import Fit, default, one
from tests.integration.identity.scenarios import TRAIN, VAL, Net

pytestmark = pytest.mark.filterwarnings("ignore")


CALLS = {"steps": 0, "validation steps": 0}
"""of all modules, since a test has begun: what a module counts itself is put back"""


@pytest.fixture(autouse=True)
def from_zero() -> None:
    CALLS.update(dict.fromkeys(CALLS, 0))


class Stream(IterableDataset[Any]):
    """Tells no length."""

    def __init__(self, times: int = 1) -> None:
        self.times = times

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.times):
            yield from TRAIN


def said(caplog: Any) -> str:
    return "\n".join(record.message for record in caplog.records)


def streams() -> dict[str, Any]:
    return {"train": lambda: DataLoader(Stream(), 8), "val": lambda: DataLoader(Stream(9), 20), "epochs": 10}


def test_validations_of_unknown_size_are_counted_and_held_to_the_cap(caplog: Any) -> None:
    """One scoring costs three passes: nine times the samples, a forward each."""
    search = default(policy="once", max_overhead=0.7)
    with caplog.at_level("INFO"):
        Fit(search=search, **streams())
    assert "validations not counted, since the number of samples is not known yet" in said(caplog)
    assert "epoch 0: max_overhead=0.7 ends the search after 1 candidate" in said(caplog)
    assert len(search.history[0].results) == 1
    run = search.history.run
    assert run is not None
    assert (run.validation, run.planned) == (pytest.approx(3.0), None)
    assert search.history.cost.times_plain == pytest.approx(1.6)  # the untrained network, and one candidate
    assert "cost: 1.60x a plain fit of 10 epochs" in said(caplog)


def test_a_resumed_run_knows_the_price(tmp_path: Any) -> None:
    def saving() -> list[Callback]:
        return [ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)]

    options = {**streams(), "epochs": 2}
    Fit(search=default(policy="once"), callbacks=saving, enable_checkpointing=True, **options)
    search = default(policy="once")
    Fit(search=search, ckpt_path=tmp_path / "epoch=0.ckpt", **options)
    assert search.history.run is not None
    assert search.history.run.validation == pytest.approx(3.0)


def test_a_known_size_is_taken_as_it_is_told() -> None:
    search = default(policy="once")
    Fit(search=search)
    assert search.history.run is not None
    assert search.history.run.validation == pytest.approx(len(VAL) / len(TRAIN) / 3)


class Late(Net):
    """Learns nothing in the first steps, whatever the rate."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch) * 0.0 + (0.99 if batch_idx < 6 else 0.5)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", 1.0)


@pytest.mark.parametrize(("cap", "longer"), [(0.4, False), (2.0, True)])
def test_longer_candidates_are_held_to_the_cap(caplog: Any, cap: float, longer: bool) -> None:
    """Where the cap has no room for two of them the shorter ones have to do; the run used to end there."""
    policy = SearchPolicy(
        base="once", first_random=4, first_model=0, stop_below="never", first_share=1e-6, min_steps=8, cooling=0.0
    )
    search = GammaLRSearch(policy, max_overhead=cap, progress=False)
    with caplog.at_level("INFO"):
        fit = Fit(Late, search, train=lambda: DataLoader(ConcatDataset([TRAIN] * 2), 2), epochs=4)
    assert fit.trainer.current_epoch == 4
    assert len(search.history[0].results) == 4
    assert all((result.steps > 8) is longer for result in search.history[0].results)
    assert ("epoch 0: max_overhead=0.4 affords no longer candidates" in said(caplog)) is not longer
    assert search.history.cost.times_plain <= 1.0 + cap


class Silent(Net):
    """Logs nothing that a candidate can be ranked by."""

    logs = False

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        CALLS["validation steps"] += 1
        if self.logs:
            self.log("val/reward", -self.loss(batch))


@pytest.mark.parametrize("logs", [False, True])
def test_a_validation_with_nothing_to_rank_by_is_not_repeated_for_candidates(logs: bool) -> None:
    class Mine(Silent):
        pass

    Mine.logs = logs
    search = default(policy="once")
    Fit(Mine, search, num_sanity_val_steps=0)
    assert len(search.history[0].results) > 1
    assert CALLS["validation steps"] == 2 + 3 * 2  # that of the untrained network, and one an epoch
    assert search.history.cost.val_passes < 3


class Counts(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        CALLS["steps"] += 1
        self.log("train_reward", 0.5)
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize("sanity", [0, 2])
@pytest.mark.parametrize(
    "wrong",
    [{"objective": "val_f1", "mode": "max"}, {"monitor_loss": "val/los"}, {"monitor_accuracy": "accc"}],
)
@pytest.mark.parametrize("kind", [default, one])
def test_a_name_that_nothing_logs_is_refused_before_a_candidate_is_trained(kind: Any, wrong: Any, sanity: int) -> None:
    argument, name = next(iter(wrong.items()))
    words = rf"GammaLRSearch\({argument}='{name}'\): no such metric was logged by the validation.*logged are \['val_acc"
    with pytest.raises(NotLogged, match=words):
        Fit(Counts, kind(**wrong), num_sanity_val_steps=sanity)
    # a name that may be one of the training is looked for in its first step
    assert CALLS["steps"] == ("monitor_accuracy" in wrong)


def test_an_accuracy_that_nothing_logs_is_refused_as_early() -> None:
    class NoAccuracy(Counts):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", self.loss(batch))

    with pytest.raises(NotLogged, match=r"GammaLRSearch\(objective='accuracy'\): no such metric"):
        Fit(NoAccuracy, default(objective="accuracy"))
    assert CALLS["steps"] == 1


class Guards(Counts):
    """Leaves a metric out of the sanity check."""

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            self.log("val_f1", 0.5)


class Evaluates(Callback):
    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        pl_module.log("image_AUROC", 0.5)


@pytest.mark.parametrize("sanity", [0, 2])
@pytest.mark.parametrize("name", ["val_f1", "image_AUROC", "train_reward"])
def test_names_that_come_late_are_ranked(name: str, sanity: int) -> None:
    """Not in the sanity check; by another callback; by the training steps."""
    search = default(objective=name, mode="max")
    Fit(Guards, search, callbacks=lambda: [Evaluates()], num_sanity_val_steps=sanity)
    assert search.history[0].ranked_by == name


def test_a_name_that_the_sanity_check_has_logged_costs_no_validation() -> None:
    baselines = []
    for sanity in (0, 2):
        search = default(policy="thesis", objective="val_acc", mode="max")
        Fit(search=search, num_sanity_val_steps=sanity)
        baselines.append(search.history[0].scorings - len(search.history[0].results))
    assert baselines == [1, 0]
