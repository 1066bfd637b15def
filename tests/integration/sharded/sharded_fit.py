"""One rank of sharded fits: ``python -m tests.integration.sharded.sharded_fit OUT SIZES TASK [ARGUMENT ...]``.

The environment is torchrun's. SIZES is DATAxTENSOR, as ``2x1``. The tasks are the functions of ``TASKS``; a rank ends
with an exit code other than 0 where what it found is not what was promised.
"""

from __future__ import annotations

import math
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from lightning_utilities.core.apply_func import apply_to_collection
from torch import nn
from torch.utils.data import DataLoader

from lightning_gammabo import GammaLRSearch, ListSampler
from lightning_gammabo.trainer.epoch_runner import EpochRunner
from lightning_gammabo.trainer.patch import replaced
from lightning_gammabo.trainer.snapshot.sharding import reshard
from lightning_gammabo.trainer.snapshot.tensors import wrapped_parts
from tests.helpers.searching import gamma_search, searching, searching_in_part
from tests.integration.identity.contract import check_many_candidates, check_one_candidate
from tests.integration.identity.fingerprint import Calls, differences, fingerprint, plain
from tests.integration.identity.followers import GoesBack, known
from tests.integration.identity.scenarios import TRAIN, VAL, Net
from tests.integration.sharded.nets import BOTH, FSDP2, TENSOR_PARALLEL, Case, LosesGround, Sharded, adamw

Sizes = tuple[int, int]
RANGE = {"min_lr": 1e-3, "max_lr": 0.3}
PRESENT = 0.05
ONE_FILE = {"save_distributed_checkpoint": False}


def cases_of(sizes: Sizes) -> dict[str, Case]:
    return FSDP2 if sizes[1] == 1 else TENSOR_PARALLEL if sizes[0] == 1 else BOTH


def fit(case: Case, sizes: Sizes, *callbacks: Callback, resume: Path | None = None, **options: Any) -> dict[str, Any]:
    seed_everything(1, verbose=False)
    calls = Calls()
    strategy = ModelParallelStrategy(data_parallel_size=sizes[0], tensor_parallel_size=sizes[1], **case.strategy)
    defaults = {"max_epochs": 2, "logger": False, "enable_checkpointing": False}
    trainer = Trainer(
        accelerator="cpu", devices=math.prod(sizes), strategy=strategy, callbacks=[*callbacks, calls],
        enable_progress_bar=False, enable_model_summary=False, **{**defaults, **case.trainer, **options},
    )  # fmt: skip
    module = case.module()
    path = None if resume is None else str(resume)
    trainer.fit(module, DataLoader(TRAIN, 4, shuffle=True), DataLoader(VAL, 5), ckpt_path=path)
    return fingerprint(trainer, module, calls)


def same_on_all_ranks(value: Any) -> bool:
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, value)
    return all(other == value for other in gathered)


def told(search: GammaLRSearch) -> list[Any]:
    """Proposals, scores and choices, without times."""
    return [
        (record.epoch, record.chosen_number, [(r.lr, r.state.value, r.score, r.loss, r.parts) for r in record.results])
        for record in search.history
    ]


def states(search: GammaLRSearch) -> list[list[str]]:
    return [[result.state.value for result in record.results] for record in search.history]


def identity(out: Path, sizes: Sizes, *names: str) -> None:
    """The contract, by copy and by replay, for each case."""
    for name in names or cases_of(sizes):
        case = cases_of(sizes)[name]

        def one_fit(*callbacks: Callback, case: Case = case) -> dict[str, Any]:
            found = fit(case, sizes, *callbacks)
            for callback in callbacks:
                assert not isinstance(callback, GammaLRSearch) or same_on_all_ranks(told(callback))
            return found

        check_one_candidate(one_fit, **RANGE, **case.search)
        if case.follows:
            check_many_candidates(one_fit, **RANGE, **case.search)


def short(out: Path, sizes: Sizes) -> None:
    """Candidates that train a part, under annealing and recovery, scored on a part of the validation data."""
    case = Case(lambda: Sharded(whole=True), {"max_epochs": 3})
    search = searching_in_part(score_samples=14)
    searched = fit(case, sizes, search)
    assert same_on_all_ranks(told(search))
    # each part of the data is scored once, however many ranks read it
    assert {len(result.parts) for record in search.history for result in record.results} == {14}
    assert [record.share for record in search.history] == [0.6, 0.4, 0.4]
    found = differences(fit(case, sizes, known(search)), searched)
    assert found == [], found


