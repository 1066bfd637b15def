"""What watches a candidate: its losses, when it is cut short, and what its validation measured batch by batch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_gammabo.trainer.monitor import HOPELESS, CandidateMonitor, Diverged, Pruned

NAN, INF = math.nan, math.inf


def monitor(
    *, distributed: bool = False, synchronises: bool = False, agree: Any = bool, **options: Any
) -> CandidateMonitor:
    return CandidateMonitor(agree, distributed=distributed, synchronises=synchronises, **options)


def step(watching: CandidateMonitor, outputs: Any) -> None:
    watching.on_train_batch_end(None, None, outputs, None, watching.batches)


def test_the_training_loss_is_that_of_the_last_quarter() -> None:
    watching = monitor()
    assert watching.train_loss is None
    for loss in range(1, 11):  # 10 steps: the last two
        step(watching, {"loss": torch.tensor(float(loss))})
    assert watching.batches == 10
    assert watching.train_loss == 9.5


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_of_few_steps_the_last_one_counts(steps: int) -> None:
    watching = monitor()
    for loss in range(steps):
        step(watching, torch.tensor(float(loss)))
    assert watching.train_loss == steps - 1


@pytest.mark.parametrize("outputs", [None, {}, {"loss": None}, "text", {"loss": torch.zeros(3)}, torch.zeros(2), 0.5])
def test_a_step_without_a_loss_is_counted_and_nothing_else(outputs: Any) -> None:
    watching = monitor()
    step(watching, outputs)
    watching.on_validation_batch_end(None, None, outputs, None, 0)
    assert (watching.batches, watching.train_loss, watching.val_loss) == (1, None, None)


def test_the_graph_of_a_loss_is_not_held() -> None:
    watching = monitor()
    loss = torch.nn.Parameter(torch.tensor(2.0)) * 3.0
    step(watching, {"loss": loss})
    assert watching.train_loss == 6.0
    assert not watching.losses[0].requires_grad


def test_the_validation_loss_is_the_mean_over_batches() -> None:
    watching = monitor()
    for loss in (1.0, 2.0, 6.0):
        watching.on_validation_batch_end(None, None, {"loss": torch.tensor([loss])}, None, 0, 0)
    assert watching.val_loss == 3.0


@pytest.mark.parametrize("loss", [NAN, INF, -INF])
def test_a_loss_that_is_not_finite_ends_the_candidate_at_once(loss: float) -> None:
    watching = monitor()
    step(watching, torch.tensor(1e38))
    step(watching, None)
    with pytest.raises(Diverged, match="training loss not finite at step 3"):
        step(watching, torch.tensor(loss))


def test_where_a_look_waits_for_a_device_it_is_taken_every_eighth_step() -> None:
    watching = monitor(synchronises=True)
    for number in range(7):
        step(watching, torch.tensor(NAN if number == 2 else 1.0))
    with pytest.raises(Diverged, match="at step 8"):
        step(watching, torch.tensor(1.0))


def test_losses_are_looked_at_once() -> None:
    watching = monitor(synchronises=True)
    looks: list[int] = []
    watching.check = lambda: looks.append(watching.batches) or CandidateMonitor.check(watching)  # type: ignore[method-assign, func-returns-value]
    for _ in range(20):
        step(watching, torch.tensor(1.0))
    assert looks == [8, 16]
    assert watching._checked == 16


def test_all_ranks_end_at_the_same_step() -> None:
    asked: list[bool] = []

    def any_rank(bad: bool) -> bool:
        asked.append(bad)
        return len(asked) == 2  # the other rank diverges, this one does not

    watching = monitor(distributed=True, agree=any_rank)
    for _ in range(15):
        step(watching, torch.tensor(1.0))
    with pytest.raises(Diverged, match="at step 16"):
        step(watching, torch.tensor(1.0))
    assert asked == [False, False]


def test_one_rank_alone_asks_nobody() -> None:
    watching = monitor(agree=lambda bad: pytest.fail("asked"))
    step(watching, torch.tensor(1.0))


# ---- the hopeless are pruned


def losses(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value) for value in values]


def test_a_hopeless_candidate_is_pruned_at_its_batch_and_not_before() -> None:
    watching = monitor(prune_after=4, rival=losses(1.0, 1.0, 1.0, 1.0, 1.0))
    for _ in range(3):
        step(watching, torch.tensor(9.0))
    with pytest.raises(Pruned, match=r"training loss 9.00 times the leader's on the same batches") as pruned:
        step(watching, torch.tensor(9.0))
    assert pruned.value.ratio == 9.0


def test_compared_is_the_later_half() -> None:
    # hopeless at first, as good as the leader in the later half
    watching = monitor(prune_after=4, rival=losses(1.0, 1.0, 2.0, 3.0))
    for loss in (99.0, 99.0, 2.0, 3.0):
        step(watching, torch.tensor(loss))
    watching = monitor(prune_after=5, rival=losses(1.0, 1.0, 2.0, 3.0, 1.0, 1.0))
    for loss in (1.0, 1.0, 4.0, 6.0):  # of five, the last three
        step(watching, torch.tensor(loss))
    with pytest.raises(Pruned) as pruned:
        step(watching, torch.tensor(2.0))
    assert pruned.value.ratio == 12.0 / 6.0


@pytest.mark.parametrize("ratio", [0.5, 1.0, HOPELESS])
def test_up_to_half_behind_is_not_hopeless(ratio: float) -> None:
    watching = monitor(prune_after=2, rival=losses(1.0, 1.0))
    for _ in range(4):
        step(watching, torch.tensor(ratio, dtype=torch.float64))
    assert watching.batches == 4


@pytest.mark.parametrize(
    ("own", "rival"),
    [(5.0, ()), (5.0, (-1.0, -1.0)), (5.0, (0.0, 0.0)), (-5.0, (1.0, 1.0)), (None, (1.0, 1.0))],
    ids=["no leader", "negative leader", "leader at zero", "negative", "no loss"],
)
def test_where_a_ratio_says_nothing_nobody_is_pruned(own: float | None, rival: tuple[float, ...]) -> None:
    watching = monitor(prune_after=2, rival=losses(*rival))
    for _ in range(3):
        step(watching, None if own is None else torch.tensor(own))
    assert watching.batches == 3


def test_a_rival_that_lost_its_lead_later_drops_nobody() -> None:
    # ahead at the fourth step, dead at the end: a rate that was too high
    watching = monitor(prune_after=4, rival=losses(1.0, 1.0, 1.0, 1.0, 2.0, 2.3, 2.3, 2.3))
    for loss in losses(2.3, 2.3, 2.3, 2.3):
        step(watching, loss)
    watching = monitor(prune_after=4, rival=losses(1.0, 1.0, 1.0, 1.0, 0.9, 0.8, 0.8, 0.8))
    for loss in losses(1.6, 1.6, 1.6):
        step(watching, loss)
    with pytest.raises(Pruned, match=r"1\.60 times"):
        step(watching, torch.tensor(1.6))


def test_a_rival_alone_drops_nobody() -> None:
    watching = monitor(rival=losses(1.0, 1.0))
    for _ in range(3):
        step(watching, torch.tensor(9.0))
    assert watching.batches == 3


def test_a_candidate_that_diverged_by_then_has_diverged() -> None:
    watching = monitor(synchronises=True, prune_after=2, rival=losses(1.0, 1.0))
    step(watching, torch.tensor(9.0))
    with pytest.raises(Diverged, match="at step 2"):
        step(watching, torch.tensor(NAN))


@pytest.mark.parametrize("hopeless_elsewhere", [True, False])
@pytest.mark.parametrize("hopeless_here", [True, False])
def test_it_is_pruned_where_all_ranks_find_it_hopeless(hopeless_here: bool, hopeless_elsewhere: bool) -> None:
    said: list[bool] = []

    def any_rank(flag: bool) -> bool:
        said.append(flag)
        look_at_losses = len(said) == 1
        return flag or (not look_at_losses and not hopeless_elsewhere)

    watching = monitor(distributed=True, agree=any_rank, prune_after=2, rival=losses(1.0, 1.0))
    loss = torch.tensor(9.0 if hopeless_here else 1.0)
    step(watching, loss)
    if hopeless_here and hopeless_elsewhere:
        with pytest.raises(Pruned):
            step(watching, loss)
    else:
        step(watching, loss)
    assert said == [False, not hopeless_here]


# ---- batch by batch


class Running:
    """Sums as a validation adds them up."""

    def __init__(self) -> None:
        self.sums: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def add(self, name: str, mean: float, weight: float) -> None:
        total, weights = self.sums.get(name, (torch.zeros((), dtype=torch.float64), torch.zeros(())))
        self.sums[name] = (total + mean * weight, weights + weight)

    def __call__(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        return dict(self.sums)


BATCHES = st.lists(st.tuples(st.floats(-10.0, 10.0), st.integers(1, 64)), min_size=1, max_size=12)


@settings(deadline=None, derandomize=True)
@given(BATCHES)
def test_the_means_of_batches_are_had_from_what_is_added_up(batches: list[tuple[float, int]]) -> None:
    running = Running()
    watching = monitor(read_sums=running)
    for mean, size in batches:
        running.add("val_loss", mean, size)
        running.add("val_acc", mean / 2.0, size)
        watching.on_validation_batch_end(None, None, None)
    for name, factor in (("val_loss", 1.0), ("val_acc", 0.5)):
        found = watching.val_batches[name]
        assert [weight for _, weight in found] == [size for _, size in batches]
        assert [mean for mean, _ in found] == pytest.approx([mean * factor for mean, _ in batches], abs=1e-10)


def test_a_batch_that_logs_nothing_is_none_of_a_metrics_batches() -> None:
    running = Running()
    watching = monitor(read_sums=running)
    watching.on_validation_batch_end(None, None, None)
    running.add("val_loss", 2.0, 4)
    watching.on_validation_batch_end(None, None, None)
    running.add("val_acc", 0.5, 1)
    watching.on_validation_batch_end(None, None, None)
    running.add("val_loss", 8.0, 2)
    watching.on_validation_batch_end(None, None, None)
    assert watching.val_batches == {"val_loss": [(2.0, 4.0), (8.0, 2.0)], "val_acc": [(0.5, 1.0)]}


def test_without_a_validation_there_are_no_batches() -> None:
    assert monitor().val_batches == {}


@pytest.mark.parametrize(
    ("batch", "samples"),
    [
        (torch.zeros(8, 3), 8),
        ([torch.zeros(4, 3), torch.zeros(4)], 4),
        ({"n": 3, "scale": torch.tensor(1.0), "x": (torch.zeros(5, 2),)}, 5),
        (object(), 1),
        (None, 1),
    ],
)
def test_samples_are_counted_by_the_rows_of_the_first_tensor(batch: Any, samples: int) -> None:
    watch = CandidateMonitor(bool, distributed=False, synchronises=False)
    for index in range(3):
        watch.on_train_batch_end(None, None, None, batch, index)
    watch.on_validation_batch_end(None, None, None, batch, 0)
    assert (watch.samples, watch.validated) == (3 * samples, samples)
