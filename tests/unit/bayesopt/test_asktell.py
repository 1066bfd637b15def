"""Ask and tell under any order of events: proposals in range, nothing told is lost, a state holds everything."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lightning_gammabo.bayesopt import LearningRateSpace, make_search
from lightning_gammabo.bayesopt.factory import SEARCHES
from lightning_gammabo.records import Trial
from tests.helpers.matrix import WHOLE

KINDS = [kind for kind in SEARCHES if kind != "list"]
BOTORCH = ("gaussian", "gaussian_log_ei", "gaussian_pi")
CANDIDATES = [0.3, 0.03, 5.0]

# ties, neighbours, extremes of float, and everything that says that a trial diverged
SCORES = st.one_of(
    st.sampled_from(
        [0.0, -0.0, 1.0, 1.0, 1.0 + 1e-15, -1.0, 1e-300, 1e300, -1e300, None, math.nan, math.inf, -math.inf]
    ),
    st.floats(-10.0, 10.0),
)
RATES = st.one_of(st.sampled_from([0.0, 1e-3, 1.0, 0.02, 0.02, 1e-30, 1e30]), st.floats(1e-5, 10.0))
SPACES = st.sampled_from(
    [
        LearningRateSpace(1e-3, 1.0),
        LearningRateSpace(0.0, 0.5, scale="linear"),
        LearningRateSpace(0.1, 0.1 * (1 + 1e-9)),
        LearningRateSpace(1e-300, 1e300),
    ]
)


def make(kind: str, space: LearningRateSpace, seed: int) -> Any:
    return make_search(
        kind, space, seed=seed, n_initial=2, n_trials=6, candidates=CANDIDATES if kind == "list" else None
    )


class AnyOrder(RuleBasedStateMachine):
    """One search, whatever happens to it; ``told`` and ``open`` are kept by hand beside it."""

    kind: ClassVar[str] = "random"

    @initialize(space=SPACES, seed=st.integers(0, 2**63))
    def begin(self, space: LearningRateSpace, seed: int) -> None:
        self.space, self.seed = space, seed
        self.search = make(self.kind, space, seed)
        self.queued: list[float] = []
        self.open: list[Trial] = []
        self.told: list[tuple[Trial, float | None]] = []
        self.asked = 0

    def exhausted(self, n: int = 1) -> bool:
        # lists and grids end; whoever goes on asking is told so
        if self.kind not in ("list", "grid") or self.search._next + n - len(self.queued) <= len(self.search.candidates):
            return False
        return n > len(self.queued)

    def check(self, trial: Trial) -> None:
        assert trial.number == self.asked
        assert math.isfinite(trial.lr)
        if self.queued:
            assert trial.lr == self.queued.pop(0)
        elif self.kind == "list":
            assert trial.lr in CANDIDATES
        else:
            assert self.space.low <= trial.lr <= self.space.high
        self.asked += 1
        self.open.append(trial)

    @rule()
    def ask(self) -> None:
        if self.exhausted():
            assert self.search.finished
            with pytest.raises(RuntimeError, match="look at `finished` before ask"):
                self.search.ask()
            return
        self.check(self.search.ask())

    @rule(n=st.integers(2, 4))
    def ask_side_by_side(self, n: int) -> None:
        if not self.exhausted(n):
            for trial in self.search.ask(n):
                self.check(trial)

    @precondition(lambda self: self.open)
    @rule(score=SCORES, data=st.data())
    def tell(self, score: float | None, data: st.DataObject) -> None:
        trial = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.search.tell(trial, score)
        self.told.append((trial, score if score is not None and math.isfinite(score) else None))
        with pytest.raises(ValueError, match="was told before; tell each trial once"):
            self.search.tell(trial, 0.0)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        trial = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.search.discard(trial)
        with pytest.raises(ValueError, match="was not asked for by this search"):
            self.search.tell(trial, 0.0)

    @rule(lr=RATES)
    def enqueue(self, lr: float) -> None:
        self.search.enqueue(lr)
        self.queued.append(lr)

    @rule(lr=st.sampled_from([-1e-9, math.nan, math.inf, -math.inf]))
    def enqueue_what_is_no_rate(self, lr: float) -> None:
        with pytest.raises(ValueError, match="a learning rate is finite and not negative"):
            self.search.enqueue(lr)

    @rule()
    def save_and_load(self) -> None:
        plain = json.loads(json.dumps(self.search.state_dict(), allow_nan=False))
        other = make(self.kind, self.space, self.seed)
        other.load_state_dict(plain)
        assert other.state_dict() == self.search.state_dict()
        if not self.exhausted() and self.asked < 12:
            # both go the same way; the step is taken back in a third one
            third = make(self.kind, self.space, self.seed)
            third.load_state_dict(plain)
            assert other.ask() == self.search.ask()
            self.search = third
        else:
            self.search = other

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "search"):
            return
        assert [(told.trial, told.score) for told in self.search.told] == self.told
        assert sorted(self.search.pending, key=lambda trial: trial.number) == sorted(
            self.open, key=lambda trial: trial.number
        )


@pytest.mark.parametrize("kind", [*KINDS, "list"])
def test_any_order_of_events(kind: str) -> None:
    machine = type(f"AnyOrder_{kind}", (AnyOrder,), {"kind": kind})
    few = settings(max_examples=4, stateful_step_count=10)
    many = settings(max_examples=25 if WHOLE else 10, stateful_step_count=25)
    options = {"deadline": None, "derandomize": True}
    run_state_machine_as_test(machine, settings=settings(few if kind in BOTORCH else many, **options))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lr", [2.0, 1e3, 1e30])
def test_a_rate_far_outside_that_diverged_draws_no_proposal_outside(kind: str, lr: float) -> None:
    space = LearningRateSpace(0.0, 0.5, scale="linear")
    search = make(kind, space, 0)
    for _ in range(3):
        search.enqueue(lr)
        search.tell(search.ask(), None)
        trial = search.ask()
        assert space.low <= trial.lr <= space.high
        search.discard(trial)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in (*BOTORCH, "grid")])
@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    count=st.sampled_from([1, 2, 3, 30, 255, 256, 257, 500]), pattern=st.lists(SCORES, min_size=1, max_size=6), lr=RATES
)
def test_one_to_five_hundred_points(kind: str, count: int, pattern: list[float | None], lr: float) -> None:
    """Points come back in a pattern of scores, every third one at the very same rate."""
    space = LearningRateSpace(1e-3, 1.0)
    search = make(kind, space, 0)
    for number in range(count):
        # the surrogate is asked rarely: what is tried here is what it does with many points
        search.enqueue(lr if number % 3 == 0 else space.from_unit((number * 0.618) % 1.0))
        search.tell(search.ask(), pattern[number % len(pattern)])
    for _ in range(2):
        trial = search.ask()
        assert space.low <= trial.lr <= space.high
        search.tell(trial, pattern[0])
    assert len(search.told) == count + 2


@pytest.mark.parametrize(
    ("score", "number"),
    [
        (3, 3.0),
        (np.array([0.5]), 0.5),
        (np.float32(0.5), 0.5),
        (torch.tensor(2), 2.0),
        (torch.tensor([[0.5]], requires_grad=True), 0.5),
        (Decimal("0.25"), 0.25),
        (True, 1.0),
        (np.array([np.nan]), None),
        (torch.tensor(math.inf), None),
        (Decimal("NaN"), None),
    ],
)
def test_a_score_of_one_element_is_a_number(score: Any, number: float | None) -> None:
    search = make("gamma", LearningRateSpace(1e-3, 1.0), 0)
    search.tell(search.ask(), score)
    assert [told.score for told in search.told] == [number]
    json.dumps(search.state_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        (10**400, r"tell\(score=\.\.\.\): the number is greater than a float can hold"),
        pytest.param(-(10**5000), "greater than a float can hold", id="beyond what Python prints"),
        (torch.ones(2), r"tell\(score=tensor\(\[1\., 1\.\]\)\): need one number .*, or None for a trial that diverged"),
        (np.ones((0,)), "need one number"),
        (1j, "need one number"),
        (torch.tensor(1j), "need one number"),
        ("0.5", "need one number"),
        ([0.5], "need one number"),
    ],
)
def test_a_score_that_is_no_number_is_refused_and_the_trial_waits(score: Any, sentence: str) -> None:
    search = make("gamma", LearningRateSpace(1e-3, 1.0), 0)
    trial = search.ask()
    with pytest.raises(ValueError, match=sentence):
        search.tell(trial, score)
    assert search.pending == (trial,)
    search.tell(trial, 0.5)


def test_impossible_rates_and_counts_are_refused() -> None:
    search = make("gamma", LearningRateSpace(1e-3, 1.0), 0)
    with pytest.raises(ValueError, match=r"enqueue\(lr=\.\.\.\): the number is greater than a float can hold"):
        search.enqueue(10**400)
    with pytest.raises(ValueError, match=r"enqueue\(lr='0.1'\): need one number"):
        search.enqueue("0.1")
    for n in (0, -1, 2.0, "2"):
        with pytest.raises(ValueError, match="at least one trial, by a whole number"):
            search.ask(n)


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOTORCH)
def test_botorch_with_many_points(kind: str) -> None:
    space = LearningRateSpace(1e-3, 1.0)
    search = make(kind, space, 0)
    for number in range(120):
        search.enqueue(0.02 if number % 3 == 0 else space.from_unit((number * 0.618) % 1.0))
        trial = search.ask()
        search.tell(trial, None if number % 7 == 0 else -((math.log10(trial.lr) + 1.5) ** 2))
    trial = search.ask()
    assert space.low <= trial.lr <= space.high
    assert len(search.told) == 120
