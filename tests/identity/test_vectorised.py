"""Candidates trained together in a fit: the results of candidates trained in turn, and the committed fit to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.epoch_runner import StackingRunner
from lightning_gammabo.records import Outcome, Result, SearchHistory, TrialState
from tests.identity.fingerprint import differences
from tests.identity.scenarios import SCENARIOS, Net, Scenario
from tests.identity.test_identity import Follows, fit
from tests.identity.test_policies import PARTIAL, known

pytestmark = pytest.mark.filterwarnings("ignore")

SMALL: dict[str, Any] = {"policy": "thesis", "n_initial": 2, "n_iterations": 1, "search": "random", "progress": False}
IN_TURN = "candidates are trained one after the other: "


class Adam(Net):
    """AdamW in two groups; no bias before the normalisation, whose gradient would be nothing but rounding."""

    def __init__(self) -> None:
        super().__init__(lr=0.01)
        self.net[0] = nn.Linear(6, 8, bias=False)

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(
            [{"params": self.net[0].parameters(), "lr": 0.02}, {"params": self.net[1:].parameters()}]
        )


class Recurrent(Net):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.cell(x.reshape(2, -1, 3))[0][-1]
        return out


class LooksLate(Net):
    """Reads a value off its loss, but not in the batches that are tried beforehand."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        if batch_idx == 3:
            assert math.isfinite(loss.item())
        return loss


