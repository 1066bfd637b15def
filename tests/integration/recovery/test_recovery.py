"""Candidates that are lost, and epochs that are: what the run goes on from, and what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_gammabo import ListSampler
from lightning_gammabo.records import TrialState
from tests.helpers.searching import SHORT, gamma_search
from tests.integration.identity.fingerprint import differences
from tests.integration.identity.fits import fit
from tests.integration.identity.followers import Follows, GoesBack, Knows
from tests.integration.identity.scenarios import SCENARIOS, Net, Scenario
from tests.integration.resume import resumed_fit

pytestmark = pytest.mark.filterwarnings("ignore")

COMPLETE, DIVERGED = TrialState.COMPLETE, TrialState.DIVERGED


class Judged(Net):
    """By the metric that candidates are ranked by, the higher rate is the better one."""

    def rate(self) -> float:
        return float(self.trainer.optimizers[0].param_groups[0]["lr"])

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        super().validation_step(batch, batch_idx)
        self.log("goodness", self.rate())


class NanLate(Judged):
    """Its loss is no number in the last batch of an epoch that is trained at a rate above 0.3."""

    from_epoch = 0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        late = batch_idx == 4 and self.current_epoch >= self.from_epoch
        return loss * math.nan if late and self.rate() > 0.3 else loss


class NanLater(NanLate):
    from_epoch = 1


class NanWeights(Judged):
    """Its weights are no numbers after the last step, which no training loss shows."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 4 and self.rate() > 0.3:
            with torch.no_grad():
                self.net[0].weight.mul_(math.nan)


class Explodes(Net):
    """Low losses in the first batches, high ones at the end of the epoch, at a rate above 0.3."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        high = float(self.trainer.optimizers[0].param_groups[0]["lr"]) > 0.3
        return super().training_step(batch, batch_idx) + (1000.0 if high and batch_idx > 2 else 0.0)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        high = float(self.trainer.optimizers[0].param_groups[0]["lr"]) > 0.3
        ended = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready == 5
        self.log("val_loss", self.loss(batch) * ((1000.0 if ended else 0.1) if high else 1.0))


# five batches an epoch, of which a candidate trains two
PARTIAL = {
    "first_share": SHORT,
    "later_share": SHORT,
    "min_steps": 2,
    "rule": "best",
    "annealing": "constant",
    "later_candidates": 3,
    "later_overhead": 9.0,
    "progress": False,
}
BY_RATE = {**PARTIAL, "objective": "goodness", "mode": "max"}


def said(warned: Sequence[Any]) -> list[str]:
    return [str(w.message) for w in warned if "GammaLRSearch" in str(w.message)]


# ---- an epoch that diverges after its search


@pytest.mark.parametrize("commit", ["copy", "replay"])
@pytest.mark.parametrize("module", [NanLate, NanWeights])
def test_it_is_put_back_and_trained_at_a_quarter(
    module: type[Net], commit: Any, recwarn: pytest.WarningsRecorder
) -> None:
    scenario = Scenario(module)
    search = gamma_search(sampler=ListSampler([0.8]), commit=commit, **BY_RATE)
    searched = fit(scenario, search)
    assert [record.chosen.lr for record in search.history] == [0.8] * 3
    assert [rate.start for rate in search.rates] == [0.2] * 3
    assert all(
        record.reason == "highest score of 2 candidates; the epoch then diverged and was trained again at 2.00e-01"
        for record in search.history
    )
    assert said(recwarn.list) == [
        f"GammaLRSearch: epoch {epoch} diverged at 8.00e-01; it was put back to its start and trained at 2.00e-01. "
        "Loggers and batch hooks have seen both"
        for epoch in range(3)
    ]
    # bit for bit the run of someone who knew, whose weights are numbers
    assert differences(fit(scenario, Follows([0.2] * 3)), searched) == []


def test_it_may_be_put_back_more_than_once() -> None:
    search = gamma_search(sampler=ListSampler([6.4]), **BY_RATE)
    searched = fit(Scenario(NanLate), search)
    # 6.4, 1.6, 0.4, 0.1: two candidates of two fifths, the rest of the epoch, and three times the epoch
    assert [record.train_passes for record in search.history] == pytest.approx([0.4 * 2 + 0.6 + 3.0] * 3)
    assert [rate.start for rate in search.rates] == [0.1] * 3
    assert differences(fit(Scenario(NanLate), Follows([0.1] * 3)), searched) == []


def test_under_an_annealing_it_is_the_peak_that_is_lowered() -> None:
    search = gamma_search(sampler=ListSampler([0.8]), **{**BY_RATE, "annealing": "cosine"}, when="first")
    searched = fit(Scenario(NanLate), search)
    assert search.rates[0].start == 0.2
    assert [rate.peak for rate in search.rates] == pytest.approx([0.2] * 3)
    assert differences(fit(Scenario(NanLate), Knows([0.2, None, None], "cosine")), searched) == []


def test_without_recovery_it_diverges() -> None:
    search = gamma_search(sampler=ListSampler([0.8]), recover=False, **BY_RATE)
    searched = fit(Scenario(NanLate), search)
    assert search.history[0].reason == "highest score of 2 candidates"
    assert search.rates[0].start == 0.8
    # the weights are lost, and with them all that is tried later
    assert search.history[1].chosen is None
    assert differences(fit(Scenario(NanLate), Follows([rate.start for rate in search.rates])), searched) == []


def test_an_epoch_that_ends_with_an_exploded_loss_is_put_back() -> None:
    search = gamma_search(sampler=ListSampler([0.8]), **PARTIAL)
    searched = fit(Scenario(Explodes), search)
    assert [record.chosen.lr for record in search.history] == [0.8] * 3
    assert [rate.start for rate in search.rates] == [0.2] * 3
    assert differences(fit(Scenario(Explodes), Follows([0.2] * 3)), searched) == []


class RisesInTraining(Explodes):
    """Its validation finds nothing wrong."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        high = float(self.trainer.optimizers[0].param_groups[0]["lr"]) > 0.3
        self.log("val_loss", self.loss(batch) * (0.1 if high else 1.0))


