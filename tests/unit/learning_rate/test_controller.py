"""LR schedulers are set aside or multiplied, and get their own classes back; the rates follow an annealing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.optim import Adam, Optimizer
from torch.optim import lr_scheduler as schedulers

from lightning_gammabo.learning_rate.annealing import shape
from lightning_gammabo.learning_rate.controller import LearningRates, LRController, Mode
from tests.helpers.optimizers import parameter, rates_of, sgd

MODES = ["ignore", "scale", "anneal"]


@pytest.fixture(autouse=True)
def _orders_of_steps_are_no_news() -> Iterator[None]:
    with warnings.catch_warnings():
        # no optimizer steps here, and SequentialLR warns of its own use of ``epoch``
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*optimizer.step.*")
        warnings.filterwarnings("ignore", message=".*epoch parameter.*")
        yield


# ---- schedulers under controller


def _plateau(optimizer: Optimizer) -> Any:
    return schedulers.ReduceLROnPlateau(optimizer, factor=0.3, patience=1, threshold=0.1)


def _sequence(optimizer: Optimizer) -> Any:
    return schedulers.SequentialLR(
        optimizer,
        [schedulers.LinearLR(optimizer, 0.1, total_iters=3), schedulers.ExponentialLR(optimizer, 0.7)],
        milestones=[4],
    )


SCHEDULERS: dict[str, Callable[[Optimizer], Any]] = {
    "step": lambda o: schedulers.StepLR(o, 3, gamma=0.3),
    "multistep": lambda o: schedulers.MultiStepLR(o, [2, 5], gamma=0.3),
    "exponential": lambda o: schedulers.ExponentialLR(o, 0.7),
    "cosine": lambda o: schedulers.CosineAnnealingLR(o, 7, eta_min=1e-4),
    "warm restarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 3, T_mult=2),
    "one cycle": lambda o: schedulers.OneCycleLR(o, max_lr=0.9, total_steps=20),
    "lambda": lambda o: schedulers.LambdaLR(o, lambda epoch: 1.0 / (1 + epoch)),
    "multiplicative": lambda o: schedulers.MultiplicativeLR(o, lambda epoch: 0.9),
    "polynomial": lambda o: schedulers.PolynomialLR(o, 9, power=2.0),
    "plateau": _plateau,
    "sequence": _sequence,
    "chain": lambda o: schedulers.ChainedScheduler(
        [schedulers.ConstantLR(o, 0.5, total_iters=4), schedulers.ExponentialLR(o, 0.7)]
    ),
    "cyclic": lambda o: schedulers.CyclicLR(o, base_lr=0.01, max_lr=0.4, step_size_up=3),
}


def stepped(name: str, multiplier: float | None, *, steps: int = 12, turn: int | None = None) -> list[list[float]]:
    """Rates after each step; ``turn`` is the step before which the multiplier is set."""
    optimizer = sgd(0.1, 0.03)
    scheduler = SCHEDULERS[name](optimizer)
    controller = LRController([scheduler], [optimizer], mode="scale") if multiplier is not None else None
    seen = []
    for step in range(steps):
        if controller is not None and multiplier is not None and step == (turn or 0):
            controller.rescale(multiplier)
        scheduler.step(*([1.0 + step % 2] if name == "plateau" else []))
        seen.append([*rates_of(optimizer), *(group["momentum"] for group in optimizer.param_groups)])
    return seen


@pytest.mark.parametrize("name", SCHEDULERS)
def test_multiplied_by_one_a_schedule_is_the_plain_one_to_the_bit(name: str) -> None:
    plain = stepped(name, None)
    assert stepped(name, 1.0) == plain
    assert len({tuple(rates) for rates in plain}) > 1


@pytest.mark.parametrize("turn", [0, 4])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_multiplied_schedule_is_the_multiple_of_the_plain_one(name: str, turn: int) -> None:
    m = 2.5
    for step, (got, plain) in enumerate(zip(stepped(name, m, turn=turn), stepped(name, None), strict=True)):
        factor = m if step >= turn else 1.0
        assert got[:2] == [rate * factor for rate in plain[:2]]  # exact: only the written rate is multiplied
        assert got[2:] == plain[2:]  # momentum is none of the search's business


def test_the_multiplier_moves_while_the_schedule_goes_on() -> None:
    plain = stepped("exponential", None)
    optimizer = sgd(0.1, 0.03)
    scheduler = SCHEDULERS["exponential"](optimizer)
    controller = LRController([scheduler], [optimizer], mode="scale")
    for step, expected in enumerate(plain):
        rates = LearningRates([optimizer], controller)
        rates.set(rates.reference * (step + 1.0))
        rates.set(rates.reference)  # back, as for the next candidate
        rates.set(rates.reference * 0.5)
        controller.rescale(1.0)
        scheduler.step()
        assert rates_of(optimizer) == expected[:2]


@pytest.mark.parametrize("mode", ["ignore", "anneal"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_that_is_set_aside_does_not_step(name: str, mode: Mode) -> None:
    optimizer = sgd(0.1, 0.03)
    scheduler = SCHEDULERS[name](optimizer)
    controller = LRController([scheduler], [optimizer], mode=mode)
    assert controller.sets_aside
    before = rates_of(optimizer)
    state = {key: value for key, value in vars(scheduler).items() if isinstance(value, (int, float, list))}
    for _ in range(3):
        scheduler.step(1.0)
    assert rates_of(optimizer) == before
    assert {key: vars(scheduler)[key] for key in state} == state


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_release_gives_back_the_class_and_the_step(name: str, mode: Mode) -> None:
    optimizer = sgd(0.1, 0.03)
    scheduler = SCHEDULERS[name](optimizer)
    own = type(scheduler)
    controller = LRController([scheduler], [optimizer], mode=mode)
    assert type(scheduler) is not own
    assert isinstance(scheduler, own)  # to users, checkpoints and monitors it is what it was
    assert (type(scheduler).__name__, type(scheduler).__module__) == (own.__name__, own.__module__)
    controller.release()
    controller.release()
    assert type(scheduler) is own
    assert not controller.sets_aside
    plain = sgd(0.1, 0.03)
    other = SCHEDULERS[name](plain)
    if mode == "anneal":  # it has undone a warm-up
        for group, like in zip(optimizer.param_groups, plain.param_groups, strict=True):
            group["lr"] = like["lr"]
    for metric in (1.0, 1.0, 1.0):
        for one in (scheduler, other):
            one.step(*([metric] if name == "plateau" else []))
    assert rates_of(optimizer) == rates_of(plain)


def test_state_is_where_checkpoints_look_for_it() -> None:
    optimizer, plain = sgd(0.1), sgd(0.1)
    scheduler, other = SCHEDULERS["exponential"](optimizer), SCHEDULERS["exponential"](plain)
    LRController([scheduler], [optimizer], mode="scale").rescale(4.0)
    scheduler.step()
    other.step()
    assert scheduler.state_dict() == other.state_dict()
    assert scheduler.get_last_lr() == other.get_last_lr()


def test_a_scheduler_that_raises_leaves_the_multiple() -> None:
    optimizer = sgd(0.1)
    scheduler = schedulers.OneCycleLR(optimizer, max_lr=0.9, total_steps=2)
    controller = LRController([scheduler], [optimizer], mode="scale")
    controller.rescale(2.0)
    scheduler.step()
    scheduler.step()
    rates = rates_of(optimizer)
    with pytest.raises(ValueError, match="Tried to step"):
        scheduler.step()
    assert rates_of(optimizer) == rates


class Outer:
    """Not of torch; it steps another scheduler, and itself a second time."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def step(self, again: bool = True) -> str:
        self.inner.step()
        return self.step(again=False) if again else "done"


