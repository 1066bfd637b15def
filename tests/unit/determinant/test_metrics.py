"""Which logged names are the validation loss and accuracy: names met in projects, and names that must not be taken."""

from __future__ import annotations

from typing import Any

import pytest

from lightning_gammabo.determinant.metrics import MetricKeys, find_accuracy, find_loss
from lightning_gammabo.determinant.objective import CustomObjective, NotLogged, Objective, ValidationMetrics
from lightning_gammabo.records import Outcome, TrialState

LOSSES = [
    "val_loss", "valid_loss", "validation_loss", "val/loss", "ptl/val_loss", "Loss_val", "val_Total_Loss",
    "val/cls/NLL", "dev_loss", "eval/loss", "loss/val", "Loss/validation", "val_loss_epoch", "val_epoch_loss",
    "val-loss", "Val Loss", "valLoss", "val_cross_entropy", "val_mse", "val_loss/dataloader_idx_0", "metrics/val_loss",
    "val_avg_loss", "val_elbo",
]  # fmt: skip
ACCURACIES = [
    "val_acc", "val/acc", "valAcc", "accuracy", "val/accuracy", "valid_accuracy", "validation_accuracy",
    "val_OverallAccuracy", "val_MulticlassAccuracy", "val_top1", "val/top1", "val/cls/Acc", "acc/val",
    "ptl/val_accuracy", "val_acc_epoch", "val_acc@1", "val_accuracy_top_1", "val_macro_acc", "Accuracy",
    "val_acc/dataloader_idx_0",
]  # fmt: skip
NEITHER = [
    "train_loss", "train_acc", "training_accuracy", "loss", "acc", "test_loss", "test_acc", "train/loss_epoch",
    "val_acc_per_class", "val_loss_step", "val_acc_step", "val_accuracy_cat", "best_val_loss", "val_loss_best",
    "interval_loss", "val_lr", "val_f1", "val", "lossless", "", "epoch", "val_loss/dataloader_idx_1", "val_top5",
    "val_loss_weight", "account", "val_accumulated", "train_val_gap", "train_accuracy", "pretrain/accuracy",
]  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_found_alone_and_among_others(name: str) -> None:
    assert find_loss([name]) == name
    assert find_loss([*NEITHER, *ACCURACIES, name]) == name


@pytest.mark.parametrize("name", ACCURACIES)
def test_an_accuracy_is_found_alone_and_among_others(name: str) -> None:
    assert find_accuracy([name]) == name
    assert find_accuracy([*NEITHER, *LOSSES, name]) == name


@pytest.mark.parametrize("name", NEITHER)
def test_other_names_are_neither(name: str) -> None:
    assert find_loss([name]) is None
    assert find_accuracy([name]) is None


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_no_accuracy(name: str) -> None:
    assert find_accuracy([name]) is None


@pytest.mark.parametrize("name", ACCURACIES)
def test_an_accuracy_is_no_loss(name: str) -> None:
    assert find_loss([name]) is None


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (["val_nll", "val_loss"], "val_loss"),
        (["val_total_loss", "val_loss"], "val_loss"),
        (["val_mae", "val_rmse", "val_mse"], "val_mse"),
        (["valid_loss", "val_loss"], "val_loss"),
        (["val_loss_epoch", "val_loss"], "val_loss"),
    ],
)
def test_the_plainest_loss_is_taken_in_any_order(names: list[str], best: str) -> None:
    assert find_loss(names) == find_loss(names[::-1]) == best


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (["accuracy", "val_top1"], "val_top1"),  # a name without a stage may be the training's
        (["val_accuracy", "val_acc"], "val_acc"),
        (["val_macro_acc", "val_acc"], "val_acc"),
        (["val_top1", "val_accuracy"], "val_accuracy"),
    ],
)
def test_the_plainest_accuracy_is_taken_in_any_order(names: list[str], best: str) -> None:
    assert find_accuracy(names) == find_accuracy(names[::-1]) == best


# ---- reading them off


def outcome(metrics: dict[str, float], *, val_loss: float | None = None, train_loss: float | None = None) -> Outcome:
    return Outcome(state=TrialState.COMPLETE, metrics=metrics, val_loss=val_loss, train_loss=train_loss)


def keys(objective: str = "kappa", loss: str | None = None, accuracy: str | None = None) -> MetricKeys:
    mode: Any = None if objective in ("kappa", "loss", "accuracy") else "max"
    return MetricKeys(Objective(objective, mode=mode), loss, accuracy)


def test_what_is_found_is_read_and_said() -> None:
    read = keys()
    assert read.taken == ""
    metrics = {"val_loss": 0.5, "val_acc": 0.25, "train_loss": 9.0}
    validation = read.measure(outcome(metrics, val_loss=7.0, train_loss=8.0))
    assert (validation.loss, validation.accuracy, validation.metrics) == (0.5, 0.25, metrics)
    assert read.taken == "loss 'val_loss', accuracy 'val_acc'"


def test_what_is_named_goes_before_what_is_found() -> None:
    read = keys(loss="val_other", accuracy="val_f1")
    validation = read.measure(outcome({"val_loss": 0.5, "val_acc": 0.25, "val_other": 1.5, "val_f1": 0.75}))
    assert (validation.loss, validation.accuracy) == (1.5, 0.75)
    assert read.taken == "loss 'val_other', accuracy 'val_f1'"


