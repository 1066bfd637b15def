"""What the watch over an epoch takes for sane, and when it looks closer."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from lightning_gammabo.records import Outcome, TrialState
from lightning_gammabo.trainer.monitor import CandidateMonitor, Diverged
from lightning_gammabo.trainer.watch import SUSPICIOUS, Watch

ENDED = Outcome(state=TrialState.COMPLETE)


class Isolation:
    """Counts validations."""

    def __init__(self) -> None:
        self.scored = 0
        self.seen = CandidateMonitor(lambda flag: flag, distributed=False, synchronises=False)

    def monitor(self) -> CandidateMonitor:
        return self.seen

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        yield

    def score(self) -> dict[str, float]:
        self.scored += 1
        return {}

    def outcome(self, *args: Any) -> Outcome:
        return ENDED


class State:
    restored = 0

    def restore(self) -> None:
        State.restored += 1


def trainer_of(module: nn.Module) -> Any:
    loop = SimpleNamespace(done=True, on_advance_end=lambda fetcher: None)
    strategy = SimpleNamespace(reduce_boolean_decision=lambda flag, all: flag)
    hooks = SimpleNamespace(epoch_loop=loop)
    return SimpleNamespace(fit_loop=hooks, strategy=strategy, lightning_module=module)


def ends(losses: list[float], searched: list[float], sane: Any, *, weight: float = 1.0, repeatable: bool = True) -> Any:
    """Whether an epoch of such losses ends sanely, and how often it was validated to know that."""
    module = nn.Linear(1, 1)
    nn.init.constant_(module.weight, weight)
    aside = Isolation()
    watch = Watch(trainer_of(module), aside, sane, State if repeatable else None)  # type: ignore[arg-type]
    for loss in losses:
        aside.seen.losses.append(torch.tensor(loss))
    return watch._ends_sanely(aside.seen, [torch.tensor(loss) for loss in searched]), aside.scored


def insane(outcome: Outcome) -> bool:
    assert outcome is ENDED
    return False


def test_a_loss_that_has_not_risen_is_not_looked_at() -> None:
    assert ends([1.0, 0.9 * SUSPICIOUS], [1.0], insane) == (True, 0)


def test_one_that_has_risen_is_validated_and_the_state_put_back() -> None:
    before = State.restored
    assert ends([2.0 * SUSPICIOUS], [1.0], insane) == (False, 1)
    assert ends([2.0 * SUSPICIOUS], [1.0], lambda outcome: True) == (True, 1)
    assert State.restored == before + 2


@pytest.mark.parametrize(
    "given",
    [
        {"searched": [], "sane": insane},
        {"searched": [1.0], "sane": None},
        {"searched": [1.0], "sane": insane, "repeatable": False},
    ],
    ids=["nothing was searched", "nothing is asked", "validation data cannot be read twice"],
)
def test_where_nothing_can_be_said_the_end_is_kept(given: dict[str, Any]) -> None:
    assert ends([9.0], **given) == (True, 0)


def test_a_weight_that_is_not_finite_is_no_sane_end() -> None:
    assert ends([1.0], [1.0], None, weight=math.inf) == (False, 0)


def test_a_loss_that_is_not_finite_raises() -> None:
    with pytest.raises(Diverged):
        ends([math.nan], [1.0], None)