def test_schedulers_that_step_each_other_are_multiplied_once() -> None:
    optimizer = sgd(0.1)
    inner = schedulers.ExponentialLR(optimizer, 0.5)
    outer = Outer(inner)
    controller = LRController([inner, outer], [optimizer], mode="scale")
    controller.rescale(8.0)
    assert outer.step() == "done"  # what a step returns is handed on
    assert rates_of(optimizer) == [0.1 * 0.25 * 8.0]
    inner.step()
    assert rates_of(optimizer) == [0.1 * 0.125 * 8.0]


def test_two_optimizers_two_schedulers_one_multiplier() -> None:
    one, two = sgd(0.1), sgd(0.4, 0.2)
    both = [schedulers.ExponentialLR(one, 0.5), schedulers.StepLR(two, 1, gamma=0.1)]
    controller = LRController(both, [one, two], mode="scale")
    assert LearningRates([one, two], controller).set(0.3) == pytest.approx([0.3, 1.2, 0.6], rel=1e-15)
    both[1].step()
    assert rates_of(one, two) == pytest.approx([0.3, 0.12, 0.06], rel=1e-15)
    both[0].step()
    assert rates_of(one, two) == pytest.approx([0.15, 0.12, 0.06], rel=1e-15)


def test_a_warm_up_from_zero_is_scaled_as_a_whole() -> None:
    optimizer = sgd(0.2)
    warm_up = schedulers.LambdaLR(optimizer, lambda epoch: min(1.0, epoch / 4))
    controller = LRController([warm_up], [optimizer], mode="scale")
    rates = LearningRates([optimizer], controller)
    assert rates.reference == 0.2
    assert rates.set(0.6) == [0.0]
    warm_up.step()
    assert rates_of(optimizer) == pytest.approx([0.15], rel=1e-15)


