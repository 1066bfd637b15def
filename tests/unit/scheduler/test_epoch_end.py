"""What an epoch ended with, as the Trainer logged it, and why it was not searched."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import Objective
from lightning_gammabo.policy import POLICIES
from lightning_gammabo.records import EpochRate
from lightning_gammabo.records.run import RunShape
from lightning_gammabo.scheduler.budget import RunPlan
from lightning_gammabo.scheduler.epoch_end import EpochEnds, logged_scalars, run_info, why_not
from tests.helpers.optimizers import parameter, sgd

RATE = EpochRate(epoch=2, start=0.1, end=0.1, steps=5, peak=0.1)


def ends(objective: str = "kappa", **options: Any) -> EpochEnds:
    made = Objective(objective, **options)
    return EpochEnds(made, MetricKeys(made, None, None))


def trainer(epoch: int = 2, sanity: bool = False, **metrics: float) -> Any:
    logged = {name: torch.tensor(value) for name, value in metrics.items()}
    return SimpleNamespace(current_epoch=epoch, sanity_checking=sanity, callback_metrics=logged)


def test_a_validated_epoch_ends_with_what_was_logged() -> None:
    seen = ends("loss")
    seen.validated(trainer(val_loss=0.5, val_acc=0.75))
    end = seen.ended(trainer(val_loss=0.5, val_acc=0.75, train_loss=0.25), RATE, not_searched="")
    assert (end.epoch, end.rate, end.not_searched) == (2, RATE, "")
    assert (end.loss, end.accuracy, end.value) == (0.5, 0.75, 0.5)
    assert end.metrics == {"val_loss": 0.5, "val_acc": 0.75, "train_loss": 0.25}


@pytest.mark.parametrize("validated", [trainer(epoch=1, val_loss=0.5), trainer(sanity=True, val_loss=0.5), None])
def test_an_epoch_that_was_not_validated_has_no_values(validated: Any) -> None:
    seen = ends()
    if validated is not None:
        seen.validated(validated)
    end = seen.ended(trainer(val_loss=0.5), RATE, not_searched="")
    assert (end.loss, end.accuracy, end.value, end.metrics) == (None, None, None, {})


def test_a_metric_that_was_not_logged_leaves_the_value_out() -> None:
    seen = ends("val_f1", mode="max")
    seen.validated(trainer(val_loss=0.5))
    assert seen.ended(trainer(val_loss=0.5), RATE, not_searched="").value is None


def test_a_loss_that_is_not_finite_is_none() -> None:
    seen = ends("loss")
    seen.validated(trainer(val_loss=float("nan")))
    assert seen.ended(trainer(val_loss=float("nan")), RATE, not_searched="").loss is None


def test_what_an_epoch_ends_with_teaches_the_search_nothing() -> None:
    objective = Objective("accuracy")
    seen = EpochEnds(objective, MetricKeys(objective, None, None))
    seen.validated(trainer(val_acc=75.0))
    assert seen.ended(trainer(val_acc=75.0), RATE, not_searched="").accuracy == 0.75
    assert not objective.percent


def test_a_reason_that_was_noted_goes_before_the_plans_and_is_told_once() -> None:
    seen = ends()
    seen.not_searched(2, "the cap leaves nothing for it")
    assert seen.ended(trainer(), RATE, not_searched="planned so").not_searched == "the cap leaves nothing for it"
    assert seen.ended(trainer(), RATE, not_searched="planned so").not_searched == "planned so"


def test_a_resumed_run_knows_the_validation_and_the_reason() -> None:
    seen, again = ends("loss"), ends("loss")
    seen.validated(trainer(val_loss=0.5))
    seen.not_searched(2, "why")
    again.load_state_dict(seen.state_dict())
    end = again.ended(trainer(val_loss=0.5), RATE, not_searched="")
    assert (end.loss, end.not_searched) == (0.5, "why")


def test_only_scalars_are_read() -> None:
    logged = {"loss": torch.tensor([0.5]), "matrix": torch.ones(2, 2)}
    assert logged_scalars(SimpleNamespace(callback_metrics=logged)) == {"loss": 0.5}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "epoch", "reason"),
    [
        ({"start_epoch": 2}, 1, "before start_epoch=2"),
        ({"stop_epoch": 3}, 3, "from stop_epoch=3 on"),
        ({"when": "first"}, 1, "policy 'epochwise, changed: when' searches once"),
        ({"when": (0.25, 0.5)}, 1, "policy 'epochwise, changed: when' searches at 25%, 50% of the run"),
        ({"when": "every", "every_n_epochs": 2}, 1, "every 2 epochs are searched, by the price of a search"),
    ],
)
def test_the_plan_says_why_it_does_not_search_an_epoch(policy: dict[str, Any], epoch: int, reason: str) -> None:
    values = {"when": "every", "later_overhead": "unlimited"} | policy
    plan = RunPlan(replace(POLICIES["epochwise"], **values), RunShape(epochs=10, batches=100), cap=None)
    assert why_not(plan, epoch) == reason.replace("'epochwise, changed: when'", repr(plan.policy.name))


def test_a_reader_learns_versions_settings_and_the_price() -> None:
    policy = POLICIES["once"]
    plan = RunPlan(policy, RunShape(epochs=10, batches=100, val_ratio=0.3), cap=None)
    given = SimpleNamespace(seed=3, sampler=object, policy=policy, _session=None)
    optimizer = torch.optim.SGD([{"params": [parameter()], "name": "head"}, {"params": [parameter()]}], lr=0.1)
    info = run_info(given, policy, plan, SimpleNamespace(optimizers=[optimizer]))  # type: ignore[arg-type]
    assert info.versions["torch"] == torch.__version__
    assert (info.settings["seed"], info.settings["sampler"]) == (3, str(object))
    assert info.settings["policy.when"] == "first"
    assert "_session" not in info.settings
    assert info.epochs == 10
    assert info.planned == pytest.approx(1 + (plan.planned or 0.0) / 10)
    assert info.group == "parameter group 'head', the first of 2 parameter groups"
    assert run_info(given, policy, plan, SimpleNamespace(optimizers=[sgd(0.1)])).group == ""  # type: ignore[arg-type]
