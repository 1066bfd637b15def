"""State in unusual places: hooks of tensors, scripted modules, lazy layers, weights written past any counter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, callbacks
from torch import nn
from torch.utils.data import DataLoader

from tests.integration.faces.fits import COMMITS, QUIET, Fit, assert_no_trace, default, one, several
from tests.integration.identity.scenarios import TRAIN, VAL, Net

pytestmark = pytest.mark.filterwarnings("ignore")


def _shrink(parameter: torch.Tensor) -> None:
    assert parameter.grad is not None
    parameter.grad.mul_(0.9)


class HooksTensor(Net):
    """Halves a gradient by a hook that it registers in each epoch, one more each time."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 0:
            self.net[0].weight.register_hook(lambda gradient: gradient * 0.5)
            self.net[0].bias.register_post_accumulate_grad_hook(_shrink)
        return super().training_step(batch, batch_idx)


@COMMITS
def test_hooks_of_tensors(commit: str) -> None:
    assert_no_trace(commit, module=HooksTensor, extra=lambda module: len(module.net[0].weight._backward_hooks or ()))


class Counts(nn.Module):
    """Counts its calls in C++."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 3)
        self.n: int = 0
        self.seen = torch.jit.Attribute([0], list[int])
        self.total = torch.zeros(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.n += 1
        self.seen.append(self.n)
        self.total = self.total + 1.0
        return self.a(x) * (1.0 + 0.01 * self.n + 0.001 * len(self.seen)) + 0.001 * self.total


class Scripted(Net):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.jit.script(Counts())


@COMMITS
def test_attributes_of_scripted_modules(commit: str) -> None:
    def told(module: Any) -> Any:
        return [module.net.n, list(module.net.seen), float(module.net.total)]

    assert_no_trace(commit, module=Scripted, extra=told)


class Lazy(Net):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(3))


def test_lazy_norms_with_candidates_of_a_part_of_the_epoch() -> None:
    Fit(Lazy, default(first_share=0.4, min_steps=2), num_sanity_val_steps=0)


class Relative(torch.optim.Optimizer):
    """Finds its own rates, as transformers' Adafactor does: ``lr`` is None."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": None})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.add_(parameter.grad.sign(), alpha=-1e-3)
        return loss


class OwnRates(Net):
    def configure_optimizers(self) -> Any:
        return Relative(self.parameters())


def test_a_rate_of_none_is_not_searched() -> None:
    search = default()
    assert Fit(OwnRates, search).differs_from(Fit(OwnRates)) == []
    assert len(search.history) == 0


class Merges(Net):
    """Adds something to weights through ``.data`` while it validates, and takes it away again: last bits change."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 3))
        self.a = nn.Parameter(torch.randn(2, 6) * 0.1)
        self.b = nn.Parameter(torch.randn(64, 2) * 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.net[0](x)
        if self.training:
            hidden = hidden + x @ self.a.T @ self.b.T
        return self.net[2](hidden.relu())

    def on_validation_start(self) -> None:
        self.net[0].weight.data += (self.b @ self.a).detach()

    def on_validation_end(self) -> None:
        self.net[0].weight.data -= (self.b @ self.a).detach()


def test_last_bits_that_a_validation_writes() -> None:
    assert_no_trace("copy", module=Merges)


class Small(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("probe_loss", nn.functional.cross_entropy(self.layer(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Probes(Net):
    """Fits a monitor by a Trainer of its own in each validation."""

    def on_validation_epoch_end(self) -> None:
        if self.trainer.sanity_checking:
            return
        trainer = Trainer(max_epochs=1, num_sanity_val_steps=0, **QUIET)
        with torch.enable_grad():
            trainer.fit(Small(), DataLoader(TRAIN, 20), DataLoader(VAL, 30))
        self.log("monitor", float(trainer.callback_metrics["probe_loss"]))


@pytest.mark.parametrize("persistent", [False, True])
def test_a_trainer_within_a_hook(persistent: bool) -> None:
    def val() -> DataLoader[Any]:
        return DataLoader(VAL, 10, num_workers=int(persistent), persistent_workers=persistent)

    searches = (None, one(), several(0.02))
    plain, identical, _ = (Fit(Probes, search, val=val, inference_mode=False, epochs=2) for search in searches)
    assert identical.differs_from(plain) == []


@pytest.mark.skipif(not hasattr(callbacks, "WeightAveraging"), reason="Lightning has averaged weights from 2.6 on")
def test_averaged_weights_need_no_replay() -> None:
    def averaging() -> list[Any]:
        return [callbacks.EMAWeightAveraging(decay=0.7)]

    assert_no_trace("copy", callbacks=averaging)
    search = several(0.02)
    Fit(search=search, callbacks=averaging)
    assert {record.commit for record in search.history if record.chosen_number == 1} <= {"copy"}