def test_a_tensor_rate_is_scheduled_in_place() -> None:
    rate = torch.tensor(0.1, dtype=torch.float64)
    optimizer = Adam([{"params": [parameter()], "lr": rate}], lr=0.5, foreach=False)
    scheduler = schedulers.ExponentialLR(optimizer, 0.5)
    controller = LRController([scheduler], [optimizer], mode="scale")
    controller.rescale(3.0)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == 0.1 * 0.5 * 3.0


def test_rates_written_by_hand_are_what_the_scheduler_goes_on_from() -> None:
    """A warm-up in ``optimizer_step`` beside a scheduler: plain, and guarded with multiplier 1."""
    plain, guarded = sgd(0.1, 0.03), sgd(0.1, 0.03)
    one, two = (schedulers.StepLR(o, 2, gamma=0.5) for o in (plain, guarded))
    LRController([two], [guarded], mode="scale")
    for step in range(6):
        if step < 4:
            for optimizer in (plain, guarded):
                optimizer.param_groups[0]["lr"] = 0.1 * (step + 1) / 7
        one.step()
        two.step()
        assert rates_of(guarded) == rates_of(plain)


def test_a_rate_written_by_hand_is_multiplied_by_what_is_new() -> None:
    optimizer = sgd(0.1, 0.03)
    controller = LRController([], [optimizer], mode="scale")
    controller.rescale(2.0)
    optimizer.param_groups[0]["lr"] = 0.5
    rates = LearningRates([optimizer], controller)
    assert rates.reference == 0.5
    assert rates.set(1.0) == [1.0, 0.12]


def test_groups_that_are_added_keep_their_ratio() -> None:
    first, second = sgd(0.1), sgd(0.4)
    scheduler = schedulers.StepLR(second, 1, gamma=0.5)
    controller = LRController([scheduler], [first, second], mode="scale")
    controller.rescale(2.0)
    # of the first optimizer, so that it stands between the two known ones; its rate contains the multiplier
    first.add_param_group({"params": [parameter()], "lr": 0.02})
    controller.rescale(4.0)
    assert rates_of(first, second) == [0.4, 0.04, 1.6]
    scheduler.step()
    assert rates_of(first, second) == [0.4, 0.04, 0.8]


def test_a_group_that_is_added_between_two_steps_joins() -> None:
    optimizer = sgd(0.1)
    scheduler = schedulers.ExponentialLR(optimizer, 0.5)
    controller = LRController([scheduler], [optimizer], mode="scale")
    controller.rescale(4.0)
    optimizer.add_param_group({"params": [parameter()], "lr": 0.8})
    scheduler.step()
    assert rates_of(optimizer) == [0.2, 0.4]
    controller.rescale(1.0)
    assert rates_of(optimizer) == [0.05, 0.1]


