"""Inside a fit: the Trainer's own loop runs once, each step trains all candidates, and each is the native candidate."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from torch.utils.data import DataLoader

from lightning_gammabo.epoch_runner.stacked_run import trained_by
from lightning_gammabo.vectorised import TrainerFacts, VectorisedTrainer, check_equal, why_not
from tests.vectorised.networks import NETWORKS, batches, two_groups
from tests.vectorised.reference import assert_same_state

DATA = [(x, y) for batch in batches(7, size=8) for x, y in zip(*batch, strict=True)]
MULTIPLIERS = (0.5, 1.0, 4.0)


def trainer_of(**options: Any) -> Trainer:
    seed_everything(2, verbose=False)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(max_epochs=1, accelerator="cpu", enable_model_summary=False, **quiet, **options)


def module_of(network: str, kind: Any, multiplier: float) -> Any:
    class Fitted(type(NETWORKS[network]())):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(NETWORKS[network]().net)
            self.losses: list[float] = []

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            if outputs:  # none from a step that is not Lightning's own
                self.losses.append(float(outputs["loss"]) * self.trainer.accumulate_grad_batches)

        def configure_optimizers(self) -> Any:
            optimizer = two_groups(self, kind, **({"momentum": 0.9} if kind is torch.optim.SGD else {"eps": 1e-3}))
            for group in optimizer.param_groups:
                group["lr"] *= 10 * multiplier
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2), "interval": "step"},
            }

    return Fitted()


@pytest.mark.parametrize("options", [{}, {"gradient_clip_val": 0.2}, {"accumulate_grad_batches": 3}], ids=str)
@pytest.mark.parametrize(("network", "kind"), [("normed", torch.optim.SGD), ("lenet", torch.optim.AdamW)])
def test_stacked_candidates_are_the_native_ones(network: str, kind: Any, options: dict[str, Any]) -> None:
    native = []
    for multiplier in MULTIPLIERS:
        trainer, model = trainer_of(**options), module_of(network, kind, multiplier)
        torch.manual_seed(3)
        trainer.fit(model, DataLoader(DATA, 8, shuffle=True))
        native.append((trainer, model))

    trainer, model = trainer_of(**options), module_of(network, kind, 1.0)
    held: list[VectorisedTrainer] = []

    def fit_stacked(fetcher: Any) -> None:
        def rates(_: int) -> list[list[float]]:
            return [[group["lr"] * m for group in trainer.optimizers[0].param_groups] for m in MULTIPLIERS]

        shared: dict[str, Any] = {
            "clip_val": trainer.gradient_clip_val,
            "clip_algorithm": trainer.gradient_clip_algorithm,
            "accumulate": trainer.accumulate_grad_batches,
            "context": trainer.precision_plugin.train_step_context,
            "rates": rates,
        }
        assert why_not(model, trainer.optimizers, TrainerFacts(precision=str(trainer.precision))) is None
        first = batches(4, size=8)
        assert check_equal(model, trainer.optimizers, first, **shared) is None
        held.append(VectorisedTrainer(model, trainer.optimizers, candidates=len(MULTIPLIERS), **shared))
        step = held[0].step
        with trained_by(trainer, lambda batch, batch_idx, steps: step(batch, batch_idx, last=steps)):
            type(trainer.fit_loop.epoch_loop).run(trainer.fit_loop.epoch_loop, fetcher)

    trainer.fit_loop.epoch_loop.run = fit_stacked  # type: ignore[method-assign]
    torch.manual_seed(3)
    trainer.fit(model, DataLoader(DATA, 8, shuffle=True))

    for candidate, (own, reference) in enumerate(native):
        assert held[0].losses[candidate] == pytest.approx(reference.losses, rel=1e-5)
        held[0].write_back(candidate)
        assert_same_state((model, trainer.optimizers[0]), (reference, own.optimizers[0]), rtol=1e-4, atol=1e-5)
        assert trainer.global_step == own.global_step
        assert trainer.fit_loop.state_dict() == own.fit_loop.state_dict()  # every counter of the loops
    best = min(range(len(native)), key=lambda k: native[k][1].losses[-1])
    assert min(range(len(native)), key=lambda k: held[0].losses[k][-1]) == best
