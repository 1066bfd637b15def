"""Searched fits and the schedule that they follow, against the schedule by its formula; what users see of an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger
from torch import nn

from lightning_gammabo import GammaLRSearch, ListSampler
from lightning_gammabo.determinant.smoothing import smoothed_argmax
from lightning_gammabo.learning_rate.annealing import shape
from tests.helpers.searching import SHORT, gamma_search
from tests.helpers.trainers import loaders, trainer_of
from tests.integration.identity.fingerprint import differences
from tests.integration.identity.fits import fit as identical
from tests.integration.identity.followers import Knows, known
from tests.integration.identity.scenarios import SCENARIOS, Net, Scenario, Scheduled

pytestmark = pytest.mark.filterwarnings("ignore")

BATCHES = 5
FEW = {"sampler": "random", "first_random": 2, "first_model": 1, "min_lr": 1e-3, "max_lr": 0.3, "progress": False}
FEW |= {"smooth_first": False}  # from the winner's rate on
PARTIAL = {
    **FEW,
    "later_share": SHORT,
    "first_share": SHORT,
    "min_steps": 2,
    "later_candidates": 3,
    "later_overhead": 9.0,
}


class Rates(Callback):
    """The rate of every batch of a plain fit."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        self.seen.append(optimizer.param_groups[0]["lr"])


def fit(search: Callback | None, module: LightningModule | None = None, *callbacks: Callback, **options: Any) -> Any:
    trainer = trainer_of(*([search] if search is not None else []), *callbacks, **{"max_epochs": 4, **options})
    trainer.fit(module or Net(), *loaders())
    return trainer


# ---- the schedule, batch by batch


@pytest.mark.parametrize("annealing", ["cosine", "linear", "constant"])
def test_after_one_search_the_rate_follows_the_schedule(annealing: Any) -> None:
    search = gamma_search("once", annealing=annealing, **FEW)
    fit(search)
    chosen = search.history[0].chosen.lr
    values = [[chosen * shape(annealing, (epoch + batch / BATCHES) / 4) for batch in range(5)] for epoch in range(4)]
    assert [rate.start for rate in search.rates] == pytest.approx([epoch[0] for epoch in values], rel=1e-12)
    assert [rate.end for rate in search.rates] == pytest.approx([epoch[-1] for epoch in values], rel=1e-12)
    assert [rate.peak for rate in search.rates] == pytest.approx([chosen] * 4, rel=1e-12)
    assert [rate.steps for rate in search.rates] == [5] * 4


def test_each_search_moves_the_peak_of_what_remains() -> None:
    search = gamma_search("epochwise", **PARTIAL)
    fit(search)
    assert search._session.rates.annealing == "linear"
    for record, rate in zip(search.history, search.rates, strict=True):
        assert record.annealing == pytest.approx(1.0 - record.epoch / 4, rel=1e-12)
        height = record.chosen.lr  # rates of candidates are peaks
        assert rate.start == pytest.approx(height * record.annealing, rel=1e-12)
        assert rate.peak == pytest.approx(height, rel=1e-12)
        assert rate.end == pytest.approx(height * (1.0 - (record.epoch + 0.8) / 4), rel=1e-9)
    for before, after in zip(search.rates, search.history[1:], strict=False):
        # the present rate is where the schedule has come to, and the region is around it
        assert after.results[0].lr == pytest.approx(before.peak, rel=1e-12)
        assert after.results[0].origin == "current"
        factor = 2.0
        assert after.max_lr <= after.results[0].lr * factor * (1 + 1e-9)
        assert after.min_lr >= after.results[0].lr / factor * (1 - 1e-9)


SETTLES = {**FEW, "smooth_first": True, "first_random": 3, "first_model": 3, "later_overhead": 9.0}


@pytest.mark.parametrize("annealing", ["cosine", "linear", "constant"])
def test_the_first_search_ends_amid_the_rates_that_scored_well_and_the_schedule_stands_there(annealing: Any) -> None:
    search = gamma_search("epochwise", annealing=annealing, **SETTLES)
    fit(search)
    first, *later = search.history
    assert len(later) == 3
    *others, centre = first.results
    assert (centre.origin, centre.lr) == ("smoothed", smoothed_argmax(others))
    assert first.chosen is centre
    assert search.rates[0].peak == pytest.approx(centre.lr, rel=1e-12)
    assert later[0].results[0].lr == pytest.approx(centre.lr, rel=1e-12)
    assert all(result.origin != "smoothed" for record in later for result in record.results)


def test_what_has_no_centre() -> None:
    for options in (
        {"policy": "thesis", "smooth_first": None},
        {"smooth_first": False},
        {"sampler": ListSampler([0.01, 0.1, 0.2])},
    ):
        search = gamma_search(**{**SETTLES, "when": "first", **options})
        fit(search, max_epochs=2)
        assert all(result.origin != "smoothed" for result in search.history[0].results)


