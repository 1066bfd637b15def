"""The schedule that a search found: kept to the bit, and replayed by a plain run to the bit."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything

from lightning_gammabo import CustomObjective, EpochRate, GammaLRSearch, GammaSchedule, LRSchedule
from lightning_gammabo.determinant.objective import ValidationMetrics
from lightning_gammabo.learning_rate.annealing import shape
from tests.helpers.searching import gamma_search
from tests.integration.identity.fingerprint import Calls, differences, fingerprint
from tests.integration.identity.scenarios import SCENARIOS, Scenario


class Restless(CustomObjective):
    """Any candidate may win, so that the rate is another one in each epoch."""

    def score(self, measured: ValidationMetrics) -> float:
        return 1e5 * measured.metrics["val_loss"] % 1.0


def constant_rates() -> GammaLRSearch:
    return gamma_search("thesis", sampler="random", first_random=2, first_model=2, max_lr=0.3, objective=Restless())


def rate(epoch: int, start: float, end: float | None = None, *, steps: int = 4, peak: float | None = None) -> EpochRate:
    return EpochRate(
        epoch=epoch,
        start=start,
        end=start if end is None else end,
        steps=steps,
        peak=start if peak is None else peak,
    )


STEPPED = LRSchedule(rates=(rate(0, 0.1), rate(1, 0.03, steps=3), rate(2, 1e-05)), annealing="constant")


def annealed(name: str, peaks: list[float], steps: int) -> tuple[LRSchedule, list[float]]:
    """A run whose peak_factor is moved at each epoch's start, and the rate of each of its batches."""
    total = steps * len(peaks)
    every = [peaks[batch // steps] * shape(name, batch / total) for batch in range(total)]
    rates = tuple(
        rate(epoch, every[epoch * steps], every[epoch * steps + steps - 1], steps=steps, peak=peak_factor)
        for epoch, peak_factor in enumerate(peaks)
    )
    return LRSchedule(rates=rates, annealing=name), every


def optimizer(*rates: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [torch.zeros(1, requires_grad=True)], "lr": rate} for rate in rates], lr=1.0)


def replayed(replay: GammaSchedule, steps: int) -> list[list[float]]:
    seen = []
    for _ in range(steps):
        seen.append(replay.get_last_lr())
        replay.optimizer.step()
        replay.step()
    return seen


class TestLRSchedule:
    @pytest.mark.parametrize("name", ["found.json", "found.yaml", "found.yml"])
    def test_it_is_kept_to_the_bit(self, name: str, tmp_path: Path) -> None:
        found = LRSchedule(rates=(rate(3, 1 / 3, 1e-300), rate(4, math.nextafter(0.1, 1.0), 0.0)), annealing="cosine")
        assert found.save(tmp_path / name) == tmp_path / name
        assert LRSchedule.load(tmp_path / name) == found

    def test_another_ending_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"schedule file .*found\.csv': its name ends with \.json, \.yaml, \.yml"):
            STEPPED.save(tmp_path / "found.csv")
        with pytest.raises(ValueError, match=r"its name ends with"):
            LRSchedule.load("found.txt")

    def test_keys_of_a_later_version_are_left_out(self) -> None:
        plain = {**STEPPED.to_dict(), "added": 1}
        plain["rates"] = [{**each, "added": 2} for each in plain["rates"]]
        assert LRSchedule.from_dict(plain) == STEPPED

    def test_an_epoch_that_does_not_say_where_it_went_on_from_went_on_from_the_last(self) -> None:
        plain = STEPPED.to_dict()
        plain["rates"] = [{key: each[key] for key in each if key != "returned_to"} for each in plain["rates"]]
        assert LRSchedule.from_dict(plain) == STEPPED

    @pytest.mark.parametrize(
        "plain", [None, [], "x", {}, {"rates": []}, {"rates": [{"epoch": 0}], "annealing": "cosine"}]
    )
    def test_something_else_is_no_schedule(self, plain: Any) -> None:
        with pytest.raises(
            ValueError, match=r"this is no schedule .*one has `annealing` and `rates`|no epoch was trained"
        ):
            LRSchedule.from_dict(plain)

    @pytest.mark.parametrize(
        ("rates", "annealing", "message"),
        [
            ((), "constant", r"no epoch was trained; a schedule is found by a fit"),
            ((rate(0, 0.1),), "", r"LRSchedule\(annealing=''\): a name is not empty"),
            ((rate(0, -0.1),), "constant", r"rates are finite and not negative"),
            ((rate(0, 0.1, math.nan),), "constant", r"rates are finite and not negative"),
            ((rate(0, 0.1, steps=0),), "constant", r"an epoch has steps"),
            ((rate(0, 0.1), rate(2, 0.1)), "constant", r"epoch 2 follows epoch 0; the rate of each epoch is needed"),
        ],
    )
    def test_what_is_no_run_is_refused(self, rates: tuple[EpochRate, ...], annealing: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            LRSchedule(rates=rates, annealing=annealing)

    def test_a_constant_annealing_is_a_step_function(self) -> None:
        assert [STEPPED.at(step) for step in range(13)] == [0.1] * 4 + [0.03] * 3 + [1e-05] * 6

    @pytest.mark.parametrize("name", ["cosine", "linear"])
    def test_an_annealing_is_exact_within_an_epoch(self, name: str) -> None:
        found, every = annealed(name, [0.5, 0.5, 0.2, 0.9], steps=7)
        # acos near the ends of its domain loses half of the digits, cos gives them back
        assert [found.at(step) for step in range(len(every))] == pytest.approx(every, rel=1e-12, abs=1e-15)

    def test_another_annealing_is_a_line(self) -> None:
        found = LRSchedule(rates=(rate(0, 0.1, 0.4), rate(1, 0.4, 0.2, steps=1)), annealing="scheduler")
        assert [found.at(step) for step in range(6)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.2])

    def test_a_share_of_an_epoch_is_the_batch_there(self) -> None:
        found, every = annealed("cosine", [0.5, 0.2], steps=8)
        assert [found.at_share(1, step / 8) for step in range(8)] == pytest.approx(every[8:])
        assert found.at_share(2, 0.5) == found.rates[-1].end


