"""The identity on a CUDA device: its generator, scalers, fused and capturable optimizers, compiled modules."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from tests.helpers.searching import searching
from tests.integration.identity.contract import check_many_candidates, check_one_candidate
from tests.integration.identity.fingerprint import differences
from tests.integration.identity.fits import fit_with_files
from tests.integration.identity.matrix import With
from tests.integration.identity.scenarios import TRAIN, Scenario

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore"),
]


class Compiled(With):
    def __init__(self) -> None:
        super().__init__(torch.optim.SGD, momentum=0.9)
        self.net = torch.compile(self.net)


class DrawsOnTheDevice(With):
    """Noise from the device's global generator and from a generator of its own there."""

    def __init__(self) -> None:
        super().__init__(torch.optim.SGD, momentum=0.9)
        self.own: torch.Generator | None = None

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        if self.own is None:
            self.own = torch.Generator(self.device).manual_seed(3)
        noise = torch.randn(x.shape, device=self.device, generator=self.own) + torch.randn_like(x)
        return nn.functional.cross_entropy(self(x + 0.1 * noise), y)


def _of(name: str, **options: Any) -> Callable[[], With]:
    return lambda: With(getattr(torch.optim, name), **options)


CELLS: dict[str, Scenario] = {
    "momentum": Scenario(_of("SGD", momentum=0.9)),
    "Adam fused": Scenario(_of("Adam", lr=0.005, fused=True)),
    "AdamW foreach": Scenario(_of("AdamW", lr=0.005, foreach=True)),
    "Adam capturable": Scenario(_of("Adam", lr=0.005, capturable=True)),
    "Adam capturable, rate in a tensor": Scenario(
        lambda: With(torch.optim.Adam, lr=torch.tensor(0.005, device="cuda"), capturable=True)
    ),
    "LBFGS": Scenario(_of("LBFGS", lr=0.1, max_iter=3)),
    "16-mixed": Scenario(_of("SGD", momentum=0.9), trainer={"precision": "16-mixed"}),
    "16-mixed, Adam fused": Scenario(_of("Adam", lr=0.005, fused=True), trainer={"precision": "16-mixed"}),
    "bf16-mixed": Scenario(_of("AdamW", lr=0.005), trainer={"precision": "bf16-mixed"}),
    "draws on the device": Scenario(DrawsOnTheDevice),
    "compiled": Scenario(Compiled),
    "pinned batches from workers": Scenario(
        _of("SGD", momentum=0.9),
        train=lambda: DataLoader(TRAIN, 8, shuffle=True, num_workers=2, pin_memory=True, persistent_workers=True),
    ),
    "accumulates and clips": Scenario(
        _of("AdamW", lr=0.005),
        trainer={"precision": "16-mixed", "accumulate_grad_batches": 2, "gradient_clip_val": 0.1},
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_cell(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scenario = CELLS[name]
    scenario.trainer = {"accelerator": "gpu", "devices": 1, "deterministic": True, **scenario.trainer}
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    fit = partial(fit_with_files, scenario, tmp_path)
    assert differences(fit(), fit()) == [], "the plain fit is not the same twice"
    check_one_candidate(fit)
    check_many_candidates(fit, min_lr=1e-3, max_lr=0.3)


def test_a_candidate_that_runs_out_of_device_memory_fails_and_the_search_goes_on() -> None:
    class Greedy(With):
        def __init__(self) -> None:
            super().__init__(torch.optim.SGD, momentum=0.9)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.trainer.optimizers[0].param_groups[0]["lr"] != 0.05:
                self.held = torch.empty(2**46, device=self.device)
            return super().training_step(batch, batch_idx)

    from lightning.pytorch import Trainer

    search = searching()
    trainer = Trainer(
        max_epochs=2, accelerator="gpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[search],
    )  # fmt: skip
    trainer.fit(Greedy(), DataLoader(TRAIN, 8), DataLoader(TRAIN, 20))
    states = [[result.state.value for result in record.results] for record in search.history]
    assert states == [["complete", "failed", "failed"]] * 2
    assert "out of memory" in search.history[0].results[1].message
