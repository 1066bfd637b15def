"""Fits in several processes, one rank of them; each rank writes the fingerprints.

Usage: ``python -m tests.integration.identity.ddp_fit OUT`` under torchrun's environment variables. The fits: plain;
one candidate, copied and replayed; three candidates, copied and replayed, each beside a plain fit at the rates that
were chosen; short candidates that go on, beside the plain fit at the chosen peaks of a cosine; one that goes back to
its first epoch, beside the plain fit that does; and candidates that diverge or raise on the last rank alone.
"""

from __future__ import annotations

import functools
import math
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch.utils.data import DataLoader

from lightning_gammabo import ListSampler
from tests.helpers.searching import gamma_search, searching, searching_in_part
from tests.integration.identity.fingerprint import Calls, fingerprint
from tests.integration.identity.followers import Follows, GoesBack, known
from tests.integration.identity.scenarios import TRAIN, VAL, Net

FAILS = ("diverges", "raises")


class Distributed(Net):
    """BatchNorm that is not synchronised; the loss differs between ranks, the accuracy is reduced by the user."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        out = self(x)
        self.log("val_loss", torch.nn.functional.cross_entropy(out, y))
        self.log("val_acc", (out.argmax(1) == y).float().mean(), sync_dist=True)


class LosesGround(Distributed):
    """From its second epoch on, but the first rank alone sees it."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        super().validation_step(batch, batch_idx)
        epoch = self.trainer.fit_loop.epoch_progress.current.completed
        self.log("judged", 1.0 + epoch if self.global_rank == 0 else 1.0 - epoch / 10)


class FailsOnOneRank(Distributed):
    """From its third batch on, at every rate but the configured one, on the last rank alone."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        trouble = self.trainer.optimizers[0].param_groups[0]["lr"] != self.lr and batch_idx >= 2
        if not trouble or self.global_rank != self.trainer.world_size - 1:
            return loss
        if self.how == "raises":
            raise RuntimeError("boom on one rank")
        return loss * math.nan


class RaisesByHand(FailsOnOneRank):
    """Optimized by hand in two backward passes, between which the last rank raises."""

    def __init__(self) -> None:
        super().__init__("")
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        for part in (1, 2):
            trouble = optimizer.param_groups[0]["lr"] != self.lr and batch_idx >= 2
            if trouble and part == 2 and self.global_rank == self.trainer.world_size - 1:
                raise RuntimeError("boom between two passes")
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch) / part)
            optimizer.step()


def fit(*callbacks: Callback, module: Callable[[], Net] = Distributed) -> dict[str, Any]:
    seed_everything(1, verbose=False)
    calls = Calls()
    trainer = Trainer(
        max_epochs=3, accelerator="cpu", devices=torch.distributed.get_world_size(), strategy="ddp", logger=False,
        callbacks=[*callbacks, calls], enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    net = module()
    trainer.fit(net, DataLoader(TRAIN, 4, shuffle=True), DataLoader(VAL, 5))
    return fingerprint(trainer, net, calls)


def main(out: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    # with three processes no fit is compared with the one that follows it: see test_ddp.py
    follow = fit if torch.distributed.get_world_size() == 2 else lambda *_, **__: None
    fits: dict[str, Any] = {"plain": fit()}
    for commit in ("copy", "replay"):
        fits[f"{commit} one"] = fit(gamma_search("thesis", first_random=1, first_model=0, commit=commit))
        search = gamma_search("thesis", sampler="random", first_random=1, first_model=2, commit=commit)
        fits[f"{commit} many"] = fit(search)
        fits[f"{commit} history"] = search.history
        fits[f"{commit} followed"] = follow(Follows([record.chosen.lr for record in search.history]))
    search = searching_in_part(score_samples=14)
    fits["short many"] = fit(search)
    fits["short history"] = search.history
    fits["short followed"] = follow(known(search))
    search = gamma_search(
        "once", sampler=ListSampler([0.2]), objective="val_acc", monitor_loss="judged", annealing="constant"
    )
    fits["back many"] = fit(search, module=LosesGround)
    fits["back rates"] = search.rates
    fits["back followed"] = follow(GoesBack([rate.start for rate in search.rates], {2: 0}), module=LosesGround)
    for how, module in (*((how, functools.partial(FailsOnOneRank, how)) for how in FAILS), ("by hand", RaisesByHand)):
        search = searching()
        fits[f"{how} many"] = fit(search, module=module)
        fits[f"{how} history"] = search.history
    Path(out, f"{torch.distributed.get_rank()}.pkl").write_bytes(pickle.dumps(fits))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
