"""One fit in a process: ``python -m tests.integration.resume.resumed_fit NAME EPOCHS OUT [CHECKPOINT]``."""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from tests.helpers.searching import gamma_search
from tests.integration.identity.fingerprint import plain
from tests.integration.identity.scenarios import SCENARIOS

SEARCH = {"sampler": "gamma", "first_random": 2, "first_model": 1, "progress": False}


def fit(
    name: str, epochs: int, out: Path, checkpoint: str | None = None, policy: str = "thesis", **search: Any
) -> dict[str, Any]:
    """Weights, optimizer state and history at the end; one checkpoint for each epoch in ``out``."""
    scenario = SCENARIOS[name]
    # another process has other random numbers behind it
    seed_everything(1 if checkpoint is None else 99, verbose=False)
    callback = gamma_search(policy, **{**SEARCH, **scenario.search, **search})
    keep = ModelCheckpoint(out, filename="{epoch}", save_top_k=-1)
    options = {"max_epochs": epochs, "accelerator": "cpu", "logger": False, **scenario.trainer}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(callbacks=[callback, keep], **options, **quiet)
    module = scenario.module()
    if checkpoint is None:
        seed_everything(1, verbose=False)
    trainer.fit(module, scenario.train(), scenario.val() if scenario.val else None, ckpt_path=checkpoint)
    history = [
        (record.epoch, record.chosen_number, record.reason, [(r.lr, r.score, r.steps) for r in record.results])
        for record in callback.history
    ]
    return {
        "weights": plain(module.state_dict()),
        "optimizer": [plain(list(optimizer.state.values())) for optimizer in trainer.optimizers],
        "rates": [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups],
        "history": history,
        "by epoch": callback.rates,
        "steps": [trainer.global_step, trainer.current_epoch],
    }


def main(name: str, epochs: str, out: str, *checkpoint: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    Path(out, "result.pkl").write_bytes(pickle.dumps(fit(name, int(epochs), Path(out), *checkpoint)))


if __name__ == "__main__":
    main(*sys.argv[1:])
