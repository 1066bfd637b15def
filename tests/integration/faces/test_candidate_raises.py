"""A candidate whose rate makes user code raise has failed; the run goes on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from lightning_gammabo import ListSampler, TrialState
from tests.integration.faces.fits import Fit, default, one, several
from tests.integration.identity.scenarios import Net

pytestmark = pytest.mark.filterwarnings("ignore")


class VAE(Net):
    """torch.distributions checks its arguments: a scale that underflows to 0, or NaN, is a ValueError."""

    def __init__(self) -> None:
        super().__init__(1e-3)
        self.net = nn.ModuleDict({"encoder": nn.Linear(6, 4), "decoder": nn.Linear(2, 6)})

    def loss(self, batch: Any) -> Any:
        x = batch[0] * 1.5
        mean, log_scale = self.net["encoder"](x).chunk(2, 1)
        q = torch.distributions.Normal(mean, log_scale.exp())
        kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
        return nn.functional.mse_loss(self.net["decoder"](q.rsample()), x, reduction="sum") / len(x) + kl

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))


class Big(Net):
    """A loss of some thousands, and rates of 1e-7 that are right for it."""

    def __init__(self) -> None:
        super().__init__(1e-7)
        self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))

    def loss(self, batch: Any) -> Any:
        return (self(batch[0] * 10)[:, 0] - batch[1] * 100).pow(2).mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))


class Checks(Big):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        if not torch.isfinite(loss):
            raise ValueError("loss is not finite")
        return loss


class ChecksInValidation(Big):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        loss = self.loss(batch)
        if not torch.isfinite(loss) or loss > 1e9:
            raise ValueError("loss is not finite")
        self.log("val_loss", loss)


@pytest.mark.parametrize("policy", ["epochwise", "once", "thesis"])
@pytest.mark.parametrize("module", [VAE, Checks, ChecksInValidation])
def test_no_candidate_ends_a_run(module: Any, policy: str) -> None:
    search = default(policy=policy)
    fit = Fit(module, search)
    assert fit.trainer.current_epoch == 3
    assert all(bool(p.isfinite().all()) for p in fit.module.parameters())
    results = [result for record in search.history for result in record.results]
    raised = [result for result in results if "ValueError" in result.message]
    assert {(result.state, result.score) for result in raised} <= {(TrialState.DIVERGED, None)}


def test_a_loss_that_is_finite_but_absurd_has_diverged() -> None:
    search = several(0.1)
    Fit(Big, search)
    result = search.history[0].results[1]
    assert result.state is TrialState.DIVERGED


class RaisesAbove(Net):
    """Raises at rates above one, from some epoch on."""

    limit, epoch = 0.1, 0
    error: BaseException = RuntimeError("too much\nmore words")

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.current_epoch >= self.epoch and batch_idx == 2 and self.optimizers().param_groups[0]["lr"] > self.limit:
            raise self.error
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize("commit", ["copy", "replay"])
def test_what_a_candidate_that_raised_leaves_is_its_message_alone(commit: Any) -> None:
    search = several(0.2, 0.001, commit=commit)
    searched = Fit(RaisesAbove, search)
    for record in search.history:
        assert record.results[1].state is TrialState.DIVERGED
        assert record.results[1].message == "RuntimeError: too much"
    assert searched.differs_from(Fit(RaisesAbove, several(0.001, commit=commit))) == []


def test_it_is_said_once_an_epoch(caplog: Any) -> None:
    with caplog.at_level("INFO"):
        Fit(RaisesAbove, several(0.2, 0.3), epochs=1)
    said = [record.message for record in caplog.records if "count as diverged" in record.message]
    assert len(said) == 1
    assert "RuntimeError: too much, at 0.2" in said[0]


def notes_of(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", []))


def test_at_the_present_rate_an_exception_goes_through_with_a_note() -> None:
    class Now(RaisesAbove):
        limit, epoch = 0.0, 1

    with pytest.raises(RuntimeError, match="too much") as caught:
        Fit(Now, several(0.2))
    assert "epoch 1 was searched, by the candidate at the present learning rate" in notes_of(caught.value)


class Interrupted(BaseException):
    """As SystemExit: no Exception."""


def test_what_is_no_exception_goes_through_at_any_rate() -> None:
    class Leaves(RaisesAbove):
        error = Interrupted("now")

    with pytest.raises(Interrupted, match="now") as caught:
        Fit(Leaves, several(0.2))
    assert "by the candidate at learning rate 0.2" in notes_of(caught.value)


def test_where_the_present_rate_raised_no_other_is_tried() -> None:
    class Always(RaisesAbove):
        limit = 0.0

    with pytest.raises(RuntimeError, match="too much"):
        Fit(Always, one())


def test_what_raises_in_the_rest_of_a_committed_epoch_is_trained_again_at_a_lower_rate() -> None:
    class Later(Net):
        """Bears the high rate for the candidate's part of an epoch, but not for the whole of it."""

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 4 and self.optimizers().param_groups[0]["lr"] > 0.1:
                raise RuntimeError("too long")
            return super().training_step(batch, batch_idx)

    short = {"min_steps": 2, "first_share": 1e-6, "cooling": 0.0, "annealing": "constant"}
    search = default(policy="once", sampler=ListSampler([0.3]), objective="favoured", mode="max", **short)

    class Favours(Later):
        def on_validation_epoch_end(self) -> None:
            self.log("favoured", self.optimizers().param_groups[0]["lr"])

    fit = Fit(Favours, search)
    assert search.history[0].chosen is not None
    assert search.history[0].chosen.lr == 0.3
    assert fit.trainer.current_epoch == 3
    assert search.rates[0].start == pytest.approx(0.3 / 4)
