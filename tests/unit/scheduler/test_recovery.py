"""What is done about divergences: range, rates, messages, and the best weights (whole fits: integration/recovery)."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import Objective
from lightning_gammabo.records import EpochRecord, Result, TrialState
from lightning_gammabo.scheduler.recovery import MAX_RESTORES, Batches, BestWeights, Recovery
from lightning_gammabo.scheduler.search_range import SearchRange
from tests.helpers.runs import NotedMessages

COMPLETE, DIVERGED, FAILED = TrialState.COMPLETE, TrialState.DIVERGED, TrialState.FAILED


class Run:
    """A network of one number, which is the number of the epoch that it was trained for last."""

    def __init__(self) -> None:
        self.module = nn.Linear(1, 1, bias=False)
        self.optimizers = [torch.optim.SGD(self.module.parameters(), lr=0.1)]
        self.best = BestWeights()
        self.reasons: list[str] = []

    def ends(self, epoch: int, loss: float | None, batches: Batches = ()) -> int | None:
        with torch.no_grad():
            self.module.weight.fill_(float(epoch))
        lost = self.best.see(epoch, loss, self.module, self.optimizers, batches=batches)
        if lost is not None:
            self.reasons.append(lost.reason)
        held = int(self.module.weight.item())
        assert held == (epoch if lost is None or lost.returned_to is None else lost.returned_to)
        return None if lost is None else lost.returned_to


def test_it_goes_back_after_two_epochs_in_a_row_that_are_a_tenth_worse_than_the_best() -> None:
    run = Run()
    losses = (0.7, 0.5, 0.56, 0.549, 0.75, None, math.nan, math.inf, 0.551)
    assert [run.ends(epoch, loss) for epoch, loss in enumerate(losses)] == [None] * 8 + [1]
    assert run.reasons == [
        "epoch 8 ended at a validation loss of 0.551, the first searched one at 0.7, the best one, epoch 1, at 0.5: "
        "the run goes on from there"
    ]


def test_what_was_not_validated_is_no_evidence() -> None:
    run = Run()
    losses = (0.9, 0.5, 0.56, None, math.nan, 0.56, 0.56)
    assert [run.ends(epoch, loss) for epoch, loss in enumerate(losses)] == [None] * 5 + [1, None]


@pytest.mark.parametrize(
    ("n_batches", "went"),
    [
        (1, [None, None, None, 1, None]),  # three in a row, since the error of so few says little
        (2, [None, None, None, 1, None]),
        (4, [None, None, None, 1, None]),
        (5, [None] * 5),  # the paired error says that this is noise
    ],
)
def test_few_batches_need_three_epochs_and_no_paired_error(n_batches: int, went: list[int | None]) -> None:
    run = Run()
    best = [(0.5, 10.0)] * n_batches
    # in one batch much worse, in the others a little better: all in all by two fifths
    now = [(0.5 + 0.3 * n_batches, 10.0), *[(0.4, 10.0)] * (n_batches - 1)]
    loss = sum(mean for mean, _ in now) / n_batches
    run.ends(0, 2.0, [(2.0, 10.0)] * n_batches)
    found = [run.ends(1, 0.5, best), *(run.ends(epoch, loss, now) for epoch in range(2, 6))]
    assert loss > 0.6
    assert found == went


def test_it_goes_back_at_once_where_all_that_was_gained_is_lost() -> None:
    run = Run()
    assert [run.ends(epoch, loss) for epoch, loss in enumerate((0.5, 0.55, 0.551, 0.3, 0.4))] == [
        None,
        None,
        0,
        None,
        None,
    ]


def test_it_goes_back_five_times_at_the_most() -> None:
    run = Run()
    went = [run.ends(epoch, 1.0 + epoch) for epoch in range(20)]
    assert went == [None, *[0] * MAX_RESTORES, *[None] * (19 - MAX_RESTORES)]


def test_losses_below_zero_have_no_ratio() -> None:
    run = Run()
    assert [run.ends(epoch, loss) for epoch, loss in enumerate((-1.0, -0.5, 2.0, 3.0))] == [None] * 4


def test_where_other_parameters_are_trained_now_it_goes_on() -> None:
    run = Run()
    run.ends(0, 0.5)
    run.module.extra = nn.Linear(1, 1)
    assert run.ends(1, 0.6) is None
    assert run.reasons == [
        "epoch 1 ended at a validation loss of 0.6, the first searched one at 0.5, the best one, epoch 0, at 0.5; that "
        "cannot be put back, because other parameters were trained then"
    ]


@pytest.mark.parametrize("ahead", [True, False])
def test_a_resumed_run_knows_what_was_reached(ahead: bool) -> None:
    run = Run()
    for epoch, loss in enumerate((1.0, 0.5, 0.6)):
        run.ends(epoch, loss)
    again = Run()
    state = run.best.state_dict(ahead=ahead)
    again.best.load_state_dict(state)
    assert again.best.state_dict() == state
    if ahead:  # what was seen last is better, and is taken from the checkpoint itself
        assert state["held"] is None
        json.dumps(state)
        assert [again.ends(3, 0.4), again.ends(4, 0.5), again.ends(5, 0.5)] == [None, None, 3]
    else:
        assert again.ends(3, 0.6) == 1


# ---- candidates or an epoch that diverge


def made() -> tuple[Recovery, SearchRange, NotedMessages]:
    rates = SearchRange(min_lr=None, max_lr=None, sampler="gamma", seed=0)
    objective, told = Objective("kappa"), NotedMessages()
    return Recovery(rates, objective, MetricKeys(objective, None, None), told), rates, told  # type: ignore[arg-type]


def record(*results: tuple[float, TrialState], annealing: float = 1.0, chosen: int | None = None) -> EpochRecord:
    made = tuple(
        Result(number=number, lr=lr, state=state, score=1.0 if state is COMPLETE else None, message="why")
        for number, (lr, state) in enumerate(results)
    )
    return EpochRecord(
        epoch=5, results=made, chosen_number=chosen, reason="because", annealing=annealing, train_passes=2.0
    )


def test_where_all_diverged_the_range_goes_down_and_the_last_good_rate_is_taken() -> None:
    fit, rates, messages = made()
    fit.last_good = 0.05
    assert fit.without_winner(record((0.4, DIVERGED), (0.2, DIVERGED), (0.01, FAILED))) == 0.05
    assert rates.max_peak == pytest.approx(0.02)
    assert messages.warned == [
        "in epoch 5 because; it is trained at 5.00e-02 from the state at its start, and rates above 2.00e-02 are not "
        "proposed any more"
    ]


@pytest.mark.parametrize("good", [None, 0.3])
def test_where_none_was_good_below_them_a_tenth_is_taken(good: float | None) -> None:
    fit, _, _ = made()
    fit.last_good = good
    assert fit.without_winner(record((0.4, DIVERGED), (0.2, DIVERGED))) == pytest.approx(0.02)


def test_where_the_present_one_failed_by_no_rates_fault_its_rate_stays() -> None:
    fit, rates, messages = made()
    assert fit.without_winner(record((0.4, FAILED), (0.2, DIVERGED))) == 0.4
    assert rates.max_peak == math.inf
    assert messages.warned == ["in epoch 5 because; it is trained at the present rate 4.00e-01. The first one: why"]


def test_an_epoch_that_was_rolled_back_lowers_the_range() -> None:
    fit, rates, messages = made()
    told = fit.after_rollback(record((0.4, COMPLETE), annealing=0.5, chosen=0), 0.1)
    assert told.reason == "because; the epoch then diverged and was trained again at 1.00e-01"
    assert told.train_passes == 3.0
    assert rates.max_peak == pytest.approx(0.2)  # half of the peak that diverged
    assert messages.warned == [
        "epoch 5 diverged at 4.00e-01; it was put back to its start and trained at 1.00e-01. Loggers and batch hooks "
        "have seen both"
    ]
    assert fit.without_winner(record((0.4, DIVERGED))) == 0.1  # the rate it was trained at is known to be good


def test_the_state_holds_range_rate_and_best_weights() -> None:
    fit, rates, _ = made()
    fit.last_good = 0.3
    fit.after_rollback(record((0.4, COMPLETE), chosen=0), 0.1)
    again, others, _ = made()
    again.load_state_dict(fit.state_dict(ahead=False))
    assert (others.max_peak, again.last_good) == (rates.max_peak, 0.1)
    assert again.state_dict(ahead=False) == fit.state_dict(ahead=False)