def test_groups_that_are_taken_away_are_forgotten() -> None:
    optimizer = sgd(0.1, 0.2, 0.3)
    controller = LRController([], [optimizer], mode="scale")
    controller.rescale(2.0)
    del optimizer.param_groups[0]
    controller.rescale(4.0)
    assert rates_of(optimizer) == pytest.approx([0.8, 1.2], rel=1e-15)


def test_a_resumed_controller_knows_what_the_rates_contain() -> None:
    stopped = LRController([], [sgd(0.1)], mode="scale")
    stopped.rescale(4.0)
    optimizer = sgd(0.1 * 4.0)
    scheduler = schedulers.ExponentialLR(optimizer, 0.5)
    controller = LRController([scheduler], [optimizer], mode="scale", state=stopped.state_dict())
    assert rates_of(optimizer) == [0.4]
    scheduler.step()
    assert rates_of(optimizer) == [0.2]
    assert LearningRates([optimizer], controller).set(0.1) == [0.1]
    assert controller.multiplier == 2.0
    controller.rescale(1.0)
    assert rates_of(optimizer) == [0.05]


@pytest.mark.parametrize("mode", MODES)
def test_a_scheduler_whose_class_cannot_be_exchanged_is_named(mode: Mode) -> None:
    class Rigid:
        __slots__ = ("n",)

        def step(self) -> None:
            self.n = 1

    optimizer = sgd(0.1)
    ordinary = schedulers.ExponentialLR(optimizer, 0.5)
    with pytest.raises(TypeError, match=r"GammaLRSearch cannot set .*Rigid aside \(.*remove this scheduler for the"):
        LRController([ordinary, Rigid()], [optimizer], mode=mode)
    assert type(ordinary) is schedulers.ExponentialLR  # those before it were given back


def test_setting_through_a_controller_keeps_ratios() -> None:
    ratios = [1.0, 0.3, 7.0]
    optimizer = sgd(*ratios)
    controller = LRController([], [optimizer], mode="scale")
    rates = LearningRates([optimizer], controller)
    for lr in (1e-5, 3.0, 0.1):
        got = rates.set(lr)
        assert got[0] == lr
        assert [rate / lr for rate in got] == pytest.approx(ratios, rel=1e-14)
    assert rates.set(1.0) == ratios


# ---- anchors


def annealed(*optimizers: Optimizer, annealing: str = "cosine", begin: float = 0.0) -> LRController:
    controller = LRController([], optimizers, mode="anneal", annealing=annealing)
    controller.follow(begin)
    return controller


@pytest.mark.parametrize("annealing", ["cosine", "linear", "constant"])
def test_the_rates_follow_the_annealing_and_groups_keep_their_ratios(annealing: str) -> None:
    first, second = sgd(0.1, 0.3), sgd(0.7)
    controller = annealed(first, second, annealing=annealing)
    for progress in (0.0, 0.1, 0.1, 0.5, 0.9, 0.3):
        controller.follow(progress)
        value = shape(annealing, progress)
        assert controller.annealing_factor == controller.multiplier == value
        assert rates_of(first, second) == [0.1 * value, 0.3 * value, 0.7 * value]


def test_the_peak_moves_all_that_remains() -> None:
    optimizer = sgd(0.1, 0.3)
    controller = annealed(optimizer, annealing="linear")
    controller.follow(0.5)
    controller.rescale(3.0)
    assert rates_of(optimizer) == [0.1 * 1.5, 0.3 * 1.5]
    controller.follow(0.75)
    assert rates_of(optimizer) == [0.1 * 0.75, 0.3 * 0.75]
    assert (controller.peak_factor, controller.shape, controller.annealing_factor) == (3.0, 0.25, 0.25)


def test_the_annealing_begins_where_it_is_first_followed() -> None:
    optimizer = sgd(0.1)
    controller = annealed(optimizer, annealing="linear", begin=0.2)
    assert rates_of(optimizer) == [0.1]
    controller.follow(0.6)
    assert rates_of(optimizer) == pytest.approx([0.05], rel=1e-15)
    controller.follow(1.0)
    assert rates_of(optimizer) == [0.0]


