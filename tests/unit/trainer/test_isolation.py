"""Where a candidate trains unseen: what is set aside and comes back, and the monitor that watches."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lightning_gammabo.trainer.isolation import Isolation
from lightning_gammabo.trainer.monitor import CHECK_EVERY, Diverged


def strategy_of(device: str, *others: bool) -> Any:
    """Of ranks of which the others say what is given."""
    return SimpleNamespace(
        root_device=SimpleNamespace(type=device), reduce_boolean_decision=lambda flag, all: any([flag, *others])
    )


def losses(monitor: Any, *values: float) -> None:
    for value in values:
        monitor.on_train_batch_end(None, None, torch.tensor(value), None, 0)


def monitor_of(device: str = "cpu", *others: bool) -> Any:
    trainer: Any = SimpleNamespace(
        callbacks=[], loggers=[], world_size=1 + len(others), strategy=strategy_of(device, *others)
    )
    return Isolation(trainer, None, SimpleNamespace()).monitor()  # type: ignore[arg-type]


def test_a_loss_is_looked_at_where_that_waits_for_nothing() -> None:
    with pytest.raises(Diverged):
        losses(monitor_of(), 1.0, math.nan)
    on_a_device = monitor_of("cuda")
    losses(on_a_device, *[math.nan] * (CHECK_EVERY - 1))
    with pytest.raises(Diverged):
        losses(on_a_device, 1.0)


def test_what_one_rank_sees_all_ranks_do() -> None:
    here, there, nowhere = (monitor_of("cpu", other) for other in (False, True, False))
    losses(here, math.nan, *[1.0] * (CHECK_EVERY - 2))
    losses(there, *[1.0] * (CHECK_EVERY - 1))
    losses(nowhere, *[1.0] * CHECK_EVERY)
    for monitor in (here, there):
        with pytest.raises(Diverged):
            losses(monitor, 1.0)