def test_a_training_loss_that_rises_is_no_reason_where_the_validation_is_sane() -> None:
    search = gamma_search(sampler=ListSampler([0.8]), **PARTIAL)
    searched = fit(Scenario(RisesInTraining), search)
    assert [rate.start for rate in search.rates] == [0.8] * 3
    assert differences(fit(Scenario(RisesInTraining), Follows([0.8] * 3)), searched) == []


# ---- an epoch that diverges without a search


@pytest.mark.parametrize(("annealing", "lr", "shape"), [("constant", 0.8, 1.0), ("cosine", 2.0, 0.75)])
def test_an_epoch_that_is_not_searched_is_watched(
    annealing: str, lr: float, shape: float, recwarn: pytest.WarningsRecorder
) -> None:
    search = gamma_search("once", sampler=ListSampler([lr]), **{**BY_RATE, "annealing": annealing})
    searched = fit(Scenario(NanLater), search)
    assert [record.epoch for record in search.history] == [0]
    starts = [rate.start for rate in search.rates]
    assert starts[:2] == pytest.approx([lr, lr / 4 * shape])
    messages = said(recwarn.list)
    assert len(messages) == 1
    assert messages[0].startswith(f"GammaLRSearch: epoch 1 diverged at {lr:.2e}; it was put back to its start")
    follows = Follows([lr, lr / 4, lr / 4]) if annealing == "constant" else Knows([lr, lr / 4, None], "cosine")
    assert differences(fit(Scenario(NanLater), follows), searched) == []


