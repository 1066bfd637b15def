"""When a run has lost ground, and what it goes back to; a whole fit that does is in test_guard.py."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from lightning_gammabo.scheduler.recovery import RETREATS, Retreat


class Run:
    """A network of one number, which is the number of the epoch that it was trained for last."""

    def __init__(self) -> None:
        self.module = nn.Linear(1, 1, bias=False)
        self.optimizers = [torch.optim.SGD(self.module.parameters(), lr=0.1)]
        self.retreat = Retreat()
        self.reasons: list[str] = []

    def ends(self, epoch: int, loss: float | None) -> int | None:
        with torch.no_grad():
            self.module.weight.fill_(float(epoch))
        lost = self.retreat.see(epoch, loss, self.module, self.optimizers)
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
    assert went == [None, *[0] * RETREATS, *[None] * (19 - RETREATS)]


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
    state = run.retreat.state_dict(ahead=ahead)
    again.retreat.load_state_dict(state)
    assert again.retreat.state_dict() == state
    if ahead:  # what was seen last is better, and is taken from the checkpoint itself
        assert state["held"] is None
        json.dumps(state)
        assert [again.ends(3, 0.4), again.ends(4, 0.5), again.ends(5, 0.5)] == [None, None, 3]
    else:
        assert again.ends(3, 0.6) == 1