def test_where_no_length_is_known_the_annealing_stands_still() -> None:
    optimizer = sgd(0.1)
    controller = LRController([], [optimizer], mode="anneal", annealing="cosine")
    controller.follow(None)
    controller.follow(None)
    assert rates_of(optimizer) == [0.1]


def test_the_end_of_a_cosine_is_left_without_a_scar() -> None:
    optimizer = sgd(0.1, 0.3)
    controller = annealed(optimizer)
    controller.follow(1.0)
    assert rates_of(optimizer) == [0.0, 0.0]
    controller.rescale(2.0)
    assert rates_of(optimizer) == [0.0, 0.0]
    controller.follow(0.5)
    assert rates_of(optimizer) == [0.1 * (2.0 * shape("cosine", 0.5)), 0.3 * (2.0 * shape("cosine", 0.5))]


def test_a_rate_written_by_hand_is_what_the_annealing_goes_on_from() -> None:
    optimizer = sgd(0.1, 0.3)
    controller = annealed(optimizer, annealing="linear")
    controller.follow(0.5)
    optimizer.param_groups[0]["lr"] = 0.4  # contains the annealing: 0.8 at its peak_factor
    controller.follow(0.75)
    assert rates_of(optimizer) == [0.2, 0.075]


def test_a_group_that_is_added_under_an_annealing_joins() -> None:
    optimizer = sgd(0.1)
    controller = annealed(optimizer, annealing="linear")
    controller.follow(0.5)
    optimizer.add_param_group({"params": [parameter()], "lr": 0.2})
    controller.follow(0.75)
    assert rates_of(optimizer) == [0.025, 0.1]
    controller.rescale(2.0)
    assert rates_of(optimizer) == [0.05, 0.2]


def test_a_tensor_rate_follows_in_place() -> None:
    rate = torch.tensor(0.1, dtype=torch.float64)
    optimizer = Adam([{"params": [parameter()], "lr": rate}], lr=0.5, foreach=False)
    controller = annealed(optimizer, annealing="linear")
    controller.follow(0.5)
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == 0.05


def test_a_plateau_lowers_the_rate_when_it_says_so() -> None:
    optimizer = sgd(0.1)
    controller = annealed(optimizer, annealing="plateau", begin=0.5)
    controller.plateau.shape = 0.3
    controller.follow(0.9)
    assert rates_of(optimizer) == [0.1 * 0.3]


@pytest.mark.parametrize("mode", ["ignore", "scale"])
def test_without_an_annealing_nothing_follows(mode: Mode) -> None:
    optimizer = sgd(0.1)
    controller = LRController([], [optimizer], mode=mode, annealing="cosine")
    controller.follow(0.0)
    controller.follow(0.5)
    assert rates_of(optimizer) == [0.1]
    assert controller.multiplies is (mode == "scale")


@pytest.mark.parametrize("factor", [1.0, 8.0])
def test_the_value_of_a_users_schedule_is_measured_against_the_configured_rate(factor: float) -> None:
    optimizer = sgd(0.0, 0.2)
    scheduler = schedulers.ExponentialLR(optimizer, 0.5)
    controller = LRController([scheduler], [optimizer], mode="scale")
    controller.rescale(factor)
    assert controller.annealing_factor == 1.0
    scheduler.step()
    scheduler.step()
    assert controller.annealing_factor == 0.25


def test_a_schedule_without_a_beginning_stands_at_its_peak() -> None:
    assert LRController([], [sgd(0.2)], mode="scale").annealing_factor == 1.0


# ---- batch by batch


def trainer(epochs: int = 2, batches: int = 4, epoch: int = 0) -> Any:
    return SimpleNamespace(
        max_epochs=epochs, max_steps=-1, num_training_batches=batches, current_epoch=epoch, global_step=0
    )


