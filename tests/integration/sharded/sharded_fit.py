"""One rank of sharded fits: ``python -m tests.integration.sharded.sharded_fit OUT SIZES TASK [CASE ...]``.

The environment is torchrun's. SIZES is DATAxTENSOR, as ``2x1``. The tasks are the functions of ``TASKS``; each rank
writes what it found to ``OUT/RANK.pkl``.
"""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.utils.data import DataLoader

from lightning_gammabo import GammaLRSearch
from tests.integration.identity.fingerprint import Calls, fingerprint
from tests.integration.identity.scenarios import TRAIN, VAL
from tests.integration.identity.test_identity import Follows
from tests.integration.sharded.nets import BOTH, FSDP2, TENSOR_PARALLEL, Case

Sizes = tuple[int, int]


def searching(candidates: int = 3, **given: Any) -> GammaLRSearch:
    return GammaLRSearch(
        **{"policy": "thesis", "n_initial": 1, "n_iterations": candidates - 1, "search": "random", "lr_min": 1e-3,
           "lr_max": 0.3, "progress": False, **given}
    )  # fmt: skip


def cases_of(sizes: Sizes) -> dict[str, Case]:
    return FSDP2 if sizes[1] == 1 else TENSOR_PARALLEL if sizes[0] == 1 else BOTH


def fit(case: Case, sizes: Sizes, *callbacks: Callback, **trainer_options: Any) -> dict[str, Any]:
    seed_everything(1, verbose=False)
    calls = Calls()
    strategy = ModelParallelStrategy(data_parallel_size=sizes[0], tensor_parallel_size=sizes[1])
    options = {"max_epochs": 2, "logger": False, "enable_checkpointing": False, **case.trainer, **trainer_options}
    trainer = Trainer(
        accelerator="cpu", devices=sizes[0] * sizes[1], strategy=strategy, callbacks=[*callbacks, calls],
        enable_progress_bar=False, enable_model_summary=False, **options,
    )  # fmt: skip
    module = case.module()
    trainer.fit(module, DataLoader(TRAIN, 4, shuffle=True), DataLoader(VAL, 5))
    return fingerprint(trainer, module, calls)


def identity(out: Path, sizes: Sizes, *names: str) -> Any:
    """For each case: the plain fit, one candidate, three, and the plain fit at the chosen rates."""
    found: dict[str, Any] = {}
    for name in names or cases_of(sizes):
        case = cases_of(sizes)[name]
        fits = found[name] = {"plain": fit(case, sizes)}
        for commit in ("copy", "replay"):
            fits[f"{commit}, one"] = fit(case, sizes, searching(1, commit=commit, **case.search))
            many = searching(commit=commit, **case.search)
            fits[f"{commit}, many"] = fit(case, sizes, many)
            rates = [record.chosen.lr for record in many.history]
            fits[f"{commit}, history"] = told(many)
            if case.follows:
                fits[f"{commit}, followed"] = fit(case, sizes, Follows(rates))
    return found


def told(search: GammaLRSearch) -> list[Any]:
    """Proposals, scores and choices, without times."""
    return [
        (record.epoch, record.chosen_number, [(r.lr, r.state.value, r.score, r.loss, r.parts) for r in record.results])
        for record in search.history
    ]


TASKS = {"identity": identity}


def main(out: str, sizes: str, task: str, *names: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    data, tensor = map(int, sizes.split("x"))
    found = TASKS[task](Path(out), (data, tensor), *names)
    Path(out, f"{torch.distributed.get_rank()}.pkl").write_bytes(pickle.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
