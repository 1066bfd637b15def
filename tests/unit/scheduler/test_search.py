"""One epoch's search, without a Trainer: what is asked, trained, told, kept and recorded, in which order."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lightning_gammabo.bayesopt import LearningRateSpace, Search, make_search
from lightning_gammabo.determinant.determinant import Determinant
from lightning_gammabo.determinant.kappa import Kappa, kappa
from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import CustomObjective, NotLogged, Objective, ValidationMetrics
from lightning_gammabo.determinant.smoothing import smoothed_argmax
from lightning_gammabo.records import EpochRecord, Outcome, Result, TrialState
from lightning_gammabo.scheduler.search import HyperparameterScheduler

SPACE = LearningRateSpace(1e-4, 1.0)
Train = Callable[[float], Outcome]


def complete(loss: float | None = None, accuracy: float | None = None, **fields: Any) -> Outcome:
    metrics = {"val_loss": loss, "val_acc": accuracy}
    kept = {name: value for name, value in metrics.items() if value is not None}
    return Outcome(**({"state": TrialState.COMPLETE, "metrics": kept, "steps": 5, "seconds": 0.5} | fields))


def bowl(lr: float) -> Outcome:
    """Best at lr = 0.1; diverges above 0.5."""
    if lr > 0.5:
        return Outcome(state=TrialState.DIVERGED, passes=0.25, val_passes=0.0, message="training loss not finite")
    distance = abs(math.log10(lr) + 1.0)
    return complete(1.0 + distance, 0.9 / (1.0 + distance))


class Runner:
    """A candidate runner that trains nothing and writes down what it is asked for."""

    def __init__(
        self,
        train: Train = bowl,
        *,
        baseline: Outcome | None = None,
        replay: bool = False,
        holds: bool = True,
    ) -> None:
        self.replay = replay
        self.holds = holds
        self.calls: list[Any] = []
        self.kept: list[float] = []
        self._train = train
        self._baseline = baseline if baseline is not None else complete(2.0, 0.1)

    def agree(self, value: Any) -> Any:
        return value

    def baseline(self) -> Outcome:
        self.calls.append("baseline")
        return self._baseline

    def train(self, lr: float) -> Outcome:
        self.calls.append(lr)
        return self._train(lr)

    def keep(self) -> None:
        self.kept.append(self.calls[-1])


class Progress:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def start(self, epoch: int, total: int) -> None:
        self.calls.append(("start", epoch, total))

    def candidate(self, number: int, lr: float, leader: Result | None) -> None:
        self.calls.append((number, lr, None if leader is None else leader.number))

    def finish(self) -> None:
        self.calls.append("finish")


def scheduler(n_trials: int = 4, *, objective: Objective | None = None, **options: Any) -> HyperparameterScheduler:
    objective = objective or Objective("kappa")
    keys = MetricKeys(objective, options.pop("monitor_loss", None), options.pop("monitor_accuracy", None))
    keys.see(options.pop("seen", ("val_loss", "val_acc")))  # by the sanity check
    determinant = options.pop("determinant", None) or Determinant()
    return HyperparameterScheduler(objective, keys, determinant, n_trials=n_trials, **options)


def listed(*rates: float) -> Search:
    return make_search("list", SPACE, seed=0, n_initial=1, n_trials=len(rates), candidates=rates)


def search(
    runner: Runner,
    proposals: Search,
    *,
    current_lr: float = 0.01,
    epoch: int = 3,
    around: Sequence[float] = (),
    **options: Any,
) -> EpochRecord:
    return scheduler(**options).search(runner, proposals, epoch=epoch, current_lr=current_lr, around=around)


# ---- what is tried


def test_the_present_rate_is_tried_first_wherever_it_lies() -> None:
    runner = Runner()
    record = search(runner, listed(0.1, 0.3), current_lr=7e-6, n_trials=3)
    assert runner.calls == ["baseline", 7e-6, 0.1, 0.3]
    assert [(r.number, r.lr, r.origin) for r in record.results] == [
        (0, 7e-6, "current"), (1, 0.1, "list"), (2, 0.3, "list"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["gamma", "random", "sobol", "grid"])
def test_real_searches_are_asked_and_told(kind: str) -> None:
    runner = Runner()
    proposals = make_search(kind, SPACE, seed=1, n_initial=2, n_trials=6)
    record = search(runner, proposals, n_trials=6)
    assert len(record.results) == 6
    told = {t.trial.number: t.score for t in proposals.told}  # type: ignore[attr-defined]
    assert told == {r.number: r.score for r in record.results}
    assert proposals.pending == ()  # type: ignore[attr-defined]
    best = min((r for r in record.results if r.loss is not None), key=lambda r: r.loss or 0.0)
    assert record.chosen is best


def test_the_same_seed_gives_the_same_search() -> None:
    rates = []
    for _ in range(2):
        runner = Runner()
        search(runner, make_search("gamma", SPACE, seed=5, n_initial=2, n_trials=5), n_trials=5)
        rates.append(runner.calls)
    assert rates[0] == rates[1]


def test_a_list_that_ends_ends_the_search() -> None:
    runner = Runner()
    record = search(runner, listed(0.1), n_trials=10)
    assert len(record.results) == 2


def test_a_search_that_is_finished_at_once_still_tries_the_present_rate() -> None:
    proposals = listed(0.1)
    proposals.tell(proposals.ask(), 1.0)
    assert proposals.finished
    runner = Runner()
    assert len(search(runner, proposals, n_trials=5).results) == 1
    assert runner.calls == ["baseline", 0.01]


def test_a_single_trial_is_the_present_rate_and_costs_no_baseline() -> None:
    runner = Runner()
    record = search(runner, listed(0.1), n_trials=1)
    assert runner.calls == [0.01]
    assert runner.kept == [0.01]
    assert record.reason == "the only candidate"
    assert (record.train_passes, record.val_passes, record.scorings) == (1.0, 2.0, 1)


def test_a_region_is_tried_after_the_present_rate_and_before_the_search_proposes() -> None:
    runner = Runner()
    record = search(runner, listed(0.5, 0.6), around=[0.2, 0.05], n_trials=4)
    assert runner.calls == ["baseline", 0.01, 0.2, 0.05, 0.5]
    assert [result.origin for result in record.results] == ["current", "region", "region", "list"]


@pytest.mark.parametrize("affordable", [0, 1, 2, 9])
def test_what_cannot_be_afforded_is_not_trained(affordable: int) -> None:
    asked: list[int] = []

    def affords(results: Sequence[Result]) -> bool:
        asked.append(len(results))
        return len(results) <= affordable

    record = search(Runner(), listed(0.1, 0.2, 0.3), n_trials=4, affords=affords)
    # the present rate is trained anyway: it is the epoch itself
    assert len(record.results) == min(1 + affordable, 4)
    assert asked == list(range(1, min(1 + affordable, 3) + 1))


# ---- the centre of the rates that scored well


def test_the_last_candidate_is_the_centre_of_those_before_and_wins() -> None:
    runner = Runner()
    record = search(runner, listed(1e-4, 1e-3, 0.3, 0.2), n_trials=5, settles=True)
    *others, last = record.results
    assert [result.lr for result in others] == [0.01, 1e-4, 1e-3, 0.3]
    assert (last.lr, last.origin) == (smoothed_argmax(others), "smoothed")
    assert record.chosen is last
    assert runner.kept[-1] == last.lr
    assert record.reason == "the centre of the rates that scored well"


def test_without_three_scores_there_is_no_centre() -> None:
    record = search(Runner(), listed(0.1, 0.2), n_trials=3, settles=True)
    assert [result.lr for result in record.results] == [0.01, 0.1, 0.2]
    assert search(Runner(), listed(0.1), n_trials=1, settles=True).chosen is not None


def test_a_centre_that_cannot_be_afforded_is_not_trained() -> None:
    record = search(
        Runner(), listed(1e-4, 1e-3, 0.3, 0.2), n_trials=5, settles=True,
        affords=lambda results: len(results) < 4,
    )  # fmt: skip
    assert [result.lr for result in record.results] == [0.01, 1e-4, 1e-3, 0.3]


@pytest.mark.parametrize(("lacking", "tried"), [((0.1, 0.2, 0.3), 3), ((0.1, 0.3), 5), ((), 5)])
def test_two_candidates_in_a_row_that_run_out_of_memory_end_the_search(lacking: tuple[float, ...], tried: int) -> None:
    def train(lr: float) -> Outcome:
        return Outcome(state=TrialState.FAILED, message="out of memory") if lr in lacking else bowl(lr)

    record = search(Runner(train), listed(0.1, 0.2, 0.3, 0.4), current_lr=0.01, n_trials=5)
    assert len(record.results) == tried
    assert record.chosen is not None
    assert record.chosen.state is TrialState.COMPLETE


# ---- what is kept and chosen


def test_every_new_leader_is_kept_and_nobody_else() -> None:
    runner = Runner()
    record = search(runner, listed(1e-3, 0.05, 0.9, 0.3, 0.1), current_lr=0.01, n_trials=6)
    assert runner.kept == [0.01, 0.05, 0.1]
    assert record.chosen is not None
    assert record.chosen.lr == runner.kept[-1] == 0.1
    assert record.reason == "highest score of 5 candidates"
    assert record.commit == "copy"


def test_ties_stay_with_the_present_rate() -> None:
    runner = Runner(lambda lr: complete(1.0, 0.5))
    record = search(runner, listed(0.1, 0.2), n_trials=3)
    assert runner.kept == [0.01]
    assert record.chosen_number == 0


@pytest.mark.parametrize("state", [TrialState.DIVERGED, TrialState.FAILED])
def test_where_all_are_lost_nothing_is_kept(state: TrialState) -> None:
    runner = Runner(lambda lr: Outcome(state=state, passes=0.5, val_passes=0.0, message="why"))
    record = search(runner, listed(0.1), n_trials=2)
    assert runner.kept == []
    assert record.chosen is None
    assert record.reason == "all 2 candidates diverged or failed"
    assert [(r.state, r.score, r.message) for r in record.results] == [(state, None, "why")] * 2
    assert record.commit == "replay"  # the epoch is trained again, natively
    assert record.train_passes == 2 * 0.5 + 1.0


def test_a_lost_candidate_is_told_as_none() -> None:
    proposals = listed(0.9)
    search(Runner(), proposals, n_trials=2)
    assert [t.score for t in proposals.told][1] is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite_is_a_divergence(loss: float) -> None:
    record = search(Runner(lambda lr: complete(loss if lr == 0.1 else 1.0, 0.5)), listed(0.1), n_trials=2)
    lost = record.results[1]
    assert (lost.state, lost.score, lost.loss) == (TrialState.DIVERGED, None, None)
    assert lost.message == "its score is not finite"
    assert record.chosen_number == 0


@pytest.mark.parametrize("replay", [True, False])
def test_replay_costs_one_pass_more(replay: bool) -> None:
    record = search(Runner(replay=replay), listed(0.1), n_trials=2)
    assert record.commit == ("replay" if replay else "copy")
    assert record.train_passes == 2.0 + replay
    assert record.val_passes == 1.0 + 2.0 + 1.0  # reference, candidates, the committed epoch's own


@pytest.mark.parametrize("holds", [True, False])
def test_a_winner_of_a_part_goes_on_from_there_if_it_is_held(holds: bool) -> None:
    record = search(Runner(lambda lr: complete(lr, 0.5, passes=0.25), holds=holds), listed(0.001), n_trials=2)
    assert record.chosen_number == 1
    assert record.commit == ("copy" if holds else "replay")
    assert record.train_passes == 2 * 0.25 + (0.75 if holds else 1.0)


def test_passes_count_what_was_cut_short() -> None:
    record = search(Runner(), listed(0.9, 0.1), n_trials=3)
    assert record.train_passes == 1.0 + 0.25 + 1.0
    assert record.val_passes == 1.0 + 1.0 + 0.0 + 1.0 + 1.0
    assert record.scorings == 1 + 2  # the untrained network, and the two that came to their end


def test_without_validation_no_pass_is_counted() -> None:
    runner = Runner(lambda lr: complete(train_loss=lr, val_passes=0.0), baseline=complete(val_passes=0.0))
    record = search(runner, listed(0.001), n_trials=2)
    assert record.val_passes == 0.0
    assert [r.loss for r in record.results] == [0.01, 0.001]
    assert record.chosen_number == 1


def test_a_result_holds_what_was_measured() -> None:
    runner = Runner(lambda lr: complete(0.5, 80.0, steps=7, seconds=1.25, passes=1.0))
    objective = Objective(Kappa(0.5))
    result = search(runner, listed(0.1), n_trials=2, objective=objective).results[0]
    assert (result.loss, result.accuracy, result.steps, result.seconds) == (0.5, 0.8, 7, 1.25)
    assert result.score == kappa(0.8, 0.5 / 2.0, 0.5)  # against the untrained network's loss
    assert result.value == kappa(0.8, 0.5, 0.5)
    assert result.metrics == {"val_loss": 0.5, "val_acc": 80.0}


def test_the_record_names_epoch_and_objective() -> None:
    began = time.perf_counter()
    record = search(Runner(), listed(0.1), epoch=11, n_trials=2, objective=Objective("loss"))
    assert (record.epoch, record.objective) == (11, "loss")
    assert 0.0 < record.seconds < time.perf_counter() - began


class TurnsBack(Determinant):
    """Lets the second of three lead, and chooses the first in the end."""

    def choose(self, results: Sequence[Result]) -> tuple[Result | None, str]:
        return results[1 if len(results) == 2 else 0], "turned back"


def test_a_winner_that_is_not_held_any_more_is_trained_again() -> None:
    """The largest within one error of the best: a new best may bring an older candidate back."""
    runner = Runner()
    record = search(runner, listed(0.1, 0.2), determinant=TurnsBack(), n_trials=3)
    assert runner.kept == [0.01, 0.1]
    assert record.chosen_number == 0
    assert record.commit == "replay"
    assert record.train_passes == 3.0 + 1.0


# ---- what pairs candidates, and what a pruned one is taken for


def batches_of(**columns: list[float]) -> dict[str, list[tuple[float, float]]]:
    return {f"val_{name}": [(value, 10.0) for value in values] for name, values in columns.items()}


def test_the_parts_are_scores_without_a_batch() -> None:
    outcome = complete(2.0, 0.5, batches=batches_of(loss=[1.0, 2.0, 3.0], acc=[0.6, 0.5, 0.4]))
    result = search(Runner(lambda lr: outcome), listed(0.1), n_trials=2).results[0]
    # the reference loss is 2: kappa is accuracy squared minus the logarithm of half the loss
    expected = [kappa(0.45, 2.5 / 2.0), kappa(0.5, 2.0 / 2.0), kappa(0.55, 1.5 / 2.0)]
    assert result.parts == pytest.approx(expected, rel=1e-12)


def test_what_is_not_logged_batch_by_batch_stays_as_it_is() -> None:
    # the accuracy is a metric object: only the loss is left out batch by batch
    outcome = complete(2.0, 0.5, batches=batches_of(loss=[1.0, 3.0]))
    result = search(Runner(lambda lr: outcome), listed(0.1), n_trials=2).results[0]
    assert result.parts == pytest.approx([kappa(0.5, 3.0 / 2.0), kappa(0.5, 1.0 / 2.0)], rel=1e-12)


def test_a_loss_that_is_not_logged_batch_by_batch_stays_as_it_is() -> None:
    outcome = complete(2.0, 0.5, batches=batches_of(acc=[0.4, 0.6]))
    result = search(Runner(lambda lr: outcome), listed(0.1), n_trials=2).results[0]
    assert result.parts == pytest.approx([kappa(0.6, 1.0), kappa(0.4, 1.0)], rel=1e-12)


def test_parts_of_a_logged_metric() -> None:
    outcome = complete(metrics={"val_f1": 0.5}, batches={"val_f1": [(0.4, 1.0), (0.6, 1.0)]})
    objective = Objective("val_f1", mode="min")
    runner = Runner(lambda lr: outcome)
    result = search(runner, listed(0.1), n_trials=2, objective=objective, seen=("val_f1",)).results[0]
    assert result.parts == pytest.approx([-0.6, -0.4])


def dropping(behind: float | None, leader: Outcome) -> Train:
    pruned = Outcome(state=TrialState.PRUNED, passes=0.25, val_passes=0.0, message="behind", behind=behind)
    return lambda lr: pruned if lr == 0.5 else leader


@pytest.mark.parametrize(
    ("objective", "leader", "estimate"),
    [
        ("loss", complete(2.0, 0.6), -3.0),
        ("kappa", complete(2.0, 0.6), kappa(0.4, 3.0 / 2.0)),
        ("kappa", complete(2.0, 60.0), kappa(0.4, 3.0 / 2.0)),
        ("kappa", complete(0.5, 0.6), kappa(0.4, 0.75 / 2.0)),
        ("kappa", complete(2.0), -3.0),
        ("kappa", complete(0.0, 0.6), 0.5 * kappa(0.6, 0.0)),
        ("accuracy", complete(2.0, 0.6), 0.4),
        ("val_acc", complete(2.0, 0.6), 0.6 - 0.5 * 0.6),
        ("loss", complete(-2.0), 2.0 - 0.5 * 2.0),
    ],
)
def test_a_pruned_candidate_is_told_as_far_behind_as_it_was(objective: str, leader: Outcome, estimate: float) -> None:
    proposals = listed(0.5)
    record = search(Runner(dropping(1.5, leader)), proposals, n_trials=2, objective=Objective(objective))
    pruned = record.results[1]
    assert (pruned.state, pruned.score, pruned.message) == (TrialState.PRUNED, None, "behind")
    assert pruned.estimate == pytest.approx(estimate)
    assert proposals.told[1].score == pruned.estimate  # type: ignore[attr-defined]
    assert record.chosen_number == 0
    assert record.train_passes == 1.0 + 0.25


class ByMetric(CustomObjective):
    """Reads a metric that an estimate cannot have."""

    def score(self, measured: ValidationMetrics) -> float:
        return measured.metrics["val_f1"]


def test_a_pruned_candidate_is_estimated_where_an_objective_reads_other_metrics() -> None:
    leader = Outcome(state=TrialState.COMPLETE, metrics={"val_loss": 2.0, "val_f1": 0.8})
    record = search(Runner(dropping(1.5, leader)), listed(0.5), n_trials=2, objective=Objective(ByMetric()))
    assert record.results[1].estimate == pytest.approx(0.8 - 0.5 * 0.8)


def test_a_candidate_without_the_metric_of_an_objective_fails_where_others_had_it() -> None:
    def train(lr: float) -> Outcome:
        return Outcome(state=TrialState.COMPLETE, metrics={"val_loss": 2.0} | ({"val_f1": 0.8} if lr < 0.5 else {}))

    record = search(Runner(train), listed(0.5), n_trials=2, objective=Objective(ByMetric()))
    assert record.results[1].state is TrialState.FAILED
    assert "looks for 'val_f1', and no such metric was logged" in record.results[1].message
    with pytest.raises(NotLogged, match="looks for 'val_f1'"):
        search(Runner(train), listed(0.1), current_lr=0.5, n_trials=2, objective=Objective(ByMetric()))


def test_an_estimate_says_nothing_of_the_unit_of_accuracies() -> None:
    objective = Objective("accuracy")
    search(Runner(dropping(1.5, complete(2.0, 0.6))), listed(0.5), n_trials=2, objective=objective)
    assert not objective.percent


def test_the_first_candidate_has_nobody_to_be_behind() -> None:
    record = search(Runner(dropping(1.5, complete(2.0, 0.6))), listed(0.1), current_lr=0.5, n_trials=2)
    assert (record.results[0].state, record.results[0].estimate) == (TrialState.PRUNED, None)


def test_a_diverged_candidate_is_told_as_none() -> None:
    record = search(Runner(), listed(0.9), n_trials=2)
    assert (record.results[1].state, record.results[1].estimate) == (TrialState.DIVERGED, None)


# ---- the reference


def test_the_reference_is_learned_once() -> None:
    objective = Objective("kappa")
    runner = Runner()
    one = scheduler(2, objective=objective)
    one.search(runner, listed(0.1), epoch=0, current_lr=0.01)
    one.search(runner, listed(0.1), epoch=1, current_lr=0.01)
    assert runner.calls == ["baseline", 0.01, 0.1, 0.01, 0.1]
    assert objective.reference_loss == 2.0


@pytest.mark.parametrize("loss", [None, 0.0, -1.0, math.nan, math.inf])
def test_a_reference_that_is_no_measure_is_not_asked_for_again(loss: float | None) -> None:
    objective = Objective("kappa")
    runner = Runner(baseline=complete(loss, 0.1))
    one = scheduler(2, objective=objective)
    first = one.search(runner, listed(0.1), epoch=0, current_lr=0.01)
    one.search(runner, listed(0.1), epoch=1, current_lr=0.01)
    assert runner.calls.count("baseline") == 1
    assert objective.reference_loss == 0.0
    assert first.results[1].score == kappa(0.9, 1.0)


@pytest.mark.parametrize("loss", [0.5, 1.0, 7.0])
def test_any_loss_above_zero_is_a_reference(loss: float) -> None:
    objective = Objective("kappa")
    search(Runner(baseline=complete(loss, 0.1)), listed(0.1), n_trials=2, objective=objective)
    assert objective.reference_loss == loss


def test_where_the_start_cannot_be_validated_there_is_no_reference() -> None:
    class Traceless(Runner):
        def baseline(self) -> Any:
            return None

    objective = Objective("kappa")
    record = search(Traceless(), listed(0.1), n_trials=2, objective=objective)
    assert objective.reference_loss == 0.0
    assert (record.val_passes, record.scorings) == (2.0 + 1.0, 2)


@pytest.mark.parametrize("name", ["kappa_thesis", "loss", "accuracy", "val_acc"])
def test_objectives_without_a_reference_cost_none(name: str) -> None:
    runner = Runner()
    search(runner, listed(0.1), n_trials=2, objective=Objective(name))
    assert runner.calls == [0.01, 0.1]


@pytest.mark.parametrize("trials", [1, 2])
def test_a_name_that_no_sanity_check_has_logged_is_looked_for_once(trials: int) -> None:
    runner = Runner()
    record = search(runner, listed(0.1), n_trials=trials, objective=Objective("val_acc"), seen=())
    assert runner.calls == ["baseline", 0.01, 0.1][: 1 + trials]
    assert record.scorings == 1 + trials


def test_a_loss_that_only_training_logs_may_be_named() -> None:
    runner = Runner(lambda lr: complete(metrics={"train_loss": lr}), baseline=complete(metrics={}))
    record = search(runner, listed(0.001), n_trials=2, monitor_loss="train_loss")
    assert [r.loss for r in record.results] == [0.01, 0.001]


# ---- errors


@pytest.mark.parametrize(
    ("objective", "outcome", "lacking"),
    [
        ("kappa", complete(), "loss or accuracy"),
        ("loss", complete(None, 0.5), "loss"),
        ("accuracy", complete(1.0), "accuracy"),
    ],
)
def test_nothing_to_rank_by_is_an_error_with_the_remedy(objective: str, outcome: Outcome, lacking: str) -> None:
    message = (
        f"GammaLRSearch(objective='{objective}') has nothing to rank candidates by: no validation {lacking} was logged "
        f"or returned; logged are {sorted(outcome.metrics)}. Log it in `validation_step`, name it by monitor_loss=... "
        "or monitor_accuracy=..., or rank by a logged metric: objective=... with mode='min' or 'max'."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        search(Runner(lambda lr: outcome), listed(0.1), n_trials=2, objective=Objective(objective))


@pytest.mark.parametrize("objective", ["kappa", "loss", "accuracy"])
def test_a_single_candidate_needs_nothing_to_rank_by(objective: str) -> None:
    record = search(Runner(lambda lr: complete()), listed(0.1), n_trials=1, objective=Objective(objective))
    assert record.chosen is not None
    assert (record.chosen.score, record.chosen.message) == (0.0, "nothing was logged")


def test_a_metric_that_is_not_logged_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"GammaLRSearch\(objective='val_f1'\): no such metric .*\['val_acc', 'val_l"):
        search(Runner(), listed(0.1), n_trials=2, objective=Objective("val_f1"))


@pytest.mark.parametrize(
    ("silent", "objective", "message"),
    [
        (complete(metrics={"other": 1.0}), "kappa", "nothing to rank candidates by: no validation loss or accuracy"),
        (complete(1.0), "kappa", "ranked are loss 'val_loss', accuracy 'val_acc'; this candidate gave loss 'val_loss'"),
        (complete(1.0), "val_acc", "objective='val_acc'): no such metric was logged"),
    ],
)
def test_a_candidate_that_logs_less_than_those_before_fails(silent: Outcome, objective: str, message: str) -> None:
    runner = Runner(lambda lr: silent if lr == 0.1 else bowl(lr))
    record = search(runner, listed(0.1, 0.2), n_trials=3, objective=Objective(objective))
    failed = record.results[1]
    assert (failed.state, failed.score, failed.metrics) == (TrialState.FAILED, None, silent.metrics)
    assert (failed.number, failed.lr, failed.steps) == (1, 0.1, 5)
    assert message in failed.message
    assert record.chosen_number == 2


def test_where_candidates_were_ranked_before_the_first_one_may_fail_too() -> None:
    runner = Runner(lambda lr: complete() if lr == 0.01 else bowl(lr))
    record = search(runner, listed(0.1), n_trials=2, ranked_before=True)
    assert [result.state for result in record.results] == [TrialState.FAILED, TrialState.COMPLETE]


# ---- a validation that gives no number at any rate


BROKEN = complete(math.nan, 0.5)
LOST = "its score is not finite"


@pytest.mark.parametrize("objective", ["loss", "kappa"])
def test_no_rate_is_blamed_where_nothing_validates_before_training_either(objective: str) -> None:
    diverged = Outcome(state=TrialState.DIVERGED, passes=0.25, val_passes=0.0, message="training loss not finite")
    runner = Runner(lambda lr: diverged if lr == 0.2 else BROKEN, baseline=BROKEN)
    record = search(runner, listed(0.1, 0.2), n_trials=3, objective=Objective(objective))
    blameless = (TrialState.FAILED, f"{LOST}, nor is it before training")
    said = [(result.state, result.message) for result in record.results]
    assert said == [blameless, blameless, (TrialState.DIVERGED, "training loss not finite")]
    assert [result.lr for result in record.results] == [0.01, 0.1, 0.2]
    assert record.chosen is None
    # kappa had asked for its reference before
    assert record.scorings == runner.calls.count("baseline") == (2 if objective == "kappa" else 1)


@pytest.mark.parametrize("baseline", [complete(1.0), complete(metrics={"other": 1.0}), None])
def test_rates_are_to_blame_where_something_validates_before_training(baseline: Outcome | None) -> None:
    class Starts(Runner):
        def baseline(self) -> Any:
            return baseline

    objective = Objective("val_loss")
    record = search(Starts(lambda lr: BROKEN), listed(0.1), n_trials=2, objective=objective)
    assert [(result.state, result.message) for result in record.results] == [(TrialState.DIVERGED, LOST)] * 2
    assert record.scorings == (0 if baseline is None else 1)


def test_the_start_is_not_validated_again_where_all_diverged_in_training_or_one_did_not() -> None:
    for train in (lambda lr: bowl(0.9), lambda lr: BROKEN if lr == 0.1 else bowl(lr)):
        runner = Runner(train)
        search(runner, listed(0.1), n_trials=2, objective=Objective("loss"))
        assert "baseline" not in runner.calls


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt("boom")])
def test_what_a_candidate_raises_goes_through_and_the_bar_goes(error: BaseException) -> None:
    def train(lr: float) -> Outcome:
        if lr == 0.2:
            raise error
        return bowl(lr)

    progress, proposals = Progress(), listed(0.1, 0.2, 0.3)
    with pytest.raises(type(error), match="boom"):
        search(Runner(train), proposals, n_trials=4, progress=progress)
    assert progress.calls == [("start", 3, 4), (0, 0.01, None), (1, 0.1, 0), (2, 0.2, 1), "finish"]
    assert len(proposals.told) == 2  # type: ignore[attr-defined]


# ---- progress and ranks


def test_progress_knows_candidate_and_leader() -> None:
    progress = Progress()
    search(Runner(), listed(0.9, 0.1, 0.3), n_trials=4, progress=progress)
    shown = [("start", 3, 4), (0, 0.01, None), (1, 0.9, 0), (2, 0.1, 0), (3, 0.3, 2), "finish"]
    assert progress.calls == shown


class Leader(Runner):
    """Rank 0: what it says is written down."""

    def __init__(self, train: Train = bowl) -> None:
        super().__init__(train)
        self.said: list[Any] = []

    def agree(self, value: Any) -> Any:
        self.said.append(value)
        return value


class Follower(Runner):
    """A rank whose own numbers differ: what rank 0 says is done."""

    def __init__(self, said: list[Any]) -> None:
        super().__init__(lambda lr: complete(lr, 0.5, seconds=9.0), baseline=complete(7.0))
        self.said = list(said)

    def agree(self, value: Any) -> Any:
        return self.said.pop(0)


@pytest.mark.parametrize("kind", ["gamma", "random"])
def test_all_ranks_search_alike(kind: str) -> None:
    objectives = [Objective("kappa"), Objective("kappa")]
    leader = Leader()
    records = []
    for rank in (0, 1):
        runner = leader if rank == 0 else Follower(leader.said)
        proposals = make_search(kind, SPACE, seed=2, n_initial=2, n_trials=6)
        one = scheduler(6, objective=objectives[rank])
        records.append(one.search(runner, proposals, epoch=0, current_lr=0.01))
    assert runner.calls == leader.calls
    assert runner.kept == leader.kept
    assert records[1].results == records[0].results
    assert records[1].chosen_number == records[0].chosen_number
    assert objectives[0].reference_loss == objectives[1].reference_loss == 2.0
    assert runner.said == []
