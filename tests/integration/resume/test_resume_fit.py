"""A run that is stopped after any epoch and resumed ends as the run that never stopped."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_gammabo import ListSampler
from lightning_gammabo.determinant.objective import CustomObjective, ValidationMetrics
from tests.helpers.matrix import WHOLE
from tests.helpers.processes import run
from tests.helpers.searching import SHORT
from tests.integration.resume.resumed_fit import fit

pytestmark = pytest.mark.filterwarnings("ignore")


WAYS = ["shuffled", "workers", "augmented", "loader generator", "data generators", "groups", "stops in mid-epoch"]


@pytest.mark.parametrize(
    ("name", "commit"),
    [(name, "copy") for name in WAYS] + [(name, "replay") for name in (WAYS if WHOLE else ("augmented", "groups"))],
)
def test_resumed_after_any_epoch(name: str, commit: Any, tmp_path: Path) -> None:
    whole = fit(name, 3, tmp_path / "whole", commit=commit)
    for epoch in (0,) if name == "stops in mid-epoch" else (0, 1):  # its second epoch is its last
        checkpoint = str(tmp_path / "whole" / f"epoch={epoch}.ckpt")
        resumed = fit(name, 3, tmp_path / f"resumed{epoch}", checkpoint, commit=commit)
        assert [key for key in whole if whole[key] != resumed[key]] == []


@pytest.mark.parametrize("kind", ["step", "epoch", "cosine"])
def test_resumed_with_a_scaled_scheduler(kind: str, tmp_path: Path) -> None:
    whole = fit(f"scheduler: {kind}", 3, tmp_path / "whole")
    resumed = fit(f"scheduler: {kind}", 3, tmp_path / "resumed", str(tmp_path / "whole" / "epoch=1.ckpt"))
    assert [key for key in whole if whole[key] != resumed[key]] == []


def test_resumed_with_a_scheduler_set_aside(tmp_path: Path) -> None:
    whole = fit("scheduler: step", 3, tmp_path / "whole", lr_schedulers="override")
    checkpoint = str(tmp_path / "whole" / "epoch=1.ckpt")
    resumed = fit("scheduler: step", 3, tmp_path / "resumed", checkpoint, lr_schedulers="override")
    assert [key for key in whole if whole[key] != resumed[key]] == []


def test_a_scheduler_stays_aside_in_a_resumed_epoch_that_is_not_searched(tmp_path: Path) -> None:
    options = {"lr_schedulers": "override", "every_n_epochs": 2}
    whole = fit("scheduler: step", 3, tmp_path / "whole", **options)
    resumed = fit("scheduler: step", 3, tmp_path / "resumed", str(tmp_path / "whole" / "epoch=0.ckpt"), **options)
    assert [key for key in whole if whole[key] != resumed[key]] == []


def test_resumed_where_not_every_epoch_is_searched(tmp_path: Path) -> None:
    whole = fit("shuffled", 4, tmp_path / "whole", every_n_epochs=2)
    assert [epoch for epoch, *_ in whole["history"]] == [0, 2]
    for epoch in (0, 1, 2):
        checkpoint = str(tmp_path / "whole" / f"epoch={epoch}.ckpt")
        resumed = fit("shuffled", 4, tmp_path / f"resumed{epoch}", checkpoint, every_n_epochs=2)
        assert [key for key in whole if whole[key] != resumed[key]] == []


PARTIAL = {"sampler": "random", "later_share": SHORT, "first_share": SHORT, "min_steps": 2, "later_candidates": 3}
POLICIES: dict[str, dict[str, Any]] = {
    "epochwise": {},
    "epochwise, replayed": {"commit": "replay"},
    "epochwise, linear": {"annealing": "linear"},
    "epochwise, gamma": {"sampler": "gamma"},
    "epochwise, at shares": {"when": [0.5, 0.75]},
    "once": {},
    "epochwise, plateau": {"annealing": "plateau"},
    "once, later": {"start_epoch": 1},
    "epochwise, capped": {"max_overhead": 0.8},
}


@pytest.mark.parametrize("policy", POLICIES)
def test_resumed_under_a_policy(policy: str, tmp_path: Path) -> None:
    options = {"policy": policy.split(",")[0], **PARTIAL, **POLICIES[policy]}
    whole = fit("shuffled", 4, tmp_path / "whole", **options)
    assert len(whole["history"]) > 0
    for epoch in (0, 2):
        checkpoint = str(tmp_path / "whole" / f"epoch={epoch}.ckpt")
        resumed = fit("shuffled", 4, tmp_path / f"resumed{epoch}", checkpoint, **options)
        assert [key for key in whole if whole[key] != resumed[key]] == []


@pytest.mark.parametrize("name", ["groups", "augmented", "scheduler: cosine", "scheduler: epoch"])
def test_short_candidates_resumed(name: str, tmp_path: Path) -> None:
    options = {"policy": "epochwise", **PARTIAL, "lr_schedulers": None}
    whole = fit(name, 3, tmp_path / "whole", **options)
    resumed = fit(name, 3, tmp_path / "resumed", str(tmp_path / "whole" / "epoch=0.ckpt"), **options)
    assert [key for key in whole if whole[key] != resumed[key]] == []


class HighestLoss(CustomObjective):
    """Ranks the candidate first that validates worst."""

    def score(self, measured: ValidationMetrics) -> float:
        return measured.metrics["val_loss"]


def test_resumed_where_the_loss_stalls(tmp_path: Path) -> None:
    """A plateau has seen the loss of the epoch whose end was written."""
    # the worst rate is taken, so that the loss does stall
    ranked = {"objective": HighestLoss(), "sampler": ListSampler([3.0]), "max_lr": 3.0, "recover": False}
    options = {"policy": "once", "annealing": "plateau", **ranked}
    whole = fit("plain", 7, tmp_path / "whole", **options)
    lowered = [rate.epoch for rate in whole["by epoch"] if rate.start < rate.peak]
    assert 3 <= lowered[0] <= 6
    for epoch in range(lowered[0] - 2, lowered[0] + 1):
        checkpoint = str(tmp_path / "whole" / f"epoch={epoch}.ckpt")
        resumed = fit("plain", 7, tmp_path / f"resumed{epoch}", checkpoint, **options)
        assert [key for key in whole if whole[key] != resumed[key]] == []


@pytest.mark.slow
def test_resumed_in_a_new_process(tmp_path: Path) -> None:
    whole = fit("augmented", 3, tmp_path / "whole")
    fit("augmented", 2, tmp_path / "stopped")
    (tmp_path / "resumed").mkdir()
    out, checkpoint = tmp_path / "resumed", str(tmp_path / "stopped" / "epoch=1.ckpt")
    run(
        "tests.integration.resume.resumed_fit",
        "augmented",
        "3",
        str(out),
        checkpoint,
        out=out / "out",
        error=out / "err",
    )
    resumed = pickle.loads((tmp_path / "resumed" / "result.pkl").read_bytes())
    assert [key for key in whole if whole[key] != resumed[key]] == []


def test_the_state_is_plain(tmp_path: Path) -> None:
    fit("shuffled", 1, tmp_path)
    state = torch.load(tmp_path / "epoch=0.ckpt", weights_only=True)["callbacks"]["GammaLRSearch"]
    assert [one["epoch"] for one in state["history"] if one["kind"] == "search"] == [0]
    assert state["resume"]["rng"]["torch_cpu"].dtype is torch.uint8
