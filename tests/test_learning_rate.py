"""One multiplier moves all rates; schedulers are set aside or multiplied, and get their own classes back."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.optim import SGD, Adam, Optimizer
from torch.optim import lr_scheduler as schedulers

from lightning_gammabo.learning_rate import LearningRates, SchedulerGuard


@pytest.fixture(autouse=True)
def _orders_of_steps_are_no_news() -> Iterator[None]:
    with warnings.catch_warnings():
        # no optimizer steps here, and SequentialLR warns of its own use of ``epoch``
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*optimizer.step.*")
        warnings.filterwarnings("ignore", message=".*epoch parameter.*")
        yield


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.zeros(1))


def sgd(*rates: Any, **options: Any) -> SGD:
    return SGD([{"params": [parameter()], "lr": rate} for rate in rates], lr=0.5, momentum=0.9, **options)


def rates_of(*optimizers: Optimizer) -> list[float]:
    return [float(group["lr"]) for optimizer in optimizers for group in optimizer.param_groups]


# ---- rates without a guard


def test_the_first_group_above_zero_is_the_reference() -> None:
    assert LearningRates([sgd(0.1, 0.3)]).reference == 0.1
    assert LearningRates([sgd(0.0, 0.3)]).reference == 0.3
    assert LearningRates([sgd(0.0), sgd(0.2)]).reference == 0.2


def test_ratios_between_groups_and_optimizers_stay() -> None:
    optimizers = [sgd(0.1, 0.01), sgd(0.0, 0.4)]
    rates = LearningRates(optimizers)
    assert rates.set(0.3) == pytest.approx([0.3, 0.03, 0.0, 1.2], rel=1e-15)
    assert rates.current() == rates_of(*optimizers)
    assert rates_of(*optimizers)[0] == 0.3  # the reference is written as it is asked for


def test_groups_at_the_reference_rate_get_exactly_the_rate() -> None:
    assert 0.3 * (0.7 / 0.3) != 0.7  # by way of the ratio a bit would be lost
    assert LearningRates([sgd(0.3, 0.3)]).set(0.7) == [0.7, 0.7]


def test_the_present_rate_touches_nothing() -> None:
    optimizer = sgd(1, 0.1)  # an integer: it must not even become 1.0
    rate = torch.tensor(0.1)
    tensor = sgd(rate, 0.2, foreach=False)
    held = [group["lr"] for o in (optimizer, tensor) for group in o.param_groups]
    versions = rate._version
    rates = LearningRates([optimizer, tensor])
    rates.set(rates.reference)
    assert all(
        now is before
        for now, before in zip(
            (group["lr"] for o in (optimizer, tensor) for group in o.param_groups), held, strict=True
        )
    )
    assert rate._version == versions


def test_the_present_rate_comes_back_to_the_bit() -> None:
    start = [0.1, 0.1 / 3.0, 0.7e-5]
    optimizer = sgd(*start)
    rates = LearningRates([optimizer])
    rates.set(0.77)
    assert rates.set(0.1) == start


def test_a_rate_may_be_set_twice() -> None:
    rates = LearningRates([sgd(0.1, 0.2)])
    once = rates.set(0.4)
    rates.set(0.9)
    assert rates.set(0.4) == once == pytest.approx([0.4, 0.8], rel=1e-15)


def test_a_rate_that_is_a_tensor_is_filled_in_place() -> None:
    rate = torch.tensor(0.1, dtype=torch.float64)
    optimizer = Adam([{"params": [parameter()], "lr": rate}], lr=0.5, foreach=False)
    assert LearningRates([optimizer]).set(0.3) == [0.3]
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == 0.3


def test_what_is_no_optimizer_is_passed_over() -> None:
    mock, empty = SimpleNamespace(), SimpleNamespace(param_groups=[{"params": []}])
    rates = LearningRates([mock, empty, sgd(0.1)])
    assert rates.set(0.2) == [0.2]
    nothing = LearningRates([mock])
    assert nothing.reference == 0.0
    assert nothing.current() == nothing.set(0.0) == []


@pytest.mark.parametrize("by", ["initial_lr", "defaults"])
def test_a_warm_up_from_zero_is_known_by_where_it_leads(by: str) -> None:
    optimizer = sgd(0.0, 0.0)
    if by == "initial_lr":
        optimizer.param_groups[0]["initial_lr"] = 0.2
        optimizer.param_groups[1]["initial_lr"] = torch.tensor(0.25)
    rates = LearningRates([optimizer])
    assert rates.reference == (0.2 if by == "initial_lr" else 0.5)
    assert rates.set(rates.reference) == [0.0, 0.0]  # the module will move it, as in a plain run
    assert rates.set(1.0) == ([1.0, 1.25] if by == "initial_lr" else [1.0, 1.0])


def test_a_warm_up_that_is_set_aside_starts_where_it_would_have_led() -> None:
    optimizer = sgd(0.2)
    warm_up = schedulers.LambdaLR(optimizer, lambda epoch: min(1.0, epoch / 3))
    guard = SchedulerGuard([warm_up], [optimizer], scale=False)
    assert rates_of(optimizer) == [0.0]
    rates = LearningRates([optimizer], guard)
    assert rates.reference == 0.2
    assert rates.set(0.2) == [0.2]  # nothing else will ever lift it from zero


# ---- schedulers under guard


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
    guard = SchedulerGuard([scheduler], [optimizer], scale=True) if multiplier is not None else None
    seen = []
    for step in range(steps):
        if guard is not None and multiplier is not None and step == (turn or 0):
            guard.rescale(multiplier)
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
    guard = SchedulerGuard([scheduler], [optimizer], scale=True)
    for step, expected in enumerate(plain):
        rates = LearningRates([optimizer], guard)
        rates.set(rates.reference * (step + 1.0))
        rates.set(rates.reference)  # back, as for the next candidate
        rates.set(rates.reference * 0.5)
        guard.rescale(1.0)
        scheduler.step()
        assert rates_of(optimizer) == expected[:2]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_that_is_set_aside_does_not_step(name: str) -> None:
    optimizer = sgd(0.1, 0.03)
    scheduler = SCHEDULERS[name](optimizer)
    guard = SchedulerGuard([scheduler], [optimizer], scale=False)
    assert guard.sets_aside
    before = rates_of(optimizer)
    state = {key: value for key, value in vars(scheduler).items() if isinstance(value, (int, float, list))}
    for _ in range(3):
        scheduler.step(1.0)
    assert rates_of(optimizer) == before
    assert {key: vars(scheduler)[key] for key in state} == state


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_release_gives_back_the_class_and_the_step(name: str, scale: bool) -> None:
    optimizer = sgd(0.1, 0.03)
    scheduler = SCHEDULERS[name](optimizer)
    own = type(scheduler)
    guard = SchedulerGuard([scheduler], [optimizer], scale=scale)
    assert type(scheduler) is not own
    assert isinstance(scheduler, own)  # to users, checkpoints and monitors it is what it was
    assert (type(scheduler).__name__, type(scheduler).__module__) == (own.__name__, own.__module__)
    guard.release()
    guard.release()
    assert type(scheduler) is own
    assert not guard.sets_aside
    plain = sgd(0.1, 0.03)
    other = SCHEDULERS[name](plain)
    for metric in (1.0, 1.0, 1.0):
        for one in (scheduler, other):
            one.step(*([metric] if name == "plateau" else []))
    assert rates_of(optimizer) == rates_of(plain)


def test_state_is_where_checkpoints_look_for_it() -> None:
    optimizer, plain = sgd(0.1), sgd(0.1)
    scheduler, other = SCHEDULERS["exponential"](optimizer), SCHEDULERS["exponential"](plain)
    SchedulerGuard([scheduler], [optimizer], scale=True).rescale(4.0)
    scheduler.step()
    other.step()
    assert scheduler.state_dict() == other.state_dict()
    assert scheduler.get_last_lr() == other.get_last_lr()


def test_a_scheduler_that_raises_leaves_the_multiple() -> None:
    optimizer = sgd(0.1)
    scheduler = schedulers.OneCycleLR(optimizer, max_lr=0.9, total_steps=2)
    guard = SchedulerGuard([scheduler], [optimizer], scale=True)
    guard.rescale(2.0)
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
    guard = SchedulerGuard([inner, outer], [optimizer], scale=True)
    guard.rescale(8.0)
    assert outer.step() == "done"  # what a step returns is handed on
    assert rates_of(optimizer) == [0.1 * 0.25 * 8.0]
    inner.step()
    assert rates_of(optimizer) == [0.1 * 0.125 * 8.0]


def test_two_optimizers_two_schedulers_one_multiplier() -> None:
    one, two = sgd(0.1), sgd(0.4, 0.2)
    both = [schedulers.ExponentialLR(one, 0.5), schedulers.StepLR(two, 1, gamma=0.1)]
    guard = SchedulerGuard(both, [one, two], scale=True)
    assert LearningRates([one, two], guard).set(0.3) == pytest.approx([0.3, 1.2, 0.6], rel=1e-15)
    both[1].step()
    assert rates_of(one, two) == pytest.approx([0.3, 0.12, 0.06], rel=1e-15)
    both[0].step()
    assert rates_of(one, two) == pytest.approx([0.15, 0.12, 0.06], rel=1e-15)


def test_a_warm_up_from_zero_is_scaled_as_a_whole() -> None:
    optimizer = sgd(0.2)
    warm_up = schedulers.LambdaLR(optimizer, lambda epoch: min(1.0, epoch / 4))
    guard = SchedulerGuard([warm_up], [optimizer], scale=True)
    rates = LearningRates([optimizer], guard)
    assert rates.reference == 0.2
    assert rates.set(0.6) == [0.0]
    warm_up.step()
    assert rates_of(optimizer) == pytest.approx([0.15], rel=1e-15)


def test_a_tensor_rate_is_scheduled_in_place() -> None:
    rate = torch.tensor(0.1, dtype=torch.float64)
    optimizer = Adam([{"params": [parameter()], "lr": rate}], lr=0.5, foreach=False)
    scheduler = schedulers.ExponentialLR(optimizer, 0.5)
    guard = SchedulerGuard([scheduler], [optimizer], scale=True)
    guard.rescale(3.0)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == 0.1 * 0.5 * 3.0


def test_rates_written_by_hand_are_what_the_scheduler_goes_on_from() -> None:
    """A warm-up in ``optimizer_step`` beside a scheduler: plain, and guarded with multiplier 1."""
    plain, guarded = sgd(0.1, 0.03), sgd(0.1, 0.03)
    one, two = (schedulers.StepLR(o, 2, gamma=0.5) for o in (plain, guarded))
    SchedulerGuard([two], [guarded], scale=True)
    for step in range(6):
        if step < 4:
            for optimizer in (plain, guarded):
                optimizer.param_groups[0]["lr"] = 0.1 * (step + 1) / 7
        one.step()
        two.step()
        assert rates_of(guarded) == rates_of(plain)


def test_a_rate_written_by_hand_is_multiplied_by_what_is_new() -> None:
    optimizer = sgd(0.1, 0.03)
    guard = SchedulerGuard([], [optimizer], scale=True)
    guard.rescale(2.0)
    optimizer.param_groups[0]["lr"] = 0.5
    rates = LearningRates([optimizer], guard)
    assert rates.reference == 0.5
    assert rates.set(1.0) == [1.0, 0.12]


def test_groups_that_are_added_keep_their_ratio() -> None:
    first, second = sgd(0.1), sgd(0.4)
    scheduler = schedulers.StepLR(second, 1, gamma=0.5)
    guard = SchedulerGuard([scheduler], [first, second], scale=True)
    guard.rescale(2.0)
    # of the first optimizer, so that it stands between the two known ones; its rate contains the multiplier
    first.add_param_group({"params": [parameter()], "lr": 0.02})
    guard.rescale(4.0)
    assert rates_of(first, second) == [0.4, 0.04, 1.6]
    scheduler.step()
    assert rates_of(first, second) == [0.4, 0.04, 0.8]


def test_a_group_that_is_added_between_two_steps_joins() -> None:
    optimizer = sgd(0.1)
    scheduler = schedulers.ExponentialLR(optimizer, 0.5)
    guard = SchedulerGuard([scheduler], [optimizer], scale=True)
    guard.rescale(4.0)
    optimizer.add_param_group({"params": [parameter()], "lr": 0.8})
    scheduler.step()
    assert rates_of(optimizer) == [0.2, 0.4]
    guard.rescale(1.0)
    assert rates_of(optimizer) == [0.05, 0.1]


def test_groups_that_are_taken_away_are_forgotten() -> None:
    optimizer = sgd(0.1, 0.2, 0.3)
    guard = SchedulerGuard([], [optimizer], scale=True)
    guard.rescale(2.0)
    del optimizer.param_groups[0]
    guard.rescale(4.0)
    assert rates_of(optimizer) == pytest.approx([0.8, 1.2], rel=1e-15)


def test_a_resumed_guard_knows_what_the_rates_contain() -> None:
    optimizer = sgd(0.1 * 4.0)
    scheduler = schedulers.ExponentialLR(optimizer, 0.5)
    guard = SchedulerGuard([scheduler], [optimizer], scale=True, multiplier=4.0)
    assert rates_of(optimizer) == [0.4]
    scheduler.step()
    assert rates_of(optimizer) == [0.2]
    assert LearningRates([optimizer], guard).set(0.1) == [0.1]
    assert guard.multiplier == 2.0
    guard.rescale(1.0)
    assert rates_of(optimizer) == [0.05]


@pytest.mark.parametrize("scale", [True, False])
def test_a_scheduler_whose_class_cannot_be_exchanged_is_named(scale: bool) -> None:
    class Rigid:
        __slots__ = ("n",)

        def step(self) -> None:
            self.n = 1

    optimizer = sgd(0.1)
    ordinary = schedulers.ExponentialLR(optimizer, 0.5)
    word = "scale" if scale else "override"
    with pytest.raises(TypeError, match=rf"lr_schedulers='{word}'\) cannot set .*Rigid aside .*remove this scheduler"):
        SchedulerGuard([ordinary, Rigid()], [optimizer], scale=scale)
    assert type(ordinary) is schedulers.ExponentialLR  # those before it were given back


def test_setting_through_a_guard_keeps_ratios() -> None:
    ratios = [1.0, 0.3, 7.0]
    optimizer = sgd(*ratios)
    guard = SchedulerGuard([], [optimizer], scale=True)
    rates = LearningRates([optimizer], guard)
    for lr in (1e-5, 3.0, 0.1):
        got = rates.set(lr)
        assert got[0] == lr
        assert [rate / lr for rate in got] == pytest.approx(ratios, rel=1e-14)
    assert rates.set(1.0) == ratios
