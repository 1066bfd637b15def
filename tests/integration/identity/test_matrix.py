"""Optimizer x precision x callback: the identity in each cell, both ways of committing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything

from tests.helpers.searching import searching
from tests.integration.identity.fingerprint import Calls, differences, fingerprint, plain
from tests.integration.identity.matrix import CELLS
from tests.integration.identity.scenarios import Scenario
from tests.integration.identity.test_identity import Follows

pytestmark = pytest.mark.filterwarnings("ignore")


def fit(scenario: Scenario, out: Path, *callbacks: Callback) -> dict[str, Any]:
    """The fingerprint of a fit, with what its callbacks hold and the weights in all checkpoints."""
    seed_everything(1, verbose=False)
    calls = Calls()
    options = dict(scenario.trainer)
    options |= options.pop("precision of", dict)()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    own = scenario.callbacks()
    # whoever follows speaks last, as a search does
    first = [callback for callback in callbacks if not isinstance(callback, Follows)]
    last = [callback for callback in callbacks if isinstance(callback, Follows)]
    quiet["enable_checkpointing"] = any("Checkpoint" in type(callback).__name__ for callback in own)
    trainer = Trainer(
        callbacks=[*first, *own, *last, calls], enable_model_summary=False, default_root_dir=out,
        **{"max_epochs": 3, "accelerator": "cpu", **quiet, **options},
    )  # fmt: skip
    module = scenario.module()
    trainer.fit(module, scenario.train(), scenario.val() if scenario.val else None)
    found = fingerprint(trainer, module, calls)
    found["callbacks"] = [plain(_without_paths(callback.state_dict())) for callback in own]
    found["averages"] = [plain(_average(callback)) for callback in own]
    files = sorted(Path("checkpoints").rglob("*.ckpt"))
    found["checkpoints"] = [(file.name, plain(torch.load(file, weights_only=False)["state_dict"])) for file in files]
    for file in files:
        file.unlink()
    return found


def _without_paths(state: dict[str, Any]) -> dict[str, Any]:
    # times and folders differ between any two runs
    return {key: value for key, value in state.items() if key not in ("dirpath", "time_elapsed")}


def _average(callback: Any) -> Any:
    average = getattr(callback, "_average_model", None)
    return average.state_dict() if isinstance(average, torch.nn.Module) else None


WAYS: dict[str, dict[str, Any]] = {
    "copy": {},
    "replay": {"commit": "replay"},
    # candidates train a part of the epoch, and the winner goes on from there, under watch
    "part": {"first_fraction": 0.6, "fraction": 0.4, "min_steps": 1, "guard": True},
}


@pytest.mark.parametrize("name", CELLS)
def test_cell(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scenario = CELLS[name]
    expected = fit(scenario, tmp_path)
    followed: dict[tuple[float, ...], Any] = {}
    for way, arguments in WAYS.items():
        one = searching(**{**arguments, **scenario.search, "n_initial": 1, "n_iterations": 0})
        assert differences(expected, fit(scenario, tmp_path, one)) == [], f"one candidate, {way}"
        assert len(one.history) > 0
        if not scenario.follows:
            continue
        many = searching(**arguments, lr_min=1e-3, lr_max=0.3, **scenario.search)
        searched = fit(scenario, tmp_path, many)
        rates = tuple(record.chosen.lr for record in many.history)
        if rates not in followed:
            followed[rates] = fit(scenario, tmp_path, Follows(rates))
        assert differences(followed[rates], searched) == [], f"many candidates, {way}"