def test_an_epoch_before_the_first_search_is_the_users() -> None:
    search = gamma_search("once", start_epoch=2, sampler=ListSampler([0.1]), **BY_RATE)
    fit(Scenario(lambda: NanLate(lr=0.8)), search)
    assert [rate.start for rate in search.rates][:2] == [0.8, 0.8]


# ---- candidates that are lost


class Loses(Judged):
    """Diverges early at a rate above 0.3."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        return loss * math.nan if batch_idx == 0 and self.rate() > 0.3 else loss


@pytest.mark.parametrize("candidates", [[0.8, 0.1], [0.1, 0.8], [0.8, 0.9]])
def test_a_winner_before_a_lost_one_is_the_plain_epoch(candidates: list[float]) -> None:
    """A candidate that was lost leaves the data elsewhere: then the winner's epoch is trained from its start."""
    search = gamma_search(sampler=ListSampler(candidates), **BY_RATE)
    searched = fit(Scenario(Loses), search)
    expected = 0.1 if 0.1 in candidates else 0.05
    assert [record.chosen.lr for record in search.history] == [expected] * 3
    commits = {record.commit for record in search.history}
    assert commits == ({"copy"} if candidates[-1] == 0.1 else {"replay"})
    assert differences(fit(Scenario(Loses), Follows([expected] * 3)), searched) == []


def test_where_all_are_lost_the_epoch_is_trained_far_below_them(recwarn: pytest.WarningsRecorder) -> None:
    search = gamma_search(sampler=ListSampler([0.9, 0.5]), **BY_RATE)
    scenario = Scenario(lambda: Loses(lr=0.8))
    searched = fit(scenario, search)
    first, second, _ = search.history
    assert [result.state for result in first.results] == [DIVERGED] * 3
    assert first.chosen is None
    assert first.reason == "all 3 candidates diverged or failed"
    assert [rate.start for rate in search.rates] == pytest.approx([0.05] * 3)
    # from then on there is a candidate that does not: the present one
    assert [result.state for result in second.results] == [COMPLETE, DIVERGED, DIVERGED]
    assert "in epoch 0 all 3 candidates diverged or failed; it is trained at 5.00e-02" in said(recwarn.list)[0]
    assert differences(fit(scenario, Follows([rate.start for rate in search.rates])), searched) == []


def test_what_is_lost_lowers_the_range_of_the_searches_that_follow() -> None:
    search = gamma_search(sampler="random", first_random=4, first_model=0, min_lr=0.31, **BY_RATE)
    fit(Scenario(NanLate), search)
    first, second, third = search.history
    assert first.chosen is not None
    assert first.chosen.lr > 0.3
    assert "the epoch then diverged" in first.reason
    assert second.max_lr is not None
    assert second.max_lr <= first.chosen.lr / 2
    assert third.max_lr is not None
    assert third.max_lr <= first.chosen.lr / 2


# ---- epochs that end worse than an earlier one


class ByEpoch(Judged):
    """Its validation loss depends on the epoch alone."""

    losses = (1.0, 0.5, 0.56, 0.549, 0.6, 0.7, 0.4, 0.9)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("val_loss", self.losses[self.trainer.fit_loop.epoch_progress.current.completed])
        self.log("goodness", self.rate())


class LosesAll(ByEpoch):
    losses = (1.0, 2.0, 2.0)


LOSES = {"sampler": ListSampler([0.8, 0.1]), **BY_RATE}


@pytest.mark.parametrize("every", [True, False])
def test_after_two_epochs_that_are_worse_it_goes_back_to_the_best_at_half_the_rate(
    every: bool, recwarn: pytest.WarningsRecorder
) -> None:
    search = gamma_search("epochwise" if every else "once", **LOSES)
    scenario = Scenario(ByEpoch, trainer={"max_epochs": 8})
    searched = fit(scenario, search)
    starts = [rate.start for rate in search.rates]
    if not every:
        assert starts == pytest.approx([0.8] * 6 + [0.4] * 2)
    assert [rate.returned_to for rate in search.rates] == [None] * 6 + [1, None]
    assert [message for message in said(recwarn.list) if "ended at" in message] == [
        "GammaLRSearch: epoch 5 ended at a validation loss of 0.7, the first searched one at 1, the best one, epoch 1, "
        "at 0.5: the run goes on from there. What remains of the learning rate's schedule is halved"
    ]
    # bit for bit the run of someone who knew
    assert differences(fit(scenario, GoesBack(starts, {6: 1})), searched) == []


