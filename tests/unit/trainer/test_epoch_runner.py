"""What a runner says of its candidates, what it keeps of them, and what it trains: in a small fit, without a search."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch.utils.data import DataLoader

from lightning_gammabo.learning_rate.controller import LRController
from lightning_gammabo.learning_rate.miniature import Miniature, cooling_factors
from lightning_gammabo.records import TrialState
from lightning_gammabo.trainer.candidate_plan import CandidatePlan
from lightning_gammabo.trainer.epoch_loop import arm
from lightning_gammabo.trainer.epoch_runner import EpochRunner
from lightning_gammabo.trainer.isolation import Isolation
from tests.helpers.trainers import trainer_of
from tests.integration.identity.scenarios import TRAIN, VAL, Net, Stream

pytestmark = pytest.mark.filterwarnings("ignore")

Act = Callable[[EpochRunner], None]
BATCHES = 5
TRAINED: list[float] = []
HEIGHTS: list[float] = []
SEEN: list[Any] = []
"""what a module of a test notes; a module's own lists are put back between candidates"""


class Counts(Net):
    """Writes down, of each batch that is trained, the rate and the peak_factor of the controller."""

    controller: LRController | None = None

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        TRAINED.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        HEIGHTS.append(self.controller.peak_factor if self.controller is not None else math.nan)
        return super().training_step(batch, batch_idx)


class Acts(Callback):
    """Has a runner at the start of the second epoch: by then the Trainer makes the iterators itself."""

    def __init__(self, act: Act, guarded: bool, **options: Any) -> None:
        self.act, self.guarded, self.options, self.done = act, guarded, options, 0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch != 1:
            return
        controller = LRController([], trainer.optimizers, mode="anneal") if self.guarded else None
        Counts.controller = controller
        if controller is not None:
            controller.follow(0.0)

        def search(fetcher: Any, run: Any) -> None:
            options = {"replay": False, **self.options}
            with EpochRunner(trainer, pl_module, fetcher, run, mark=None, controller=controller, **options) as runner:
                TRAINED.clear()
                HEIGHTS.clear()
                self.act(runner)
                self.done += 1
            if hasattr(runner, "_start"):  # not committed
                runner.train_natively(runner.rates.reference)

        arm(trainer, search)


def within_a_fit(
    act: Act, module: Any = Counts, train: Any = None, guarded: bool = False, trainer: Any = None, **options: Any
) -> None:
    acts = Acts(act, guarded, **options)
    loader = train if train is not None else DataLoader(TRAIN, 8)
    trainer_of(acts, **(trainer or {})).fit(module(), loader, DataLoader(VAL, 10))
    assert acts.done == 1


# ---- what comes of one


def test_a_whole_candidate_is_one_pass_and_a_part_its_share() -> None:
    def whole(runner: EpochRunner) -> None:
        outcome = runner.train(0.05)
        assert (outcome.state, outcome.passes, outcome.steps) == (TrialState.COMPLETE, 1.0, BATCHES)
        assert outcome.val_passes == 1.0

    def part(runner: EpochRunner) -> None:
        outcome = runner.train(0.05)
        assert (outcome.state, outcome.passes, outcome.steps) == (TrialState.COMPLETE, 2 / BATCHES, 2)

    within_a_fit(whole)
    within_a_fit(part, plan=CandidatePlan(until=2))


def test_where_the_length_is_not_known_what_was_trained_is_one_pass() -> None:
    def act(runner: EpochRunner) -> None:
        assert runner.train(0.05).passes == 1.0

    within_a_fit(act, train=DataLoader(Stream(), 8))


def test_an_epoch_without_batches_is_no_pass() -> None:
    trainer: Any = SimpleNamespace(
        callbacks=[], loggers=[], num_training_batches=0, world_size=1, global_step=3, global_rank=0, strategy=None
    )
    aside = Isolation(trainer, None, SimpleNamespace(share=0.0, note_price=lambda *read: None))  # type: ignore[arg-type]
    aside._steps_at_start = 3
    monitor: Any = SimpleNamespace(
        batches=0, samples=0, cooled=0, quarters=(), train_loss=None, val_loss=None, val_batches={}
    )
    assert aside.outcome(TrialState.COMPLETE, monitor).passes == 0.0


def test_one_that_is_hopelessly_behind_is_pruned() -> None:
    def act(runner: EpochRunner) -> None:
        assert runner.train(0.05).state is TrialState.COMPLETE
        runner.keep()
        outcome = runner.train(50.0)
        assert outcome.state is TrialState.PRUNED
        assert outcome.behind is not None
        assert outcome.behind > 1.0
        assert outcome.passes == 3 / BATCHES

    within_a_fit(act, prune_at=0.5)