class TestGammaSchedule:
    def test_it_replays_step_by_step(self) -> None:
        replay = GammaSchedule(optimizer(0.5), STEPPED)
        assert [rates for (rates,) in replayed(replay, 13)] == [STEPPED.at(step) for step in range(13)]

    def test_it_reads_a_file(self, tmp_path: Path) -> None:
        replay = GammaSchedule(optimizer(0.5), STEPPED.save(tmp_path / "found.yaml"))
        assert replay.schedule == STEPPED

    def test_groups_keep_their_ratios(self) -> None:
        replay = GammaSchedule(optimizer(0.01, 0.1, 0.0), STEPPED)
        for first, second, frozen in replayed(replay, 12):
            assert second == pytest.approx(10 * first, rel=1e-12)
            assert frozen == 0.0

    def test_a_further_optimizer_keeps_its_ratio_to_the_first(self) -> None:
        replay = GammaSchedule(optimizer(0.02), STEPPED, reference=0.01)
        assert [rates for (rates,) in replayed(replay, 11)] == pytest.approx(
            [2 * STEPPED.at(step) for step in range(11)]
        )

    def test_by_epochs_it_has_the_rate_at_each_start(self) -> None:
        found, every = annealed("cosine", [0.5, 0.5, 0.2], steps=7)
        replay = GammaSchedule(optimizer(0.1), found, steps_per_epoch=1)
        assert [rates for (rates,) in replayed(replay, 3)] == pytest.approx(every[::7])

    def test_other_batches_have_the_rate_of_their_share(self) -> None:
        found, every = annealed("linear", [0.5, 0.2], steps=12)
        replay = GammaSchedule(optimizer(0.1), found, steps_per_epoch=4)
        assert [rates for (rates,) in replayed(replay, 8)] == pytest.approx(every[::3])

    def test_a_rate_of_zero_in_between_loses_no_ratio(self) -> None:
        found = LRSchedule(rates=(rate(0, 0.2, 0.0, steps=2), rate(1, 0.4, steps=1)), annealing="scheduler")
        assert replayed(GammaSchedule(optimizer(0.1, 0.3), found), 3)[2] == pytest.approx([0.4, 1.2])

    def test_rates_that_are_tensors_stay_tensors(self) -> None:
        adam = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=torch.tensor(0.5), foreach=False)
        held = adam.param_groups[0]["lr"]
        replay = GammaSchedule(adam, STEPPED)
        for step in range(8):
            assert float(held) == pytest.approx(STEPPED.at(step))
            adam.step()
            replay.step()
        assert adam.param_groups[0]["lr"] is held

    def test_a_checkpoint_goes_on(self, tmp_path: Path) -> None:
        replay = GammaSchedule(optimizer(0.5, 0.1), STEPPED)
        replayed(replay, 5)
        torch.save({"schedule": replay.state_dict(), "optimizer": replay.optimizer.state_dict()}, tmp_path / "at5.ckpt")
        saved = torch.load(tmp_path / "at5.ckpt", weights_only=True)

        other = GammaSchedule(optimizer(0.5, 0.1), LRSchedule(rates=(rate(0, 0.7),), annealing="constant"))
        other.optimizer.load_state_dict(saved["optimizer"])
        other.load_state_dict(saved["schedule"])
        assert other.schedule == STEPPED
        assert replayed(other, 8) == replayed(replay, 8)

    @pytest.mark.parametrize(
        ("rates", "options", "message"),
        [
            ((0.1,), {"steps_per_epoch": 0}, r"GammaSchedule\(steps_per_epoch=0\): need at least 1, or None"),
            ((0.0,), {}, r"GammaSchedule\(reference=0.0\).*give the optimizer a rate above 0"),
            ((0.1,), {"reference": -1.0}, r"GammaSchedule\(reference=-1.0\)"),
        ],
    )
    def test_what_cannot_be_replayed_is_refused(self, rates: Any, options: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            GammaSchedule(optimizer(*rates), STEPPED, **options)


def fit(scenario: Scenario, make: Callable[[], LightningModule], *callbacks: Any) -> dict[str, Any]:
    seed_everything(1, verbose=False)
    module = make()
    options = {"max_epochs": 3, "accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    calls = Calls()
    trainer = Trainer(callbacks=[*callbacks, *scenario.callbacks(), calls], **{**options, **quiet, **scenario.trainer})
    if scenario.datamodule is not None:
        trainer.fit(module, datamodule=scenario.datamodule())
    else:
        trainer.fit(module, scenario.train(), scenario.val() if scenario.val is not None else None)
    found = fingerprint(trainer, module, calls)
    # a scheduler leaves traces of its own: itself, its progress in the loops, `initial_lr` in the groups; and the
    # next epoch's rate stands already at the end of this one
    for own in ("schedulers", "loops", "groups"):
        del found[own]
    found["calls"] = [[*call[:4], *call[5:]] for call in found["calls"]]
    return found


def replaying(module: LightningModule, path: Path, steps_per_epoch: int | None) -> LightningModule:
    configure = module.configure_optimizers

    def configure_optimizers() -> Any:
        configured: Any = configure()
        scheduler = GammaSchedule(configured, path, steps_per_epoch)
        return {"optimizer": configured, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    module.configure_optimizers = configure_optimizers  # type: ignore[method-assign]
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "steps_per_epoch"),
    [
        ("shuffled", None),
        ("keeps state", None),
        ("metrics", None),
        ("groups", None),
        ("skips steps", None),
        ("augmented workers", None),
        ("own generators", None),
        ("accumulates", 3),
        ("bf16", None),
        ("validates in mid-epoch", None),
        ("datamodule", None),
    ],
)
def test_a_replay_is_the_searched_run(name: str, steps_per_epoch: int | None, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    search = constant_rates()
    searched = fit(scenario, scenario.module, search)
    assert len({each.start for each in search.rates}) > 1, "nothing to replay"
    path = search.export_schedule(tmp_path / "found.json")
    replayed = fit(scenario, lambda: replaying(scenario.module(), path, steps_per_epoch))
    assert differences(searched, replayed) == []


def test_nothing_is_found_before_a_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no epoch was trained; a schedule is found by a fit"):
        GammaLRSearch().export_schedule(tmp_path / "found.json")


def test_the_schedule_is_the_rates(tmp_path: Path) -> None:
    scenario = SCENARIOS["plain"]
    search = constant_rates()
    fit(scenario, scenario.module, search)
    found = search.schedule()
    assert list(found.rates) == search.rates
    assert copy.deepcopy(search).schedule() == found
    assert found.annealing == "constant"
    chosen = list(itertools.chain.from_iterable([record.chosen.lr] * 5 for record in search.history))
    assert [found.at(step) for step in range(15)] == chosen


class Rates(Callback):
    """The rate of each batch of the committed epochs; as it has to see them, they are trained natively."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("annealing", ["cosine", "linear", "constant"])
def test_the_schedule_is_the_rate_of_each_batch(annealing: str) -> None:
    scenario, rates = SCENARIOS["shuffled"], Rates()
    search = gamma_search("epochwise", annealing=annealing, sampler="random", first_random=2, first_model=1)
    fit(scenario, scenario.module, rates, search)
    found = search.schedule()
    assert found.annealing == annealing
    assert [rate.steps for rate in found.rates] == [5, 5, 5]
    assert rates.seen == pytest.approx([found.at(step) for step in range(15)], rel=1e-12)
