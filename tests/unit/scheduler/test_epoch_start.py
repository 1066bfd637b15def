"""What is done at an epoch's start about the end of the one before: once, on all ranks alike."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn

from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import Objective
from lightning_gammabo.learning_rate.annealing import horizon_factor
from lightning_gammabo.policy import POLICIES
from lightning_gammabo.records import EpochRecord, Result, SearchHistory, TrialState
from lightning_gammabo.scheduler.epoch_start import EpochStart
from lightning_gammabo.scheduler.recovery import HALF, Regression
from tests.helpers.runs import NotedMessages


def history(candidates: int = 2) -> SearchHistory:
    results = tuple(Result(number=n, lr=0.1, state=TrialState.COMPLETE, score=0.0) for n in range(candidates))
    return SearchHistory([EpochRecord(epoch=0, results=results, chosen_number=0, reason="best")])


class Rates:
    """Writes down what the peak is multiplied by, and the losses that a plateau sees."""

    def __init__(self, annealing: str = "linear", follows: bool = False) -> None:
        self.annealing, self.follows_users_schedule, self.annealing_value = annealing, follows, 0.5
        self.scaled: list[tuple[float, int | None]] = []
        self.plateau: list[float | None] = []
        self.guard = SimpleNamespace(plateau=SimpleNamespace(see=self.plateau.append))

    def scale(self, factor: float, *, returned_to: int | None) -> None:
        self.scaled.append((factor, returned_to))


class BestWeights:
    def __init__(self, answer: Regression | None = None) -> None:
        self.answer, self.least = answer, 1.0
        self.seen: list[tuple[int, float | None]] = []

    def see(self, epoch: int, loss: float | None, *args: Any, **kwargs: Any) -> Regression | None:
        self.seen.append((epoch, loss))
        return self.answer


def start(
    rates: Rates | None = None, best: BestWeights | None = None, **policy: Any
) -> tuple[EpochStart, Rates, BestWeights, NotedMessages]:
    rates, best, voice = rates or Rates(), best or BestWeights(), NotedMessages()
    objective = Objective("loss")
    recovery: Any = SimpleNamespace(best_weights=best)
    asked = replace(POLICIES["epochwise"], **policy)
    made = EpochStart(asked, rates, recovery, MetricKeys(objective, None, None), voice)  # type: ignore[arg-type]
    return made, rates, best, voice


def trainer(epoch: int = 1, loss: float | None = 0.5, **given: Any) -> Any:
    run = {
        "callback_metrics": {} if loss is None else {"val_loss": torch.tensor(loss)},
        "current_epoch": epoch, "check_val_every_n_epoch": 1, "world_size": 1, "lr_scheduler_configs": [],
        "callbacks": [], "lightning_module": nn.Linear(1, 1), "optimizers": [],
    }  # fmt: skip
    return SimpleNamespace(**(run | given))


def look(made: EpochStart, run: Any, searched: SearchHistory | None = None, **given: Any) -> None:
    options = {"epochs": None, "resumed": False} | given
    made.look_back(run, searched if searched is not None else history(), **options)


def test_the_end_of_an_epoch_is_looked_at_once() -> None:
    made, _, best, _ = start()
    for epoch in (1, 1, 2):
        look(made, trainer(epoch, 0.5 / epoch))
    assert best.seen == [(0, 0.5), (1, 0.25)]


def test_before_the_first_search_nothing_is_looked_at() -> None:
    made, rates, best, _ = start()
    look(made, trainer(), SearchHistory())
    assert (best.seen, rates.scaled) == ([], [])


def test_an_epoch_that_was_not_validated_has_no_loss() -> None:
    made, _, best, _ = start()
    look(made, trainer(3, check_val_every_n_epoch=2))
    assert best.seen == [(2, None)]


def test_after_a_resume_the_loss_is_the_checkpoints() -> None:
    made, _, _, _ = start()
    again, _, best, _ = start()
    again.load_state_dict(made.state_dict(trainer(loss=0.75)))
    look(again, trainer(loss=None), resumed=True)
    look(again, trainer(2, loss=None))
    assert best.seen == [(0, 0.75), (1, None)]


def test_all_ranks_look_at_the_loss_of_the_first() -> None:
    made, _, best, _ = start()
    look(made, trainer(world_size=2, strategy=SimpleNamespace(broadcast=lambda loss: 0.125)))
    assert best.seen == [(0, 0.125)]


def test_a_plateau_sees_the_loss() -> None:
    made, rates, _, _ = start(Rates("plateau"))
    look(made, trainer())
    assert rates.plateau == [0.5]


# ---- the best weights


REGRESSION = Regression("epoch 4 ended worse", 1)


def test_a_run_that_got_worse_goes_back_at_half_the_rate_and_says_so() -> None:
    made, rates, _, voice = start(best=BestWeights(REGRESSION))
    look(made, trainer(5))
    assert rates.scaled == [(HALF, 1)]
    assert voice.warned == ["epoch 4 ended worse. What remains of the learning rate's schedule is halved"]


@pytest.mark.parametrize(
    ("policy", "searched", "given"),
    [
        ({"recover": False}, history(), {}),
        ({}, history(1), {}),  # a single candidate was no choice
        ({}, history(), {"callbacks": [EarlyStopping("val_loss")]}),
        ({}, history(), {"lr_scheduler_configs": ["plateau"]}),
    ],
)
def test_nothing_is_restored_where_it_is_off_or_the_user_counts_epochs(
    policy: dict[str, Any], searched: SearchHistory, given: dict[str, Any]
) -> None:
    if "lr_scheduler_configs" in given:
        optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        given = {"lr_scheduler_configs": [SimpleNamespace(scheduler=plateau, reduce_on_plateau=True)]}
    made, rates, best, voice = start(best=BestWeights(REGRESSION), **policy)
    look(made, trainer(5, **given), searched)
    assert (best.seen, rates.scaled, voice.warned) == ([], [], [])
    named = "EarlyStopping" if "callbacks" in given else "ReduceLROnPlateau"
    assert voice.informed == ([f"the best weights are not restored, because {named} counts epochs"] if given else [])


# ---- the length of the run


def test_the_peak_is_fitted_to_a_long_run_once() -> None:
    made, rates, _, voice = start()
    factor = horizon_factor(100.0, POLICIES["epochwise"].horizon)
    assert factor < 1.0
    for epoch in (1, 2):
        look(made, trainer(epoch), epochs=100.0)
    assert rates.scaled == [(factor, None)]
    assert voice.informed == [f"the peak is multiplied by {factor:.2f} from epoch 1 on, for a run of 100 epochs"]
    again, rates, _, _ = start()
    again.load_state_dict(made.state_dict(None))
    look(again, trainer(3), epochs=100.0)
    assert rates.scaled == []


@pytest.mark.parametrize(
    ("rates", "searched", "epochs"),
    [
        (Rates(), history(), None),
        (Rates(), history(1), 100.0),
        (Rates(follows=True), history(), 100.0),
        (Rates(), history(), 1.0),
    ],
)
def test_the_peak_stays_where_the_length_says_nothing(
    rates: Rates, searched: SearchHistory, epochs: float | None
) -> None:
    made, _, _, _ = start(rates)
    look(made, trainer(), searched, epochs=epochs)
    assert rates.scaled == []


# ---- the validation, batch by batch


def test_a_checkpoint_is_ahead_where_its_weights_are_better_than_all_before() -> None:
    made, _, _, _ = start()
    ended = {"is_last_batch": True, "val_check_batch": 5, "num_training_batches": 5}
    assert made.is_ahead(trainer(loss=0.5, **ended))
    assert not made.is_ahead(trainer(loss=1.0, **ended))
    assert not made.is_ahead(trainer(loss=None, **ended))
    assert not made.is_ahead(trainer(loss=0.5, **{**ended, "is_last_batch": False}))
    assert not made.is_ahead(trainer(loss=0.5, **{**ended, "val_check_batch": 2}))