def test_of_an_epoch_the_first_and_the_last_rate_are_noted() -> None:
    optimizer = sgd(0.0, 0.8)
    controller = annealed(optimizer, annealing="linear")
    controller.follow(0.5)
    for batch in range(4):
        controller.on_train_batch_start(None, None, None, batch)
        controller.on_train_batch_end(trainer(epoch=1), None, None, None, batch)
    assert (controller.first, controller.first_peak, controller.batches) == (0.4, 0.8, 4)
    assert controller.last == 0.8 * 0.125
    assert rates_of(optimizer) == [0.0, 0.0]  # written for a batch that does not come


def test_an_epoch_that_is_entered_in_its_middle_begins_there() -> None:
    optimizer = sgd(0.8)
    controller = annealed(optimizer, annealing="linear")
    controller.follow(0.25)
    controller.on_train_batch_start(None, None, None, 2)
    assert controller.batches == 0  # none has come to its end
    controller.on_train_batch_end(trainer(), None, None, None, 2)
    assert (controller.first, controller.first_peak, controller.batches) == (0.8 * 0.75, 0.8, 3)
    assert controller.last == 0.8 * 0.75


# ---- what a resumed run needs


@pytest.mark.parametrize("annealing", ["cosine", "linear", "plateau"])
def test_a_resumed_controller_goes_on_as_the_stopped_one_would(annealing: str) -> None:
    whole, stopped = sgd(0.1, 0.3), sgd(0.1, 0.3)
    controllers = [annealed(optimizer, annealing=annealing, begin=0.1) for optimizer in (whole, stopped)]
    for controller in controllers:
        controller.plateau.see(0.5)
        controller.plateau.shape = 0.3
        controller.follow(0.4)
        controller.rescale(1.7)
    resumed = sgd(*rates_of(stopped))
    again = LRController([], [resumed], mode="anneal", annealing=annealing, state=controllers[1].state_dict())
    assert again.plateau == controllers[0].plateau
    for progress in (0.4, 0.5, 0.9):
        controllers[0].follow(progress)
        again.follow(progress)
        assert rates_of(resumed) == rates_of(whole)
    controllers[0].rescale(0.3)
    again.rescale(0.3)
    assert rates_of(resumed) == rates_of(whole)
    assert again.state_dict() == controllers[0].state_dict()


def test_a_state_is_plain_and_stays_as_it_was_taken() -> None:
    controller = annealed(sgd(0.1, 0.3))
    controller.rescale(2.0)
    state = controller.state_dict()
    assert state == {
        "peak_factor": 2.0, "shape": 1.0, "begin": 0.0, "plateau": [math.inf, 0, 1.0, 3],
        "scheduled": [[0.1, 0.3]], "written": [[0.2, 0.6]],
        "first": 0.0, "first_peak": 0.0, "scheduled_peak": None, "last": 0.0, "batches": 0,
    }  # fmt: skip
    controller.rescale(3.0)
    controller.follow(0.5)
    assert state["written"] == [[0.2, 0.6]]


def test_a_warm_up_is_not_undone_twice() -> None:
    # what is resumed stands at a rate that the search chose, not at the configured one
    optimizer = sgd(0.2)
    warm_up = schedulers.LambdaLR(optimizer, lambda epoch: 0.5)
    state = LRController([warm_up], [optimizer], mode="anneal").state_dict()
    resumed = sgd(0.7)
    resumed.param_groups[0]["initial_lr"] = 0.2
    LRController([], [resumed], mode="anneal", state=state)
    assert rates_of(optimizer) == [0.2]
    assert rates_of(resumed) == [0.7]


def test_a_users_schedule_is_searched_at_its_peak() -> None:
    optimizer = sgd(0.01)  # in the middle of a warm-up to 0.1
    controller = LRController([], [optimizer], mode="scale", scheduled_peak=0.1)
    assert controller.peak == 0.1
    assert controller.annealing_factor == pytest.approx(0.1)
    rates = LearningRates([optimizer], controller)
    assert rates.reference == 0.1
    assert rates.set(0.3) == [pytest.approx(0.03)]
    assert controller.peak == pytest.approx(0.3)
    again = LRController([], [sgd(*rates_of(optimizer))], mode="scale", state=controller.state_dict())
    assert again.peak == controller.peak
