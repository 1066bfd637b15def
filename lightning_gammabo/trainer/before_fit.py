"""A Trainer that knows a run's loaders before it fits, so that the price of a search can be told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lightning_gammabo.trainer.inspection import call_module
from lightning_gammabo.trainer.snapshot.rng import RngState

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["loaders_attached"]


@contextmanager
def loaders_attached(trainer: Trainer, pl_module: LightningModule, **data: Any) -> Iterator[None]:
    """Within, the Trainer has its loaders, as in ``on_train_start``; nothing is trained, no logger is opened.

    ``prepare_data`` and ``setup`` of data module and module are called, as a fit calls them again. Global random
    numbers are put back.

    Args:
        trainer: a Trainer that does not fit.
        pl_module: the user's module.
        **data: ``train_dataloaders``, ``val_dataloaders`` and ``datamodule``, as ``trainer.fit`` takes them.
    """
    numbers, status = RngState.take(), (trainer.state.fn, trainer.state.status, trainer.state.stage)
    hooks = call_module(trainer)
    try:
        trainer.state.fn = sys.modules[type(trainer.state).__module__].TrainerFn.FITTING
        trainer.training = True
        trainer.strategy.connect(pl_module)
        trainer._data_connector.attach_data(pl_module, **data)
        trainer._data_connector.prepare_data()
        if trainer.datamodule is not None:  # type: ignore[attr-defined]
            hooks._call_lightning_datamodule_hook(trainer, "setup", stage="fit")
        hooks._call_lightning_module_hook(trainer, "setup", stage="fit")
        trainer.fit_loop.setup_data()
        if trainer.enable_validation:
            trainer.fit_loop.epoch_loop.val_loop.setup_data()
        yield
    finally:
        # the fit makes loaders of its own
        trainer.fit_loop._combined_loader = trainer.fit_loop.epoch_loop.val_loop._combined_loader = None
        trainer.state.fn, trainer.state.status, trainer.state.stage = status
        numbers.restore()
