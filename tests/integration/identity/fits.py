"""Fits of scenarios and their fingerprints: searched ones, and the plain ones that they must equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything

from tests.helpers.matrix import WHOLE
from tests.integration.identity.fingerprint import Calls, fingerprint, plain
from tests.integration.identity.followers import Follows
from tests.integration.identity.scenarios import Scenario

EPOCHS = 3 if WHOLE else 2
"""what the first epoch leaves behind is seen in the second"""
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def fit(scenario: Scenario, *callbacks: Callback, epochs: int = 3) -> dict[str, Any]:
    """The fingerprint of a fit of so many epochs unless the scenario says otherwise."""
    seed_everything(1, verbose=False)
    calls = Calls()
    quiet = {} if scenario.trainer.get("barebones") else QUIET
    options = {"max_epochs": epochs, "accelerator": "cpu", **quiet, **scenario.trainer}
    trainer = Trainer(callbacks=[*callbacks, *scenario.callbacks(), calls], **options)
    module = scenario.module()
    if scenario.datamodule is not None:
        trainer.fit(module, datamodule=scenario.datamodule())
    else:
        trainer.fit(module, scenario.train(), scenario.val() if scenario.val is not None else None)
    return fingerprint(trainer, module, calls)


def short_fit(scenario: Scenario, *callbacks: Callback) -> dict[str, Any]:
    """The fingerprint of a fit of :data:`EPOCHS` unless the scenario says otherwise."""
    return fit(scenario, *callbacks, epochs=EPOCHS)


def fit_with_files(scenario: Scenario, out: Path, *callbacks: Callback) -> dict[str, Any]:
    """The same as :func:`short_fit`, with what callbacks of the scenario hold and all checkpoints that they wrote."""
    seed_everything(1, verbose=False)
    calls = Calls()
    options = dict(scenario.trainer)
    options |= options.pop("precision of", dict)()
    own = scenario.callbacks()
    # whoever follows speaks last, as a search does
    first = [callback for callback in callbacks if not isinstance(callback, Follows)]
    last = [callback for callback in callbacks if isinstance(callback, Follows)]
    writes = any("Checkpoint" in type(callback).__name__ for callback in own)
    trainer = Trainer(
        callbacks=[*first, *own, *last, calls], default_root_dir=out,
        **{"max_epochs": EPOCHS, "accelerator": "cpu", **QUIET, "enable_checkpointing": writes, **options},
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
