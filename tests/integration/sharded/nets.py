"""Modules that shard themselves in ``configure_model``, each another way of training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from tests.integration.identity.scenarios import Net


class Sharded(Net):
    """Each layer with weights is sharded on its own, and what is left with the outermost module.

    Args:
        options: of ``fully_shard``.
        make: makes the optimizer; None for SGD with momentum.
        schedule: whether there is an LR scheduler.
        whole: whether there is one unit only: after an evaluation its whole parameters stay gathered.
        norm: whether there is a BatchNorm.
        uneven_draws: whether ranks draw differently many random numbers.
    """

    def __init__(
        self,
        *,
        options: dict[str, Any] | None = None,
        make: Any = None,
        schedule: bool = False,
        whole: bool = False,
        norm: bool = True,
        uneven_draws: bool = False,
    ) -> None:
        super().__init__()
        self.options, self.make, self.schedule, self.whole = options or {}, make, schedule, whole
        self.uneven_draws = uneven_draws
        if not norm:
            self.net[1] = nn.Identity()

    def configure_model(self) -> None:
        if getattr(self, "is_sharded", False):
            return
        self.is_sharded = True
        mesh: Any = self.device_mesh
        if mesh["tensor_parallel"].size() > 1:
            plan = {"0": ColwiseParallel(), "4": RowwiseParallel()}
            parallelize_module(self.net, mesh["tensor_parallel"], plan)
        if mesh["data_parallel"].size() > 1:
            for layer in () if self.whole else (self.net[0], self.net[4]):
                fully_shard(layer, mesh=mesh["data_parallel"], **self.options)
            fully_shard(self.net, mesh=mesh["data_parallel"], **self.options)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if self.uneven_draws:
            torch.rand(1 + self.global_rank)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        out = self(x)
        self.log("val_loss", nn.functional.cross_entropy(out, y))  # differs between ranks
        self.log("val_acc", (out.argmax(1) == y).float().mean(), sync_dist=True)

    def configure_optimizers(self) -> Any:
        optimizer = self.make(self) if self.make is not None else super().configure_optimizers()
        if not self.schedule:
            return optimizer
        return [optimizer], [{"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5), "interval": "step"}]


class Tied(Sharded):
    """The last layer's weight is the first one's, in one unit."""

    def __init__(self) -> None:
        super().__init__(whole=True)
        self.net = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 6))
        self.net[4].weight = self.net[0].weight


class LosesGround(Sharded):
    """From its second epoch on, but the first rank alone sees it."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        super().validation_step(batch, batch_idx)
        epoch = self.trainer.fit_loop.epoch_progress.current.completed
        self.log("judged", 1.0 + epoch if self.global_rank == 0 else 1.0 - epoch / 10)


class Late(Sharded):
    """Its layers are made in ``configure_model``."""

    def __init__(self) -> None:
        super().__init__()
        del self.net

    def configure_model(self) -> None:
        if not hasattr(self, "net"):
            self.net = Net().net
        super().configure_model()


def two_groups(module: nn.Module) -> torch.optim.Optimizer:
    weights = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    return torch.optim.SGD([{"params": weights, "lr": 0.05}, {"params": others, "lr": 0.005}], momentum=0.9)


def adamw(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), lr=0.005)


def parallel(**options: Any) -> Sharded:
    """Without the BatchNorm, which would keep statistics of a half."""
    return Sharded(norm=False, **options)


@dataclass
class Case:
    """One way of training.

    Args:
        module: makes the module.
        trainer: arguments of the Trainer.
        search: arguments of the search.
        strategy: further arguments of the strategy.
        follows: whether a plain fit at the chosen rates is compared as well.
    """

    module: Callable[[], Sharded]
    trainer: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    strategy: dict[str, Any] = field(default_factory=dict)
    follows: bool = True


_BF16 = {"mp_policy": MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)}
_SCALED = {"lr_schedulers": "scale"}

FSDP2: dict[str, Case] = {
    "plain": Case(Sharded),
    "one unit": Case(lambda: Sharded(whole=True)),
    "accumulates": Case(Sharded, {"accumulate_grad_batches": 2}),
    "clips": Case(Sharded, {"gradient_clip_val": 0.1}),
    "AdamW": Case(lambda: Sharded(make=adamw)),
    "two groups": Case(lambda: Sharded(make=two_groups)),
    "scheduler": Case(lambda: Sharded(schedule=True), search=_SCALED, follows=False),
    "bf16 policy": Case(lambda: Sharded(make=adamw, options=_BF16, norm=False)),
    "bf16-mixed": Case(Sharded, {"precision": "bf16-mixed"}),
    "tied": Case(Tied),
    "late": Case(Late),
    "no sanity check": Case(Sharded, {"num_sanity_val_steps": 0}),
    "keeps whole": Case(lambda: Sharded(options={"reshard_after_forward": False})),
    "offloads": Case(lambda: Sharded(options={"offload_policy": CPUOffloadPolicy(pin_memory=False)})),
}

TENSOR_PARALLEL: dict[str, Case] = {
    "plain": Case(parallel),
    "accumulates": Case(parallel, {"accumulate_grad_batches": 2}),
    "clips": Case(parallel, {"gradient_clip_val": 0.1}),
    "AdamW": Case(lambda: parallel(make=adamw)),
    "two groups": Case(lambda: parallel(make=two_groups)),
    "scheduler": Case(lambda: parallel(schedule=True), search=_SCALED, follows=False),
    "bf16-mixed": Case(parallel, {"precision": "bf16-mixed"}),
}

BOTH: dict[str, Case] = {name: TENSOR_PARALLEL[name] for name in ("plain", "accumulates", "clips", "AdamW")}
