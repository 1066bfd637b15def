"""The validation that scores a candidate: a fixed part of the user's validation data, or loaders of its own."""

from __future__ import annotations

import contextlib
import math
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, Subset
from torch.utils.data.distributed import DistributedSampler

from lightning_gammabo.trainer.distributed import data_part
from lightning_gammabo.trainer.patch import replaced

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["ScoringSet", "running_sums", "scoring_loader"]

PAIRS = 8
"""batches that a part of the data is read in at the least: as many pairs compare two candidates"""


class ScoringSet:
    """What candidates are scored on, the same for all candidates of a fit.

    Args:
        samples: validation samples, drawn once by ``seed``; None for the user's whole validation.
        own: loader, or list of loaders, to score on instead of the user's; None for none.
        seed: of the choice of samples.
        tells: whether candidates can be ranked by what a validation has logged.

    Attributes:
        ratio: samples that a scoring reads for each training sample, as counted; None before a candidate was scored.
        tells: as given.
        share: share of the user's validation data that a scoring reads.
        scored: samples that a scoring reads, on all ranks together; None for the user's whole validation.
        active: whether the validation loop reads these data now.
    """

    def __init__(
        self,
        samples: int | None,
        own: Any = None,
        *,
        seed: int = 0,
        tells: Callable[[Mapping[str, float]], bool] = bool,
    ) -> None:
        self.tells = tells
        self.ratio: float | None = None
        self.share = 1.0
        self.scored: int | None = None
        self.active = False
        self._samples = samples
        self._own = own
        self._seed = seed
        self._made_for: list[Any] | None = None
        self._combined: Any = None
        self._limits: list[int | float] = []

    @property
    def unsized(self) -> bool:
        """Whether the loaders that stand instead of the user's do not tell their size."""
        return self._own is not None and self.own_samples is None

    @property
    def own_samples(self) -> int | None:
        """Samples of the loaders that stand instead of the user's; None where there are none, or they do not tell."""
        size = _size_of(self._owns) if self._own is not None else None
        return None if size is None else int(size)

    @property
    def _owns(self) -> list[Any]:
        return list(self._own) if isinstance(self._own, (list, tuple)) else [self._own]

    @contextlib.contextmanager
    def read_by(self, trainer: Trainer) -> Iterator[None]:
        """Let the Trainer's validation loop read these data within the block.

        Args:
            trainer: the Trainer, inside ``fit``.

        Yields:
            Nothing.
        """
        if self._samples is None and self._own is None:
            yield
            return
        loop: Any = trainer.fit_loop.epoch_loop.val_loop
        loop.setup_data()  # as the user's own validation would, so that its loaders are there
        if loop._combined_loader is None or not self._make(trainer, loop):
            yield
            return
        with (
            replaced(loop, "setup_data", lambda: None),
            replaced(loop, "_combined_loader", self._combined),
            replaced(loop, "_max_batches", self._limits),
            replaced(loop, "_seen_batches_per_dataloader", defaultdict(int)),
            replaced(self, "active", True),
        ):
            yield

    def _make(self, trainer: Trainer, loop: Any) -> bool:
        users = loop._combined_loader
        if self._made_for is not None and all(map(operator.is_, users.flattened, self._made_for)):
            return self._combined is not None
        self._made_for = list(users.flattened)
        self._combined, self.share, self.scored = None, 1.0, None
        loaders, limits = self._owns, [math.inf] * len(self._owns)
        if self._own is None:
            pairs = list(zip(users.flattened, loop._max_batches, strict=True))
            parts = [self._part_of(loader, limit, trainer) for loader, limit in pairs]
            if all(part is None for part in parts):
                return False
            # what is read whole keeps the user's limit
            loaders = [whole if part is None else part for part, (whole, _) in zip(parts, pairs, strict=True)]
            limits = [limit if part is None else math.inf for part, (_, limit) in zip(parts, pairs, strict=True)]
        mine, theirs = _size_of(loaders), _size_of(users.flattened)
        self.share = mine / theirs if mine is not None and theirs else 1.0
        self.scored = None if mine is None else int(mine) * trainer.world_size
        # the user's own class of combination, of whichever Lightning this is
        self._combined = type(users)(loaders if len(loaders) > 1 else loaders[0], "sequential")
        self._limits = [min(limit, _batches_of(loader)) for loader, limit in zip(loaders, limits, strict=True)]
        return True

    def _part_of(self, loader: Any, limit: float, trainer: Trainer) -> Any:
        # a loader of some samples of a map-style loader; None where it has no more of them, or is none
        samples = self._samples
        if samples is None or type(loader) is not DataLoader or loader.batch_size is None:
            return None
        known = isinstance(loader.sampler, (SequentialSampler, RandomSampler, DistributedSampler))
        if not known or limit < _batches_of(loader):
            return None
        total = len(loader.dataset)  # type: ignore[arg-type]
        if total <= samples:
            return None
        draw = torch.Generator().manual_seed(self._seed)
        chosen = torch.randperm(total, generator=draw)[:samples].sort().values.tolist()
        if isinstance(loader.sampler, DistributedSampler):
            part, parts = data_part(trainer)
            chosen = chosen[: max(len(chosen) // parts, 1) * parts][part::parts]
        return DataLoader(
            Subset(loader.dataset, chosen),
            batch_size=max(1, min(loader.batch_size, len(chosen) // PAIRS)),
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
        )


def scoring_loader(wanted: Any, trainer: Trainer, pl_module: LightningModule) -> Any:
    """The loader that candidates are scored on, where the user names one.

    Args:
        wanted: the loader, or the name of a method that gives it; None for none.
        trainer: the Trainer.
        pl_module: the user's module.

    Returns:
        The loader, or None.

    Raises:
        TypeError: if it is no loader, nor the method gives one.
        ValueError: if there is no such method, or the loader has no batch.
    """
    loader = wanted
    if isinstance(wanted, str):
        owners = (getattr(trainer, "datamodule", None), pl_module)
        methods = [getattr(owner, wanted) for owner in owners if callable(getattr(owner, wanted, None))]
        if not methods:
            raise ValueError(
                f"GammaLRSearch(val_dataloaders={wanted!r}): neither the data module nor the module has a method of "
                "that name that gives a loader; write one, or pass the loader itself"
            )
        loader = methods[0]()
    if wanted is not None and not hasattr(loader, "__iter__"):
        raise TypeError(
            f"GammaLRSearch(val_dataloaders={wanted!r}): need a loader, or the name of a method that gives one, "
            f"not {type(loader).__name__}"
        )
    if wanted is not None and hasattr(loader, "__len__") and len(loader) == 0:
        raise ValueError(f"GammaLRSearch(val_dataloaders={wanted!r}): the loader has no batch to score on")
    return loader


def running_sums(trainer: Trainer) -> Mapping[str, tuple[Tensor, Tensor]]:
    """What the validation that goes on has added up so far.

    Args:
        trainer: the Trainer, in ``on_validation_batch_end``.

    Returns:
        Sum and weight by name, for each plain value that is logged as a mean; the differences between two batches
        are the batch's own mean. Metric objects add up inside and are not among them.
    """
    sums: dict[str, tuple[Tensor, Tensor]] = {}
    results: Any = trainer.fit_loop.epoch_loop.val_loop._results
    for result in results.values():
        if result.is_tensor and result.meta.on_epoch and result.meta.is_mean_reduction:
            name, loader = result.meta.name, result.meta.dataloader_idx
            suffixed = name if loader is None else f"{name}/dataloader_idx_{loader}"
            sums[suffixed] = (result.value, result.cumulated_batch_size)
    return sums


def _size_of(loaders: Iterable[Any]) -> float | None:
    # samples that this rank reads; None where one of the loaders does not tell
    total = 0.0
    for loader in loaders:
        sizes = [_length_of(getattr(loader, name, None)) for name in ("sampler", "dataset")]
        known = [size for size in sizes if size is not None]
        if not known:
            return None
        total += known[0]
    return total


def _batches_of(loader: Any) -> float:
    length = _length_of(loader)
    return math.inf if length is None else length


def _length_of(part: Any) -> int | None:
    try:
        return len(part)
    except (TypeError, NotImplementedError):
        return None