def recovery(out: Path, sizes: Sizes) -> None:
    """A run that loses ground goes back to its best epoch, each rank to its own shards of it."""
    case = Case(LosesGround, {"max_epochs": 4})
    search = _once()
    searched = fit(case, sizes, search)
    assert [rate.returned_to for rate in search.rates] == [None, None, 0, 0], search.rates
    found = differences(fit(case, sizes, GoesBack([rate.start for rate in search.rates], {2: 0, 3: 0})), searched)
    assert found == [], found


def _once() -> GammaLRSearch:
    sampler = ListSampler([0.2])
    return gamma_search("once", sampler=sampler, objective="val_acc", monitor_loss="judged", annealing="constant")


def _gamma() -> GammaLRSearch:
    return gamma_search("thesis", sampler="gamma", first_random=2, first_model=1, progress=False)


def resume(out: Path, sizes: Sizes, name: str) -> None:
    """A run that is stopped after any epoch and resumed ends as the run that never stopped."""
    make: dict[str, tuple[Case, Callable[[], GammaLRSearch], list[int]]] = {
        "gamma": (Case(lambda: Sharded(make=adamw, norm=False, uneven_draws=True)), _gamma, [0, 1]),
        "in part": (Case(lambda: Sharded(norm=False, uneven_draws=True)), searching_in_part, [0, 1]),
        "recovery": (Case(lambda: LosesGround(norm=False)), _once, [0, 1, 2]),
        "one file": (Case(lambda: LosesGround(norm=False), strategy=ONE_FILE), _once, [1]),
    }  # fmt: skip
    case, search, epochs = make[name]
    length = {"max_epochs": epochs[-1] + 2, "enable_checkpointing": True}

    def saved(folder: str, checkpoint: Path | None = None) -> dict[str, Any]:
        callback = search()
        keep = ModelCheckpoint(out / folder, filename="{epoch}", save_top_k=-1)
        found = fit(case, sizes, callback, keep, resume=checkpoint, **length)
        told_ = [(rate.epoch, rate.start, rate.end, rate.returned_to) for rate in callback.rates]
        parts = ("parameters", "optimizer state", "groups", "steps")
        return {part: found[part] for part in parts} | {"history": told(callback), "rates": told_}

    whole = saved("whole")
    for epoch in epochs:
        found = differences(whole, saved(f"resumed{epoch}", out / "whole" / f"epoch={epoch}.ckpt"))
        assert found == [], f"resumed after epoch {epoch}: {found}"


_RUN = (Case(lambda: LosesGround(norm=False)), {"max_epochs": 3, "enable_checkpointing": True})


class Held(Callback):
    """Notes the best weights, whole, as a fit begins to train and as it ends."""

    def __init__(self, search: GammaLRSearch) -> None:
        self.search = search
        self.found: list[Any] = []

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.note()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.note()

    def note(self) -> None:
        best = self.search.state_dict()["recovery"]["best_weights"]
        whole = apply_to_collection(best["held"], torch.Tensor, _whole)
        self.found.append(plain([best["best"], best["losses"], whole]))


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def save(out: Path, sizes: Sizes) -> None:
    """Write a checkpoint within a run, and what the best weights were then."""
    case, options = _RUN
    search = _once()
    held = Held(search)
    fit(case, sizes, search, held, ModelCheckpoint(out, filename="{epoch}", save_top_k=-1), **options)
    if torch.distributed.get_rank() == 0:
        (out / "held.pkl").write_bytes(pickle.dumps(held.found))


def load(out: Path, sizes: Sizes) -> None:
    """Go on with another number of ranks: the best weights are the same ones."""
    case, options = _RUN
    search = _once()
    held = Held(search)
    fit(case, sizes, search, held, resume=out / "epoch=1.ckpt", **options)
    saved = pickle.loads((out / "held.pkl").read_bytes())  # as training began, then after each epoch
    assert held.found[0] == saved[2]
    assert held.found[0] != saved[0]
    assert [record.epoch for record in search.history] == [0]