class KeepsLosses(Net):
    def __init__(self) -> None:
        super().__init__()
        self.losses: list[Any] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.losses.append(1)
        return self.loss(batch)


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many candidates were trained together, time by time."""
    sizes: list[int] = []
    native = StackingRunner.train_many

    def train_many(runner: Any, lrs: Sequence[float], usable: Callable[[Outcome], bool]) -> list[Outcome] | None:
        sizes.append(len(lrs))
        return native(runner, lrs, usable)

    monkeypatch.setattr(StackingRunner, "train_many", train_many)
    return sizes


def searched(scenario: Scenario, vectorise: str, **options: Any) -> tuple[GammaLRSearch, dict[str, Any]]:
    search = GammaLRSearch(**{**SMALL, **options}, vectorise=vectorise)  # type: ignore[arg-type]
    return search, fit(scenario, search)


def chosen(history: SearchHistory) -> list[float]:
    return [record.chosen.lr for record in history if record.chosen is not None]


def pairs(one: SearchHistory, other: SearchHistory) -> Iterator[tuple[Result, Result]]:
    assert len(one) == len(other) > 0
    for mine, theirs in zip(one, other, strict=True):
        yield from zip(mine.results, theirs.results, strict=True)


def without_time(history: SearchHistory) -> list[list[Result]]:
    return [[replace(result, seconds=0.0) for result in record.results] for record in history]


@pytest.mark.parametrize("options", [{}, {"gradient_clip_val": 0.1}, {"accumulate_grad_batches": 2}], ids=str)
@pytest.mark.parametrize("module", [Net, Adam])
def test_together_is_in_turn(module: Any, options: dict[str, Any], stacks: list[int]) -> None:
    scenario = Scenario(module, train=SCENARIOS["shuffled"].train, trainer=options)
    together, end = searched(scenario, "always")
    in_turn, _ = searched(scenario, "never")
    assert stacks == [3, 3, 3]
    assert chosen(together.history) == chosen(in_turn.history)
    for mine, theirs in pairs(together.history, in_turn.history):
        assert (mine.lr, mine.state, mine.steps, mine.origin) == (theirs.lr, theirs.state, theirs.steps, theirs.origin)
        assert (mine.loss, mine.accuracy) == (pytest.approx(theirs.loss, rel=1e-5), theirs.accuracy)
        assert mine.parts == pytest.approx(theirs.parts, rel=1e-4)
    assert differences(fit(scenario, Follows(chosen(together.history))), end) == []


@pytest.mark.parametrize(
    "name",
    ["augmented", "own generators", "combined", "metrics", "accumulates over a limit", "stops in mid-epoch",
     "live validation", "no validation", "counting callback", "accumulates by epoch"],
)  # fmt: skip
def test_the_committed_fit_is_the_plain_one(name: str, stacks: list[int]) -> None:
    search, end = searched(SCENARIOS[name], "always")
    assert stacks
    assert {record.commit for record in search.history} == {"replay"}
    assert differences(fit(SCENARIOS[name], Follows(chosen(search.history))), end) == []


@pytest.mark.parametrize("name", ["live generator", "endless"])
def test_where_batches_are_kept_the_first_candidate_is_native(name: str, stacks: list[int]) -> None:
    search, end = searched(SCENARIOS[name], "always", n_iterations=2)
    assert set(stacks) == {3}
    assert differences(fit(SCENARIOS[name], Follows(chosen(search.history))), end) == []


def test_short_candidates_follow_the_anchor(stacks: list[int]) -> None:
    scenario = SCENARIOS["shuffled"]
    options = {**PARTIAL, "policy": "epochwise", "anchor": "cosine", "drop_at": 1.0, "later_share": 9.0}
    together, end = searched(scenario, "always", **options)
    in_turn, _ = searched(scenario, "never", **options)
    assert stacks == [3] * len(together.history)
    assert len(stacks) > 1
    for mine, theirs in pairs(together.history, in_turn.history):
        assert (mine.lr, mine.steps, mine.passes) == (pytest.approx(theirs.lr), theirs.steps, theirs.passes)
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-5)
    assert differences(fit(scenario, known(together)), end) == []


@pytest.mark.parametrize("kind", ["step", "onecycle"])
def test_scaled_schedulers_move_all_candidates(kind: str, stacks: list[int]) -> None:
    scenario = SCENARIOS[f"scheduler: {kind}"]
    together, _ = searched(scenario, "always", **scenario.search)
    in_turn, _ = searched(scenario, "never", **scenario.search)
    assert stacks
    for mine, theirs in pairs(together.history, in_turn.history):
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-5)


@pytest.mark.parametrize("name", ["drifts in validation", "augmented validation", "shuffled validation"])
def test_each_is_validated_from_the_same_state(name: str, stacks: list[int]) -> None:
    together, _ = searched(SCENARIOS[name], "always")
    in_turn, _ = searched(SCENARIOS[name], "never")
    assert stacks
    for mine, theirs in pairs(together.history, in_turn.history):
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-5)


def test_one_diverges_and_disturbs_nobody(stacks: list[int]) -> None:
    together, _ = searched(SCENARIOS["shuffled"], "always", candidates=[1e30, 0.1])
    in_turn, _ = searched(SCENARIOS["shuffled"], "never", candidates=[1e30, 0.1])
    assert stacks == [3, 3, 3]
    for record in together.history:
        assert [result.state for result in record.results] == [
            TrialState.COMPLETE, TrialState.DIVERGED, TrialState.COMPLETE,
        ]  # fmt: skip
        assert record.results[1].message.startswith("training loss not finite at step ")
        assert record.results[1].passes == 1.0  # it goes on costing its share
    for mine, theirs in pairs(together.history, in_turn.history):
        assert mine.state is theirs.state
        assert mine.loss is None or mine.loss == pytest.approx(theirs.loss, rel=1e-5)
    assert chosen(together.history) == chosen(in_turn.history)


def test_all_diverge(stacks: list[int]) -> None:
    class Explodes(Net):
        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=1e25)

    train = SCENARIOS["shuffled"].train
    search, _ = searched(
        Scenario(lambda: Explodes(), train=train, trainer={"max_epochs": 1}), "always", candidates=[1e30]
    )
    assert stacks == [2]
    (record,) = search.history
    assert record.chosen is None
    assert {result.state for result in record.results} == {TrialState.DIVERGED}


# ---- where it cannot be


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        (SCENARIOS["by hand"], "cannot be vectorised: manual optimisation"),
        (SCENARIOS["takes iterator"], "cannot be vectorised: training_step takes the iterator"),
        (SCENARIOS["preprocessing callback"], "cannot be vectorised: the batch hooks of Preprocesses"),
        (SCENARIOS["validates in mid-epoch"], "validation in mid-epoch (val_check_interval=0.5)"),
        (SCENARIOS["iterable"], "the length of the epoch is not known"),
        (SCENARIOS["lazy"], "a few batches by hand failed (ValueError: "),
        (Scenario(Recurrent), "cannot be vectorised: "),
        (Scenario(KeepsLosses), "cannot be vectorised: training_step keeps state in `losses`"),
        (Scenario(Net, trainer={"limit_train_batches": 1}), "an epoch of one batch says too little"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_be_is_said_once_and_trained_in_turn(
    scenario: Scenario, reason: str, stacks: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fallen, end = searched(scenario, "always")
    assert stacks == []
    assert caplog.text.count(IN_TURN) == caplog.text.count(IN_TURN + reason) == 1
    in_turn, same = searched(scenario, "never")
    assert without_time(fallen.history) == without_time(in_turn.history)
    assert differences(same, end) == []


@pytest.mark.parametrize("vectorise", ["auto", "never"])
def test_on_a_cpu_it_has_to_be_asked_for(vectorise: str, stacks: list[int], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    search, _ = searched(SCENARIOS["shuffled"], vectorise)
    assert stacks == []
    assert {record.commit for record in search.history} == {"copy"}
    assert IN_TURN not in caplog.text


@pytest.mark.parametrize(
    ("module", "options", "reason", "wasted"),
    [
        (LooksLate, {}, "training them together failed (RuntimeError: ", 3 * 4 / 5),
        (Net, {"objective": "train_loss", "objective_mode": "min"}, "what they are ranked by is logged by", 3.0),
    ],
)
def test_what_fails_later_is_trained_in_turn_and_not_tried_again(
    module: Any,
    options: dict[str, Any],
    reason: str,
    wasted: float,
    stacks: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    scenario = Scenario(module, train=SCENARIOS["shuffled"].train)
    fallen, end = searched(scenario, "always", **options)
    assert stacks == [3]
    assert caplog.text.count(IN_TURN) == caplog.text.count(IN_TURN + reason) == 1
    in_turn, same = searched(scenario, "never", **options)
    assert without_time(fallen.history) == without_time(in_turn.history)
    assert differences(same, end) == []
    costs = [[record.train_passes for record in search.history] for search in (fallen, in_turn)]
    assert costs[0] == pytest.approx([costs[1][0] + wasted, *costs[1][1:]])


# ---- what it costs, and the guard


def test_the_plan_knows_that_the_winner_is_trained_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    search, _ = searched(SCENARIOS["shuffled"], "always")
    plan = search._session.plan
    assert plan is not None
    assert plan.planned == pytest.approx(
        sum(record.train_passes - 1.0 + record.scorings * plan.validation for record in search.history)
    )


@pytest.mark.parametrize("cap", [0.5, 1.0, 2.0])
def test_the_cap_is_kept(cap: float) -> None:
    search, _ = searched(SCENARIOS["shuffled"], "always", n_initial=4, max_overhead=cap)
    plan = search._session.plan
    assert plan is not None
    spent = sum(record.train_passes - 1.0 + record.scorings * plan.validation for record in search.history)
    assert spent <= 3 * cap + 1e-9


def test_the_guard_compares_with_the_winner(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    native = StackingRunner._looks_exploded

    def looks_exploded(runner: Any, probe: Any) -> bool:
        compared.append(len(runner._rival))
        return native(runner, probe)

    monkeypatch.setattr(StackingRunner, "_looks_exploded", looks_exploded)
    searched(SCENARIOS["shuffled"], "always", **PARTIAL, policy="epochwise", anchor="constant")
    assert compared
    assert set(compared[:1]) == {3}  # the batches of the winner's first part
