"""What is done at the start of an epoch: the run's length, a plateau, the best weights."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import Objective
from lightning_gammabo.policy import SearchPolicy
from lightning_gammabo.records import EpochRecord, Result, SearchHistory, TrialState
from lightning_gammabo.scheduler.epoch_start import EpochStart
from lightning_gammabo.scheduler.recovery import Recovery
from lightning_gammabo.scheduler.run_rates import RunRates
from lightning_gammabo.scheduler.search_range import SearchRange
from tests.helpers.runs import NotedMessages, trainer


class EarlyStopping:
    patience = 3


def run(epoch: int, loss: float | None = None, **given: Any) -> Any:
    module = given.pop("module", None) or nn.Linear(1, 1, bias=False)
    metrics = {} if loss is None else {"val_loss": torch.tensor(loss)}
    return trainer(
        torch.optim.SGD(module.parameters(), lr=0.2),
        current_epoch=epoch, callback_metrics=metrics, check_val_every_n_epoch=1, world_size=1,
        lightning_module=module, **{"callbacks": [], **given},
    )  # fmt: skip


def searched(n: int = 2) -> SearchHistory:
    found = tuple(Result(number=i, lr=0.1, state=TrialState.COMPLETE, score=1.0) for i in range(n))
    return SearchHistory([EpochRecord(epoch=0, results=found, chosen_number=0, reason="")])


def start(first: Any, **fields: Any) -> tuple[EpochStart, RunRates, NotedMessages]:
    policy, told, objective = SearchPolicy(**fields), NotedMessages(), Objective("kappa")
    keys = MetricKeys(objective, None, None)
    rates = RunRates(policy.annealing, None, told)  # type: ignore[arg-type]
    rates.watch(first, epochs=4)
    rates.take_over(first, epochs=4)
    span = SearchRange(min_lr=None, max_lr=None, sampler="gamma", seed=0)
    recovery = Recovery(span, objective, keys, told)  # type: ignore[arg-type]
    return EpochStart(policy, rates, recovery, keys, told), rates, told  # type: ignore[arg-type]


@pytest.mark.parametrize(("epochs", "factor"), [(10.0, 0.656), (3.0, 1.0), (1.0, 1.0), (None, 1.0)])
def test_the_peak_fits_the_length_once_after_the_first_search(epochs: float | None, factor: float) -> None:
    first = run(1)
    asked, _, told = start(first, annealing="constant")
    for epoch in (1, 2, 3):
        first.current_epoch = epoch
        asked.look_back(first, searched(), epochs=epochs, resumed=False)
    assert first.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.2 * factor, rel=1e-3)
    assert len(told.informed) == (factor < 1.0)


def test_a_single_candidate_and_a_policy_without_horizon_leave_the_peak() -> None:
    for history, fields in ((searched(1), {}), (searched(), {"horizon": 0.0})):
        first = run(1)
        asked, _, _ = start(first, annealing="constant", **fields)
        asked.look_back(first, history, epochs=40.0, resumed=False)
        assert first.optimizers[0].param_groups[0]["lr"] == 0.2


def losing(asked: EpochStart, first: Any) -> list[float]:
    """Ends three epochs, the last far worse than the first."""
    for epoch, loss in ((1, 1.0), (2, 0.5), (3, 2.0)):
        first.current_epoch = epoch
        first.callback_metrics = {"val_loss": torch.tensor(loss)}
        with torch.no_grad():
            first.lightning_module.weight.fill_(float(epoch))
        asked.look_back(first, searched(), epochs=3.0, resumed=False)
    return [float(first.lightning_module.weight.item()), float(first.optimizers[0].param_groups[0]["lr"])]


def test_the_best_weights_are_restored_and_the_rate_is_halved() -> None:
    first = run(1)
    asked, _, told = start(first, annealing="constant")
    assert losing(asked, first) == [2.0, 0.1]
    assert told.warned[-1].endswith("What remains of the learning rate's schedule is halved")


@pytest.mark.parametrize("fields", [{"recover": False}, {}])
def test_they_are_not_where_it_is_off_or_the_users_early_stopping_counts(fields: dict[str, Any]) -> None:
    first = run(1, callbacks=[] if fields else [EarlyStopping()])
    asked, _, told = start(first, annealing="constant", **fields)
    assert losing(asked, first) == [3.0, 0.2]
    said = "the best weights are not restored, because EarlyStopping counts epochs"
    assert (said in told.informed) is (not fields)


def test_a_plateau_falls_before_early_stopping_ends_the_run() -> None:
    first = run(1, max_epochs=-1, callbacks=[EarlyStopping()])
    asked, rates, _ = start(first, annealing="plateau")
    for epoch in (1, 2, 3):
        first.current_epoch = epoch
        first.callback_metrics = {"val_loss": torch.tensor(1.0)}
        asked.look_back(first, searched(), epochs=None, resumed=False)
    assert rates.controller is not None
    assert rates.controller.plateau.shape < 1.0


def test_an_epoch_that_was_not_validated_is_no_evidence() -> None:
    first = run(1, 0.5)
    first.check_val_every_n_epoch = 2
    asked, rates, _ = start(first, annealing="plateau")
    for epoch in (1, 3, 5, 7, 9):
        first.current_epoch = epoch
        asked.look_back(first, searched(), epochs=None, resumed=False)
    assert rates.controller is not None
    assert rates.controller.plateau.waited == 0


def test_the_state_holds_what_was_seen() -> None:
    first = run(1, 0.5)
    asked, _, _ = start(first, annealing="constant")
    asked.look_back(first, searched(), epochs=10.0, resumed=False)
    state = asked.state_dict(first)
    again, _, _ = start(run(1), annealing="constant")
    again.load_state_dict(state)
    assert again.state_dict(None) == {**state, "loss": None}
    other = run(1)
    again.look_back(other, searched(), epochs=10.0, resumed=False)  # seen already
    assert other.optimizers[0].param_groups[0]["lr"] == 0.2


def test_the_losses_of_a_validation_are_read_batch_by_batch() -> None:
    first = run(1, 0.5)
    first.sanity_checking = False
    asked, _, _ = start(first)
    asked.validation_ends(first)  # without a beginning
    assert asked.state_dict(None)["batches"] == []


@pytest.mark.parametrize(
    ("sampled", "counted"), [({"num_replicas": 2, "rank": 1}, 2), ({"num_replicas": 1, "rank": 0}, 1)]
)
def test_each_part_of_the_data_counts_once(
    monkeypatch: pytest.MonkeyPatch, sampled: dict[str, int], counted: int
) -> None:
    def gather(gathered: list[Any], mine: Any) -> None:
        gathered[:] = [(0, mine[1]), mine]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    monkeypatch.setattr(
        "lightning_gammabo.scheduler.epoch_start.running_sums", lambda trainer: {"val_loss": (0.5, 1.0)}
    )
    first = run(1, 0.5, strategy=SimpleNamespace(distributed_sampler_kwargs=sampled), sanity_checking=False)
    first.world_size = 2
    asked, _, _ = start(first)
    asked.validation_begins(first)
    asked.validation_batch_ends(first, None, torch.tensor(0.5))
    asked.validation_ends(first)
    assert len(asked.state_dict(None)["batches"]) == counted