@pytest.mark.parametrize(("epochs", "steps"), [(-1, 17), (None, 17), (100, 17)])
def test_a_run_that_is_limited_by_steps_ends_at_the_end_of_its_schedule(epochs: int | None, steps: int) -> None:
    search = gamma_search("once", annealing="linear", **FEW)
    fit(search, max_epochs=epochs, max_steps=steps)
    chosen = search.history[0].chosen.lr
    assert [rate.steps for rate in search.rates] == [5, 5, 5, 2]
    assert [rate.start for rate in search.rates] == pytest.approx(
        [chosen * (1 - epoch * 5 / steps) for epoch in range(4)], rel=1e-12
    )
    assert search.rates[-1].end == pytest.approx(chosen * (1 - 16 / steps), rel=1e-9)


def test_searches_of_a_run_that_is_limited_by_steps_are_counted() -> None:
    search = gamma_search("epochwise", **PARTIAL)
    fit(search, max_epochs=-1, max_steps=17)
    assert [record.epoch for record in search.history] == [0, 1, 2, 3]
    plan = search._session.plan
    assert plan is not None
    assert plan.search_epochs == [0, 1, 2, 3]


class Stalls(Net):
    """Its validation loss falls for two epochs and then no more."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("val_loss", torch.tensor(max(1.0 - 0.1 * self.current_epoch, 0.8)))


def test_a_run_without_an_end_is_lowered_where_its_loss_stalls(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    class Ends(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
            trainer.should_stop = trainer.current_epoch == 8

    search = GammaLRSearch("once", sampler=ListSampler([0.1]), progress=False)
    fit(search, Stalls(), Ends(), max_epochs=-1)
    assert caplog.text.count("the length of the run is not known: the rate is lowered where the loss stalls") == 1
    chosen = search.history[0].chosen.lr
    # losses 1.0, 0.9, 0.8, 0.8, 0.8, 0.8: after the third without a gain, at the start of the next epoch
    assert [rate.start / chosen for rate in search.rates] == pytest.approx([1] * 6 + [0.3] * 3)


def test_a_run_that_stops_early_has_followed_the_schedule_so_far() -> None:
    search = gamma_search("once", annealing="linear", **FEW)
    fit(search, Stalls(), EarlyStopping("val_loss", patience=1), max_epochs=10)
    chosen = search.history[0].chosen.lr
    assert [rate.start for rate in search.rates] == pytest.approx([chosen * (1 - epoch / 10) for epoch in range(4)])


def test_before_the_first_search_the_rate_is_the_users_and_after_the_last_the_schedule_goes_on() -> None:
    search = gamma_search("epochwise", annealing="linear", start_epoch=1, stop_epoch=2, **PARTIAL)
    fit(search)
    assert [record.epoch for record in search.history] == [1]
    chosen = search.history[0].chosen.lr
    assert search.history[0].results[0].lr == 0.05
    assert [rate.start for rate in search.rates] == pytest.approx([0.05, chosen, chosen * 2 / 3, chosen / 3], rel=1e-12)


# ---- the user's own schedule


def plain_rates(kind: str, lr: float) -> list[float]:
    """The rate of every batch of a plain fit from another configured rate."""
    module, rates = Scheduled(kind), Rates()
    module.lr = lr
    fit(None, module, rates)
    return rates.seen


@pytest.mark.parametrize("kind", ["step", "epoch", "cosine", "sequential"])
@pytest.mark.parametrize("annealing", ["auto", "scheduler"])
def test_the_users_schedule_is_moved_as_a_whole(kind: str, annealing: Any) -> None:
    search = gamma_search("once", annealing=annealing, **FEW)
    fit(search, Scheduled(kind))
    first = search.history[0]
    factor = first.chosen.lr / first.results[0].lr
    expected = plain_rates(kind, 0.05 * factor)
    starts, ends = expected[::BATCHES], expected[BATCHES - 1 :: BATCHES]
    assert [rate.start for rate in search.rates] == pytest.approx(starts, rel=1e-9)
    assert [rate.end for rate in search.rates] == pytest.approx(ends, rel=1e-9)
    assert search._session.rates.annealing == "scheduler"


@pytest.mark.parametrize("kind", ["step", "epoch", "cosine"])
def test_short_candidates_step_the_users_schedule_as_the_epoch_does(kind: str) -> None:
    """Searched every epoch, by short candidates that go on: between two searches it is the user's schedule."""
    search = gamma_search("epochwise", **PARTIAL)
    fit(search, Scheduled(kind), max_epochs=3)
    plain = plain_rates(kind, 0.05)
    for record, rate in zip(search.history, search.rates, strict=True):
        begin = record.epoch * BATCHES
        assert rate.start == pytest.approx(record.chosen.lr * record.annealing, rel=1e-12)
        assert rate.end / rate.start == pytest.approx(plain[begin + 4] / plain[begin], rel=1e-9)
    for before, after in zip(search.rates, search.history[1:], strict=False):
        begin = after.epoch * BATCHES
        assert after.results[0].lr == pytest.approx(before.peak, rel=1e-9)
        assert after.results[0].lr * after.annealing / before.start == pytest.approx(
            plain[begin] / plain[begin - 5], rel=1e-9
        )


