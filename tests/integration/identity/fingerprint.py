"""Everything that a fit leaves behind, as bytes: two fits are the same fit if their fingerprints are equal."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_gammabo.records import SearchHistory
from lightning_gammabo.trainer.snapshot.rng import RngState
from lightning_gammabo.trainer.snapshot.tensors import wrapped_parts


def plain(tree: Any) -> Any:
    """Tensors as bytes, so that ``==`` is exact (NaN equals NaN, 0.0 is not -0.0)."""
    if isinstance(tree, torch.Tensor):
        if parts := wrapped_parts(tree):  # a sharded tensor: this rank's shard
            return plain(parts)
        values = tree.detach().cpu().contiguous().clone()  # a storage that NumPy shares cannot be freed by FSDP
        return str(values.dtype), tuple(values.shape), values.reshape(-1).view(torch.uint8).numpy().tobytes()
    if isinstance(tree, dict):
        return {str(key): plain(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [plain(value) for value in tree]
    if isinstance(tree, float):
        return pickle.dumps(tree)
    return tree if isinstance(tree, (int, str, bool, bytes, type(None))) else repr(type(tree))


class Calls(Callback):
    """Writes down what other callbacks see at the ends of epochs and of validations."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def _note(self, hook: str, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = {name: value.clone() for name, value in trainer.callback_metrics.items()}
        rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
        self.calls.append(
            plain([hook, trainer.current_epoch, trainer.global_step, metrics, rates, list(pl_module.parameters())])
        )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.calls.append(["on_train_epoch_start", trainer.current_epoch, trainer.global_step])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._note("on_train_epoch_end", trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._note("on_validation_start", trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.calls.append(["on_validation_epoch_end", trainer.current_epoch])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._note("on_validation_end", trainer, pl_module)


def fingerprint(trainer: Trainer, module: LightningModule, calls: Calls | None = None) -> dict[str, Any]:
    rng = RngState.take()
    optimizers = trainer.optimizers
    loop = trainer.fit_loop
    return {
        "parameters": plain(dict(module.named_parameters())),
        "buffers": plain(dict(module.named_buffers())),
        "optimizer state": [plain(list(optimizer.state.values())) for optimizer in optimizers],
        "groups": [
            plain([{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups])
            for optimizer in optimizers
        ],
        "schedulers": [plain(config.scheduler.state_dict()) for config in trainer.lr_scheduler_configs],
        "metrics": plain(dict(trainer.callback_metrics)),
        "logged": plain(dict(trainer.logged_metrics)),
        "bar": plain(dict(trainer.progress_bar_metrics)),
        "steps": [trainer.global_step, trainer.current_epoch, trainer.should_stop],
        "loops": plain({k: v for k, v in loop.state_dict().items() if k != "state_dict"}),
        "rng": [rng.python, pickle.dumps(rng.numpy), plain(rng.torch_cpu)],
        "python state": plain(getattr(module, "python_state", lambda: {})()),
        "training flags": [part.training for part in module.modules()],
        "calls": calls.calls if calls is not None else [],
    }


def differences(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    """Names of what differs; for dictionaries one level deeper."""
    found = []
    for name in left:
        if left[name] == right[name]:
            continue
        if isinstance(left[name], dict) and isinstance(right[name], dict):
            keys = left[name].keys() | right[name].keys()
            found += [f"{name}.{key}" for key in sorted(keys) if left[name].get(key) != right[name].get(key)]
        else:
            found.append(name)
    return found


def without_times(history: SearchHistory) -> SearchHistory:
    """All of a history that two equal fits have in common: wall-clock times are left out."""
    return SearchHistory(
        replace(record, seconds=0.0, results=tuple(replace(result, seconds=0.0) for result in record.results))
        for record in history
    )