def memory(out: Path, sizes: Sizes) -> None:
    """The start of an epoch and its leader each hold this rank's shards, and nothing of the others'."""
    held: list[int] = []
    native = EpochRunner.commit

    def commit(self: Any, lr: float) -> float:
        images = [self._start._image, self._leader.state._image]
        held.extend(sum(map(_held_bytes, image._tensors)) for image in images)
        return native(self, lr)

    found: list[tuple[int, int]] = []

    class Measures(Callback):
        def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
            reshard(pl_module)
            states = [state for one in trainer.optimizers for state in one.state.values()]
            tensors = [*pl_module.parameters(), *(value for state in states for value in state.values())]
            sharded = [tensor for tensor in tensors if wrapped_parts(tensor)]
            shards = [part for tensor in sharded for part in wrapped_parts(tensor).values()]
            found.append((sum(map(_bytes, shards)), sum(map(_bytes, sharded))))

    with replaced(EpochRunner, "commit", commit):
        fit(Case(lambda: Sharded(make=adamw)), sizes, searching(**RANGE), Measures())
    shard, whole = found[0]
    assert shard < 0.6 * whole, found
    assert held[2:] == [shard, shard], (held, found)  # from the second epoch on the optimizer has a state


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _held_bytes(image: Any) -> int:
    return sum(_bytes(part._values) for part in image._parts.values())


class Fails(Sharded):
    """From its third batch on, at every rate but the configured one.

    Args:
        how: ``nan``, ``raises`` (after the forward pass), ``within`` (before it), ``forward`` and ``backward`` (out of
            memory there).
        rank: on which rank; None for all.
    """

    def __init__(self, how: str, rank: int | None) -> None:
        super().__init__(whole=True)
        self.how, self.rank = how, rank

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.how == "within" and troubled(self, batch_idx):
            raise RuntimeError("boom within a step")
        return fails(self, super().training_step(batch, batch_idx), batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        if self.how == "validation" and troubled(self, 2):
            raise RuntimeError("boom in a validation")
        return super().validation_step(batch, batch_idx)


class FailsUnderDDP(Net):
    def __init__(self, how: str, rank: int | None) -> None:
        super().__init__()
        self.how, self.rank = how, rank

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return fails(self, super().training_step(batch, batch_idx), batch_idx)


class _NoMemory(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory: of the test")


def troubled(module: Any, batch_idx: int) -> bool:
    here = module.rank in (None, module.global_rank)
    return here and batch_idx >= 2 and module.trainer.optimizers[0].param_groups[0]["lr"] != PRESENT


def fails(module: Any, loss: torch.Tensor, batch_idx: int) -> torch.Tensor:
    if not troubled(module, batch_idx) or module.how == "validation":
        return loss
    if module.how == "raises":
        raise RuntimeError("boom on one rank")
    if module.how == "forward":
        raise torch.OutOfMemoryError("CUDA out of memory: of the test")
    return _NoMemory.apply(loss) if module.how == "backward" else loss * math.nan


def trouble(out: Path, sizes: Sizes, how: str, where: str, expected: str, strategy: str = "sharded") -> None:
    """What becomes of a candidate that fails, on one rank or on all."""
    rank = None if where == "all" else int(where)
    search = searching(**RANGE)
    if strategy == "ddp":
        seed_everything(1, verbose=False)
        trainer = Trainer(
            accelerator="cpu", devices=math.prod(sizes), strategy=DDPStrategy(), callbacks=[search], max_epochs=2,
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        module: nn.Module = FailsUnderDDP(how, rank)
        trainer.fit(module, DataLoader(TRAIN, 4, shuffle=True), DataLoader(VAL, 5))  # type: ignore[arg-type]
        searched = {"parameters": plain(dict(module.named_parameters()))}
    else:
        searched = fit(Case(lambda: Fails(how, rank)), sizes, search)
        followed = fit(Case(lambda: Sharded(whole=True)), sizes)
        # the present rate won, and what failed has left no trace
        assert differences(followed, searched) == []
    assert states(search) == [["complete", expected, expected]] * 2, [
        r.message for x in search.history for r in x.results
    ]
    assert same_on_all_ranks(told(search))
    assert strategy == "sharded" or same_on_all_ranks(searched["parameters"])


TASKS: dict[str, Callable[..., None]] = {
    task.__name__: task for task in (identity, short, recovery, resume, save, load, memory, trouble)
}


def main(out: str, sizes: str, task: str, *arguments: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    data, tensor = map(int, sizes.split("x"))
    TASKS[task](Path(out), (data, tensor), *arguments)
    torch.distributed.destroy_process_group()
    Path(out, f"{os.environ['RANK']}.done").touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
