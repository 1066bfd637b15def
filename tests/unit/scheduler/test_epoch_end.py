"""What each epoch ended with is what the Trainer logged, and why an epoch was not searched is said."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.determinant.kappa import Kappa
from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import Objective, kappa
from lightning_gammabo.policy import POLICIES, SearchPolicy, make_policy
from lightning_gammabo.records import EpochRate, EpochRecord, SearchHistory, TrainedEpoch
from lightning_gammabo.records.run import RunShape
from lightning_gammabo.scheduler.epoch_end import EpochEnds, run_info, why_not
from lightning_gammabo.scheduler.recorder import Recorder
from lightning_gammabo.scheduler.run_plan import RunPlan

RECORD = EpochRecord(epoch=0, results=(), chosen_number=None, reason="")
RATE = EpochRate(epoch=3, start=0.1, end=0.05, steps=5, peak=0.2)


def trainer(epoch: int = 3, sanity_checking: bool = False, **metrics: float) -> Any:
    logged = {name: torch.tensor(value) for name, value in metrics.items()} | {"many": torch.zeros(3)}
    return SimpleNamespace(current_epoch=epoch, callback_metrics=logged, sanity_checking=sanity_checking, loggers=[])


ONCE = RunPlan(POLICIES["once"], RunShape(epochs=10, batches=100))


class Noted:
    """What notes epochs' ends, and where they are noted."""

    def __init__(self, objective: Objective | None = None) -> None:
        objective = objective or Objective()
        self.keys = MetricKeys(objective, None, None)
        self.recorder = Recorder(None, None)  # type: ignore[arg-type]
        self.recorder.history.append(RECORD)
        rates: Any = SimpleNamespace(by_epoch=[RATE], note_epoch=lambda epoch: None)
        self.ends = EpochEnds(objective, self.keys, rates, self.recorder)

    def ended(self, run: Any, plan: RunPlan = ONCE) -> TrainedEpoch:
        self.ends.note(run, plan)
        return self.recorder.history.trained[-1]


def test_loss_accuracy_and_objective_are_those_that_were_logged() -> None:
    noted = Noted()
    noted.ends.validated(trainer(val_loss=0.5, val_acc=0.75))
    ended = noted.ended(trainer(val_loss=0.5, val_acc=0.75, train_loss=0.25))
    assert (ended.epoch, ended.rate, ended.loss, ended.accuracy, ended.value) == (3, RATE, 0.5, 0.75, kappa(0.75, 0.5))
    assert ended.metrics == {"val_loss": 0.5, "val_acc": 0.75, "train_loss": 0.25}
    assert ended.not_searched == "policy 'once' searches once"


def test_before_the_first_search_and_without_a_plan_nothing_is_noted() -> None:
    noted = Noted()
    noted.ends.note(trainer(), None)
    noted.recorder.history.replace([])
    noted.ends.note(trainer(), ONCE)
    assert noted.recorder.history.trained == ()


@pytest.mark.parametrize(
    ("objective", "logged", "value"),
    [
        (Objective("loss"), {"val_loss": 0.5}, 0.5),
        (Objective(), {"val_loss": 0.5}, 0.5),  # a kappa without an accuracy is the loss
        (Objective("val_rmse", mode="min"), {"val_rmse": 3.0}, 3.0),
        (Objective("val_f1", mode="max"), {"val_loss": 0.5}, None),
        (Objective("accuracy"), {"val_loss": 0.5}, None),
        (Objective(Kappa(0.5)), {"val_loss": 0.5, "val_acc": 50.0}, kappa(0.5, 0.5, 0.5)),
        (Objective("loss"), {"val_loss": float("nan")}, None),
    ],
)
def test_the_objective_has_its_own_sign(objective: Objective, logged: dict[str, float], value: float | None) -> None:
    noted = Noted(objective)
    noted.ends.validated(trainer(**logged))
    assert noted.ended(trainer(**logged)).value == value


def test_what_an_epoch_ends_with_teaches_the_search_nothing() -> None:
    objective = Objective()
    noted = Noted(objective)
    before = noted.keys.taken
    noted.ends.validated(trainer(val_loss=0.5, val_acc=50.0))
    noted.ended(trainer(val_loss=0.5, val_acc=50.0))
    assert not objective.percent
    assert noted.keys.taken == before