@pytest.mark.parametrize("annealing", ["cosine", "linear", "plateau"])
def test_a_users_schedule_is_set_aside_for_a_named_annealing(annealing: Any) -> None:
    search = gamma_search("once", annealing=annealing, **FEW)
    with pytest.warns(UserWarning, match="ExponentialLR set aside from epoch 0 on"):
        trainer = fit(search, Scheduled("epoch"))
    chosen = search.history[0].chosen.lr
    expected = [chosen * shape(annealing, epoch / 4) for epoch in range(4)]
    assert [rate.start for rate in search.rates] == pytest.approx(expected)
    assert type(trainer.lr_scheduler_configs[0].scheduler) is torch.optim.lr_scheduler.ExponentialLR


def test_an_annealing_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"annealing='scheduler'\): the module configures no LR scheduler"):
        fit(gamma_search(annealing="scheduler"))


# ---- what users see of a committed epoch


class Lines(Logger):
    name, version = "lines", 0

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Any] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if not any(name.startswith("gamma/") for name in metrics):
            self.lines.append((dict(metrics), step))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...


class EpochHooks(Callback):
    """All hooks of epochs and validations, none of batches."""

    def __init__(self) -> None:
        self.calls: list[Any] = []


def _noting(hook: str) -> Callable[..., None]:
    def note(self: EpochHooks, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        if not trainer.sanity_checking:
            self.calls.append((hook, trainer.current_epoch, trainer.global_step))

    return note


HOOKS = (
    "on_train_start", "on_train_epoch_start", "on_train_epoch_end", "on_train_end", "on_validation_start",
    "on_validation_epoch_start", "on_validation_epoch_end", "on_validation_end",
)  # fmt: skip
for _hook in HOOKS:
    setattr(EpochHooks, _hook, _noting(_hook))


def test_hooks_of_an_epoch_run_once_and_loggers_see_the_winner_once_and_in_order() -> None:
    def seen(callback: Callback) -> tuple[list[Any], list[Any]]:
        hooks, lines = EpochHooks(), Lines()
        trainer = fit(callback, None, hooks, logger=lines, log_every_n_steps=1)
        assert trainer.global_step == 4 * BATCHES
        return hooks.calls, lines.lines

    search = gamma_search("epochwise", **PARTIAL)
    calls, lines = seen(search)
    assert {record.commit for record in search.history} == {"copy"}
    assert {record.share for record in search.history} == {0.4}
    expected_calls, expected_lines = seen(known(search))
    assert calls == expected_calls
    assert [call[0] for call in calls].count("on_train_epoch_start") == 4
    assert lines == expected_lines
    steps = [step for metrics, step in lines if "train_loss_step" in metrics]
    assert steps == list(range(4 * BATCHES))


# ---- several optimizers by hand


class Gan(Net):
    """A generator and a discriminator, each with an optimizer that is stepped by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.critic = nn.Linear(2, 6), nn.Linear(6, 1)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        x, _ = batch
        first, second = self.optimizers()
        for optimizer, sign in ((first, -1.0), (second, 1.0)):
            self.toggle_optimizer(optimizer)
            fake = self.critic(self.generator(torch.randn(len(x), 2))).mean()
            loss = sign * fake - (self.critic(x).mean() if sign > 0 else 0.0) + 0.1 * self.critic.weight.square().sum()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.untoggle_optimizer(optimizer)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, _ = batch
        self.log("val_loss", (self.critic(x).mean() - self.generator(torch.ones(4, 2)).mean()).square())

    def configure_optimizers(self) -> Any:
        return (
            torch.optim.Adam(self.generator.parameters(), lr=0.01),
            torch.optim.SGD(self.critic.parameters(), lr=0.04, momentum=0.5),
        )


def test_the_optimizers_of_a_gan_are_moved_together() -> None:
    scenario = Scenario(Gan)
    search = gamma_search("epochwise", recover=False, **PARTIAL)
    searched = identical(scenario, search)
    assert len(search.history) == 3
    assert any(record.chosen.lr != record.results[0].lr for record in search.history)
    assert differences(identical(scenario, known(search)), searched) == []


def test_groups_keep_their_ratio_through_a_run() -> None:
    search = gamma_search("epochwise", **PARTIAL)
    trainer = fit(search, SCENARIOS["groups"].module())
    low, high = (group["lr"] for group in trainer.optimizers[0].param_groups)
    assert low == high == 0.0  # the end of the line
    scheduled = search._session.rates.state_dict()["controller"]["scheduled"][0]
    assert scheduled == [0.01, 0.1]
    assert math.isclose(search.rates[-1].peak, 0.01 * search._session.rates.state_dict()["controller"]["peak_factor"])


@pytest.mark.parametrize("annealing", ["cosine", "linear"])
def test_what_knows_follows(annealing: str) -> None:
    """The reference of these tests itself, without a search."""
    rates = Rates()
    fit(None, None, Knows([None] * 4, annealing), rates)
    assert rates.seen == pytest.approx([0.05 * shape(annealing, i / 20) for i in range(20)])