@pytest.mark.parametrize(
    "error",
    [MemoryError("all of it"), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes")],
    ids=lambda error: type(error).__name__,
)
def test_one_that_runs_out_of_memory_fails(error: Exception) -> None:
    class Large(Net):
        armed = False

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.armed:
                raise error
            return super().training_step(batch, batch_idx)

    def act(runner: EpochRunner) -> None:
        Large.armed = True
        outcome = runner.train(0.05)
        Large.armed = False
        assert outcome.state is TrialState.FAILED
        assert outcome.message == f"out of memory: {error}"

    within_a_fit(act, Large)


def test_candidates_move_the_controllers_peak_and_nothing_else() -> None:
    def act(runner: EpochRunner) -> None:
        assert runner.rates.reference == 0.05
        runner.train(0.2)
        assert TRAINED == [0.2] * BATCHES
        assert HEIGHTS == [4.0] * BATCHES

    within_a_fit(act, guarded=True)


def test_rates_follow_the_controller_while_a_candidate_trains() -> None:
    """An annealing that falls does so within a candidate's batches."""

    def act(runner: EpochRunner) -> None:
        controller = Counts.controller
        assert controller is not None
        controller.annealing = "cosine"
        runner.train(0.05)
        assert TRAINED[0] == 0.05
        assert sorted(set(TRAINED), reverse=True) == TRAINED

    within_a_fit(act, guarded=True)


# ---- what is kept


def test_what_is_kept_is_committed_without_a_further_batch() -> None:
    def act(runner: EpochRunner) -> None:
        runner.train(0.1)
        runner.keep()
        assert runner.holds
        TRAINED.clear()
        assert runner.commit(0.1) == 0.1
        assert TRAINED == []

    within_a_fit(act)


def test_a_whole_one_is_held_whatever_came_after_it() -> None:
    def act(runner: EpochRunner) -> None:
        runner.train(0.1)
        runner.keep()
        assert runner.train(1e30).passes < 1.0
        assert runner.holds

    within_a_fit(act)


def test_of_a_part_the_rest_is_trained() -> None:
    def act(runner: EpochRunner) -> None:
        runner.train(0.1)
        runner.keep()
        assert runner.holds
        TRAINED.clear()
        runner.commit(0.1)
        assert TRAINED == [0.1] * (BATCHES - 2)

    within_a_fit(act, plan=CandidatePlan(until=2))


def test_one_that_is_replayed_is_not_held() -> None:
    def act(runner: EpochRunner) -> None:
        runner.train(0.1)
        runner.keep()
        assert not runner.holds
        TRAINED.clear()
        runner.commit(0.1)
        assert TRAINED == [0.1] * BATCHES

    within_a_fit(act, replay=True)


# ---- candidates that cool, or live a miniature

COOLS = CandidatePlan(until=2, cooling=2)
MINIATURE = Miniature(multipliers=(0.25, 1.0), ratios=((1.0,),) * 2, momenta=(0.95, 0.85))


def test_one_cools_to_zero_and_that_is_counted() -> None:
    def act(runner: EpochRunner) -> None:
        outcome = runner.train(0.1)
        first, second = cooling_factors(2)
        assert [0.1, 0.1, 0.1 * first, 0.1 * second] == TRAINED
        assert (outcome.state, outcome.passes, outcome.cooling_passes) == (TrialState.COMPLETE, 0.8, 0.4)
        assert outcome.steps == 4

    within_a_fit(act, plan=COOLS)


def test_of_one_that_cooled_the_epoch_goes_on_from_before() -> None:
    def act(runner: EpochRunner) -> None:
        runner.train(0.1)
        runner.keep()
        runner.train(0.2)
        assert runner.holds
        TRAINED.clear()
        runner.commit(0.1)
        assert TRAINED == [0.1] * (BATCHES - 2)

    within_a_fit(act, plan=COOLS)


def test_one_that_cooled_is_held_also_where_a_later_one_diverged() -> None:
    def act(runner: EpochRunner) -> None:
        runner.train(0.1)
        runner.keep()
        assert runner.train(1e30).state is not TrialState.COMPLETE
        assert runner.holds
        TRAINED.clear()
        runner.commit(0.1)
        assert TRAINED == [0.1] * (BATCHES - 2)

    within_a_fit(act, plan=COOLS)


@pytest.mark.parametrize(("until", "cooling", "batches"), [(4, 3, 5), (5, 3, 5), (None, 3, 5), (1, 9, 5), (1, 2, 3)])
def test_a_cooling_ends_with_the_epoch_and_a_whole_epoch_has_none(
    until: int | None, cooling: int, batches: int
) -> None:
    def act(runner: EpochRunner) -> None:
        outcome = runner.train(0.1)
        trained = until or BATCHES
        falls = [0.1 * factor for factor in cooling_factors(batches - trained)]
        assert TRAINED[:trained] == [0.1] * trained
        assert TRAINED[trained:] == falls
        assert outcome.cooling_passes == len(falls) / BATCHES

    within_a_fit(act, plan=CandidatePlan(until=until, cooling=cooling))


def test_a_cooling_trains_whole_optimizer_steps() -> None:
    def act(runner: EpochRunner) -> None:
        outcome = runner.train(0.1)
        # of the step that had begun with the third batch, the fourth is the rest
        assert TRAINED == [0.1] * 3 + [0.05]
        assert outcome.steps == 2

    within_a_fit(act, plan=CandidatePlan(until=3, cooling=1), trainer={"accumulate_grad_batches": 2})


def test_a_cooling_steps_no_schedulers() -> None:
    class Scheduled(Counts):
        def configure_optimizers(self) -> Any:
            optimizer = super().configure_optimizers()
            scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

        def lr_scheduler_step(self, *args: Any) -> None:
            SEEN.append("step")

    def act(runner: EpochRunner) -> None:
        SEEN.clear()
        runner.train(0.1)
        assert SEEN == ["step", "step"]

    within_a_fit(act, Scheduled, plan=COOLS)


def test_a_miniature_is_trained_at_its_rates_and_never_held() -> None:
    class Momenta(Counts):
        def on_before_optimizer_step(self, optimizer: Any) -> None:
            SEEN.append(optimizer.param_groups[0]["momentum"])

    def act(runner: EpochRunner) -> None:
        SEEN.clear()
        runner.train(0.4)
        assert TRAINED == [0.1, 0.4, 0.4 * 0.75, 0.4 * 0.25]
        assert SEEN == [0.95, 0.85, 0.85, 0.85]
        runner.keep()
        assert not runner.holds
        TRAINED.clear()
        SEEN.clear()
        runner.commit(0.4)
        assert TRAINED == [0.4] * BATCHES
        assert SEEN == [0.9] * BATCHES

    within_a_fit(act, Momenta, plan=CandidatePlan(until=2, cooling=2, miniature=MINIATURE))


def test_candidates_can_be_made_longer() -> None:
    def act(runner: EpochRunner) -> None:
        runner.train(0.1)
        runner.keep()
        runner.plan = CandidatePlan(until=3, cooling=1)
        TRAINED.clear()
        outcome = runner.train(0.2)
        assert TRAINED == [0.2] * 3 + [0.1]
        assert outcome.cooling_passes == 0.2
        runner.keep()
        assert runner.holds
        TRAINED.clear()
        runner.commit(0.2)
        assert TRAINED == [0.2] * (BATCHES - 3)

    within_a_fit(act, plan=CandidatePlan(until=1, cooling=1))


def test_statistics_of_batch_norm_are_of_all_batches_of_a_candidate_its_cooling_too() -> None:
    class Sees(Counts):
        def on_validation_start(self) -> None:
            SEEN.append(self.net[1].running_mean.clone())

    def act(runner: EpochRunner) -> None:
        norm: Any = runner._module.net[1]
        before, count = norm.running_mean.clone(), int(norm.num_batches_tracked)
        SEEN.clear()
        runner.train(0.1)
        assert int(norm.num_batches_tracked) == count + 4
        weight = (1.0 - norm.momentum) ** 4
        torch.testing.assert_close(SEEN[0], (norm.running_mean - weight * before) / (1.0 - weight))

    within_a_fit(act, Sees, plan=COOLS)


def test_training_losses_are_told_by_quarter_without_the_cooling() -> None:
    class Notes(Counts):
        def on_train_batch_end(self, outputs: Any, *args: Any) -> None:
            SEEN.append(float(outputs["loss"]))

    def act(runner: EpochRunner) -> None:
        SEEN.clear()
        assert runner.train(0.1).quarters == tuple(SEEN[:4])

    within_a_fit(act, Notes, plan=CandidatePlan(until=4, cooling=1))
