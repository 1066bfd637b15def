from __future__ import annotations

import copy
import math
import pickle
from dataclasses import FrozenInstanceError

import pytest

from lightning_gammabo.records import EpochRecord, Trial, TrialState
from tests.unit.records.histories import record, result


@pytest.mark.parametrize("lr", [-1e-9, math.nan, math.inf])
def test_a_trial_refuses_a_rate_that_is_none(lr: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        Trial(number=0, lr=lr)


def test_a_trial_may_have_rate_zero() -> None:
    assert Trial(number=3, lr=0.0).lr == 0.0  # the configured rate may be 0 at the start of a warm-up


@pytest.mark.parametrize("score", [None, math.nan, math.inf, -math.inf])
def test_a_complete_result_needs_a_finite_score(score: float | None) -> None:
    with pytest.raises(ValueError, match=r"Result 4: score=.* does not fit COMPLETE"):
        result(4, score=score)


@pytest.mark.parametrize("state", [TrialState.DIVERGED, TrialState.FAILED])
def test_a_lost_result_has_no_score(state: TrialState) -> None:
    with pytest.raises(ValueError, match=rf"does not fit {state.name}"):
        result(state=state, score=0.0)
    assert result(state=state, score=None).score is None


@pytest.mark.parametrize("value", [Trial(number=0, lr=0.1), result(), record()], ids=lambda value: type(value).__name__)
def test_records_are_frozen_and_can_be_copied(value: object) -> None:
    field = "epoch" if isinstance(value, EpochRecord) else "number"
    with pytest.raises(FrozenInstanceError, match=field):
        setattr(value, field, 5)
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value