@pytest.mark.parametrize(
    ("val_loss", "train_loss", "loss", "said"),
    [
        (0.0, 0.3, 0.0, "loss that validation_step returns, no accuracy"),
        (None, 0.3, 0.3, "training loss of a candidate's last quarter, no accuracy"),
        (None, None, None, "no loss, no accuracy"),
    ],
)
def test_where_nothing_is_logged_steps_are_asked(
    val_loss: float | None, train_loss: float | None, loss: float | None, said: str
) -> None:
    read = keys()
    validation = read.measure(outcome({"train_loss": 9.0}, val_loss=val_loss, train_loss=train_loss))
    assert (validation.loss, validation.accuracy) == (loss, None)
    assert read.taken == said


@pytest.mark.parametrize(
    ("read", "argument"),
    [
        (keys(loss="val_lss"), r"monitor_loss='val_lss'"),
        (keys(accuracy="val_lss"), r"monitor_accuracy='val_lss'"),
        (keys(objective="val_lss"), r"objective='val_lss'"),
    ],
)
def test_a_name_that_was_not_logged_is_an_error_that_lists_the_others(read: MetricKeys, argument: str) -> None:
    listed = r"logged are \['train_loss', 'val_loss'\]. Log it in `validation_step`"
    with pytest.raises(ValueError, match=rf"GammaLRSearch\({argument}\): no such metric .*{listed}"):
        read.measure(outcome({"val_loss": 0.5, "train_loss": 1.0}, val_loss=3.0))


def test_the_reference_is_the_same_loss_of_the_untrained_network() -> None:
    assert keys().reference(outcome({"val_loss": 2.0, "val_acc": 0.1}, val_loss=3.0)) == 2.0
    assert keys(loss="other").reference(outcome({"val_loss": 2.0, "other": 4.0})) == 4.0
    assert keys().reference(outcome({"val_acc": 0.1}, val_loss=3.0)) == 3.0


def test_a_loss_that_only_training_logs_gives_no_reference() -> None:
    read = keys(loss="train_loss", accuracy="train_acc")
    assert read.reference(outcome({"val_loss": 2.0}, val_loss=3.0)) is None  # another loss would be no measure of it
    assert keys().reference(outcome({})) is None


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ({"monitor_loss": "val_los"}, "monitor_loss='val_los'.*did you mean 'val_loss'"),
        ({"monitor_accuracy": "valid/acc"}, "monitor_accuracy='valid/acc'.*logged are"),
    ],
)
def test_a_mistyped_name_of_the_validation_is_found_before_training(named: dict[str, str], found: str) -> None:
    keys = MetricKeys(Objective(), **{"monitor_loss": None, "monitor_accuracy": None, **named})
    with pytest.raises(ValueError, match=found):
        keys.see({"val_loss": 1.0, "val_acc": 0.5}, whole=True)


@pytest.mark.parametrize("name", ["train_loss", "loss", "train_val_gap", "interval_loss", "val_loss"])
def test_what_only_training_logs_is_not_missed_before_it(name: str) -> None:
    keys = MetricKeys(Objective(), monitor_loss=name, monitor_accuracy=None)
    keys.see({"val_loss": 1.0}, whole=True)


def test_a_loss_of_the_training_is_known_as_one() -> None:
    keys = MetricKeys(Objective(), monitor_loss=None, monitor_accuracy=None)
    keys.measure(Outcome(state=TrialState.COMPLETE, metrics={}, train_loss=0.5))
    assert keys.by_training
    keys.measure(Outcome(state=TrialState.COMPLETE, metrics={"val_loss": 1.0}, train_loss=0.5))
    assert not keys.by_training


# ---- names, before anything is measured


@pytest.mark.parametrize(
    ("given", "logged", "tells"),
    [
        ({}, {"val_loss"}, True),
        ({}, {"val_acc"}, True),
        ({}, {"val/reward", "train_loss"}, False),
        ({"objective": "val/reward"}, {"val/reward"}, True),
        ({"loss": "mine"}, {"mine"}, True),
        ({"accuracy": "hits"}, {"hits"}, True),
        ({}, set(), False),
    ],
)
def test_a_validation_tells_something_where_a_name_is_read(
    given: dict[str, Any], logged: set[str], tells: bool
) -> None:
    assert keys(**given).tells(dict.fromkeys(logged, 0.5)) is tells


def test_a_custom_objective_may_read_any_name() -> None:
    class Mine(CustomObjective):
        def score(self, validation: ValidationMetrics) -> float:
            return 0.0

    read = MetricKeys(Objective(Mine()), None, None)
    assert read.tells({"reward": 0.5})
    assert not read.tells({})


def test_a_name_is_verified_by_a_sanity_check_or_missed_by_a_whole_validation() -> None:
    read = keys(loss="val/nll")
    assert read.unverified
    read.see({"val_acc"})
    read.check_names({"train_loss"})  # a sanity check may leave something out
    assert read.unverified
    read.see({"val/nll"})
    assert not read.unverified
    missed = keys("f1")
    missed.see({"val_acc", "val_loss"}, whole=True)
    assert not missed.unverified  # it is known
    missed.check_names({"f1"})
    with pytest.raises(NotLogged, match=r"objective='f1'\): no such metric .* logged are \['val_acc', 'val_loss'\]"):
        missed.check_names({"train_loss"})


def test_an_accuracy_to_rank_by_is_a_name_as_well() -> None:
    read = keys("accuracy")
    read.see({"val_loss"}, whole=True)
    with pytest.raises(NotLogged, match=r"objective='accuracy'\): no such metric"):
        read.check_names({"train_loss"})
    assert not keys("kappa").unverified