def test_without_a_controller_it_goes_on() -> None:
    search = gamma_search("once", recover=False, **LOSES)
    scenario = Scenario(ByEpoch, trainer={"max_epochs": 8})
    searched = fit(scenario, search)
    assert {rate.returned_to for rate in search.rates} == {None}
    assert differences(fit(scenario, Follows([0.8] * 8)), searched) == []


def test_where_all_that_was_gained_is_lost_it_goes_back_at_once(recwarn: pytest.WarningsRecorder) -> None:
    search = gamma_search("once", **LOSES)
    scenario = Scenario(LosesAll)
    searched = fit(scenario, search)
    assert [rate.returned_to for rate in search.rates] == [None, None, 0]
    starts = [0.8, 0.8, 0.4]
    assert [rate.start for rate in search.rates] == pytest.approx(starts)
    assert differences(fit(scenario, GoesBack(starts, {2: 0})), searched) == []


class OnceWorse(ByEpoch):
    losses = (9.0, 1.0, 9.0, 0.5, 9.0, 0.56, 9.0, 0.5)


def test_an_epoch_that_was_not_validated_is_not_a_second_one() -> None:
    search = gamma_search("once", **LOSES)
    fit(Scenario(OnceWorse, trainer={"max_epochs": 8, "check_val_every_n_epoch": 2}), search)
    assert {rate.returned_to for rate in search.rates} == {None}


class Stalls(ByEpoch):
    losses = (1.0,) * 9


@pytest.mark.parametrize(("every", "lowered"), [(1, 4), (2, 8)])
def test_a_plateau_waits_for_epochs_that_were_validated(every: int, lowered: int) -> None:
    search = gamma_search("once", **{**LOSES, "annealing": "plateau"})
    fit(Scenario(Stalls, trainer={"max_epochs": 9, "check_val_every_n_epoch": every}), search)
    starts = [rate.start for rate in search.rates]
    assert next(rate.epoch for rate in search.rates if rate.start < starts[0]) == lowered


def test_a_single_candidate_was_no_choice_and_it_goes_on() -> None:
    search = gamma_search("once", first_random=1, first_model=0, **{**BY_RATE, "annealing": "constant"})
    fit(Scenario(lambda: LosesAll(lr=0.8)), search)
    assert [rate.start for rate in search.rates] == [0.8] * 3
    assert {rate.returned_to for rate in search.rates} == {None}


def test_a_run_that_went_back_resumes_after_any_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCENARIOS, "goes back", Scenario(ByEpoch))
    options = {"policy": "once", **LOSES}
    whole = resumed_fit.fit("goes back", 8, tmp_path / "whole", **options)
    assert [rate.returned_to for rate in whole["by epoch"]] == [None] * 6 + [1, None]
    for epoch in range(7):
        checkpoint = tmp_path / "whole" / f"epoch={epoch}.ckpt"
        resumed = resumed_fit.fit("goes back", 8, tmp_path / f"resumed{epoch}", str(checkpoint), **options)
        assert [key for key in whole if whole[key] != resumed[key]] == []
        (state,) = (s for s in torch.load(checkpoint, weights_only=True)["callbacks"].values() if "recovery" in s)
        # a second copy of the weights is stored only where the checkpoint's own are not the best ones
        assert (state["recovery"]["best_weights"]["held"] is None) == (epoch in (0, 1, 6))