def test_an_epoch_that_was_not_validated_has_no_values_of_an_older_one() -> None:
    noted = Noted()
    noted.ends.validated(trainer(2, val_loss=0.5))
    ended = noted.ended(trainer(3, val_loss=0.5))
    assert (ended.loss, ended.value, ended.metrics) == (None, None, {})
    noted.ends.validated(trainer(3, sanity_checking=True, val_loss=0.5))
    assert noted.ended(trainer(3, val_loss=0.5)).loss is None


def test_what_was_noted_stands_before_the_plan() -> None:
    noted, again = Noted(), Noted()
    noted.ends.not_searched(3, "max_overhead=0.1 leaves nothing for it")
    again.ends.load_state_dict(noted.ends.state_dict())
    for one in (noted, again):
        assert one.ended(trainer()).not_searched == "max_overhead=0.1 leaves nothing for it"
        assert one.ended(trainer(4)).not_searched == "policy 'once' searches once"
        assert one.ended(trainer(4)).rate is None


@pytest.mark.parametrize(
    ("policy", "epoch", "words"),
    [
        (make_policy(SearchPolicy(start_epoch=3)), 1, "before start_epoch=3"),
        (make_policy(SearchPolicy(stop_epoch=5)), 5, "from stop_epoch=5 on"),
        (
            make_policy(SearchPolicy(when="every", every_n_epochs=3, later_overhead="unlimited")),
            1,
            "one search in 3 epochs, by its price",
        ),
        (POLICIES["once"], 4, "policy 'once' searches once"),
        (POLICIES["epochwise"], 4, "policy 'epochwise' searches at 10%, 25%, 50%, 75% of the run"),
    ],
)
def test_a_plan_says_why_it_leaves_an_epoch_out(policy: SearchPolicy, epoch: int, words: str) -> None:
    plan = RunPlan(policy, RunShape(epochs=10, batches=100))
    assert not plan.searches(epoch)
    assert why_not(plan, epoch) == words


def test_a_run_is_described_by_plain_values() -> None:
    groups = [{"params": [torch.zeros(1)], "name": "head"}, {"params": [torch.zeros(1)], "lr": 0.01, "name": "body"}]
    run: Any = SimpleNamespace(optimizers=[torch.optim.SGD(groups, lr=0.1)])  # type: ignore[arg-type]
    search = GammaLRSearch("once", seed=7, objective=Kappa(0.5))
    policy = POLICIES["once"]
    plan = RunPlan(policy, RunShape(epochs=10, batches=100, val_ratio=0.24))
    info = run_info(search, policy, plan, run, before=SearchHistory().cost)
    assert info.group == "parameter group 'head', the first of 2 parameter groups"
    assert (info.epochs, info.validation) == (10, plan.validation)
    assert info.planned == 1.0 + (plan.ceiling or 0.0) / 10
    assert info.settings["seed"] == 7
    assert info.settings["policy.first_random"] == policy.first_random
    assert info.versions["torch"] == torch.__version__.partition("+")[0] or torch.__version__ in info.versions["torch"]
    assert all(isinstance(value, (bool, int, float, str, type(None))) for value in info.settings.values())
    assert dataclasses.replace(info) == type(info).from_dict(info.to_dict())


def test_the_estimate_counts_the_epochs_of_the_fit_and_of_those_before() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    run: Any = SimpleNamespace(optimizers=[optimizer])
    plan = RunPlan(POLICIES["once"], RunShape(epochs=10, batches=100, begin=4))
    info = run_info(GammaLRSearch("once"), POLICIES["once"], plan, run, before=SearchHistory().cost)
    assert info.epochs == 6
    assert info.planned == 1.0 + (plan.ceiling or 0.0) / 6
    before = dataclasses.replace(SearchHistory().cost, epochs=4, extra=3.0)
    info = run_info(GammaLRSearch("once"), POLICIES["once"], plan, run, before=before)
    assert info.epochs == 10
    assert info.planned == 1.0 + (3.0 + (plan.ceiling or 0.0)) / 10


def test_a_sanity_check_shows_which_names_are_logged() -> None:
    noted = Noted(Objective("val_f1", mode="max"))
    assert noted.keys.unverified
    noted.ends.validated(trainer(0, sanity_checking=True, val_f1=0.5))
    assert not noted.keys.unverified
