"""The batches of one epoch, kept where the stream that gave them cannot be asked for them again.

Persistent workers, live generators and streams that go on where they stopped give other batches when they are
iterated again. There the first candidate's batches are kept and handed to all others, each with the state of the
random number generators that it came with.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_gammabo.trainer.messages import warn
from lightning_gammabo.trainer.patch import replaced
from lightning_gammabo.trainer.snapshot.restorers import slots_of
from lightning_gammabo.trainer.snapshot.rng import RngState

__all__ = ["EPOCH_LIMIT", "VALIDATION_LIMIT", "BatchCache", "BatchCaches"]

EPOCH_LIMIT = 2 << 30
"""bytes of training batches that are kept at the most"""
VALIDATION_LIMIT = 256 << 20
"""bytes of one validation's batches that are kept at the most; a larger one is read anew each time"""

_OWN = (
    "_batches", "_fetcher", "_first", "_limit", "_overflow", "_position", "_reason", "_regrets", "_size", "_started",
    "done", "fetched",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Entry:
    batch: Any
    rng: RngState
    done: bool
    loaders: list[Any]
    """what stateful loaders say of themselves at that batch"""


class BatchCache:
    """A data fetcher that plays what it has and goes on with the real one where it ends.

    Args:
        fetcher: Lightning's data fetcher.
        reason: why the batches cannot be had again, in words; None lets a stream over the limit go on unkept.
        started: whether the fetcher's iterator already exists (the first epoch of a fit).
        limit: bytes that may be kept.
        regrets: why other batches may come where they are not kept, which is then warned of; None where they do not.

    Attributes:
        fetched: batches given out since the last ``iter``.
        done: whether the last batch was given out.
    """

    def __init__(
        self,
        fetcher: Any,
        reason: str | None,
        *,
        started: bool,
        limit: int = EPOCH_LIMIT,
        regrets: str | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._reason = reason
        self._limit = limit
        self._regrets = regrets
        self._batches: list[_Entry] = []
        self._position = 0
        self._size = 0
        self._overflow: Any = None
        self._started: RngState | None = RngState.take() if started else None
        self._first = _states_of(fetcher) if started else []
        self.fetched: int = fetcher.fetched
        self.done: bool = fetcher.done

    def setup(self, combined_loader: Any) -> None:
        """Let the fetcher read a loader; once it has begun it keeps to that one.

        Args:
            combined_loader: Lightning's combined loader.
        """
        if self._started is None:
            self._fetcher.setup(combined_loader)

    def rewind(self) -> None:
        """Begin again with the first batch."""
        self._position = 0
        self.fetched = 0
        self.done = False

    def seek(self, position: int) -> None:
        """Go on after some batches that were given out before.

        Args:
            position: how many of them.
        """
        self._position = self.fetched = position
        self.done = self._batches[position - 1].done if position else False

    @property
    def complete(self) -> bool:
        """Whether all batches since the beginning are kept."""
        return self._overflow is None

    def keep_no_more(self) -> None:
        """Play what is kept, and then let the fetcher's batches through."""
        self._limit = -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fetcher, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._fetcher, name, value) if name not in _OWN else object.__setattr__(self, name, value)

    def __iter__(self) -> Iterator[Any]:
        if self._started is None:
            iter(self._fetcher)
            self._started, self._first = RngState.take(), _states_of(self._fetcher)
        else:
            self._started.restore()
        self.rewind()
        return self

    @contextlib.contextmanager
    def loaders_of_the_step(self) -> Iterator[None]:
        """Within the block a checkpoint has the states of stateful loaders at the batch that was given out last.

        Yields:
            Nothing.
        """
        loader = self._fetcher.combined_loader
        with replaced(loader, "_state_dicts", self._loader_states):
            yield

    def _loader_states(self) -> list[Any]:
        if self._position and self._position <= len(self._batches):
            return copy.deepcopy(self._batches[self._position - 1].loaders)
        return copy.deepcopy(self._first) if not self._position else _states_of(self._fetcher)

    def __next__(self) -> Any:
        if self._position == len(self._batches) and not self._record():
            return self._unkept()
        entry = self._batches[self._position]
        self._position += 1
        self.fetched += 1
        self.done = entry.done
        entry.rng.restore()
        # a step may write into its batch
        return copy.deepcopy(entry.batch)

    def _record(self) -> bool:
        batch = next(self._fetcher)
        self._size += _size(batch)
        if self._size > self._limit and self._reason is None:
            if self._regrets is not None and self._limit > 0:
                self._regrets, regrets = None, self._regrets
                warn(
                    f"GammaLRSearch: candidates may train on other batches ({regrets}), because one epoch is "
                    f"larger than {self._limit >> 20} MiB and cannot be kept. Take the value out of the loader, or "
                    "limit the epoch with Trainer(limit_train_batches=...)"
                )
            self._overflow = batch
            return False
        if self._size > self._limit:
            raise RuntimeError(
                f"GammaLRSearch: the training batches cannot be asked for again ({self._reason}), so they are kept, "
                f"and one epoch is larger than {self._limit >> 20} MiB. Make the loader repeatable (for a DataLoader "
                "persistent_workers=False), limit the epoch with Trainer(limit_train_batches=...), or do without a "
                "search: GammaLRSearch('identity')."
            )
        states = _states_of(self._fetcher)
        self._batches.append(_Entry(copy.deepcopy(batch), RngState.take(), self._fetcher.done, states))
        return True

    def _unkept(self) -> Any:
        # too much to keep: what was kept is let go, and the next iteration reads the stream itself
        self._batches.clear()
        self._position, self._started = 0, None
        self.fetched += 1
        self.done = self._fetcher.done
        return self._overflow


class BatchCaches:
    """The validations of one epoch, in their order, each with a cache of its own."""

    def __init__(self) -> None:
        self._caches: list[BatchCache] = []
        self._next = 0

    def rewind(self) -> None:
        """The epoch begins again: the next validation is its first."""
        self._next = 0

    def cache_for(self, fetcher: Any) -> BatchCache:
        """The cache of the validation that begins.

        Args:
            fetcher: a new data fetcher, for a validation that has no cache yet.

        Returns:
            A data fetcher that gives the batches that this validation had before.
        """
        if self._next == len(self._caches):
            self._caches.append(BatchCache(fetcher, None, started=False, limit=VALIDATION_LIMIT))
        self._next += 1
        return self._caches[self._next - 1]


def _states_of(fetcher: Any) -> list[Any]:
    # what Lightning puts into a checkpoint; past a stand-in of loaders_of_the_step
    loader = fetcher.combined_loader
    states: list[Any] = copy.deepcopy(type(loader)._state_dicts(loader))
    return states


def _size(tree: Any, seen: set[int] | None = None) -> int:
    # of objects that hold each other, as batches of graphs do, each counts once
    seen = set() if seen is None else seen
    if isinstance(tree, Tensor) and tree.layout is not torch.strided:
        values = (tree.coalesce() if tree.layout is torch.sparse_coo else tree).values()
        return int(values.nbytes) + 8 * tree.ndim * len(values)  # an index is 8 bytes
    if isinstance(tree, (Tensor, np.ndarray)):
        return int(tree.nbytes)
    if isinstance(tree, (str, bytes, bytearray)):
        return len(tree)
    if isinstance(tree, (Mapping, list, tuple)):
        return sum(_size(part, seen) for part in (tree.values() if isinstance(tree, Mapping) else tree))
    if id(tree) in seen or isinstance(tree, type):
        return 0
    seen.add(id(tree))
    parts = [*vars(tree).values()] if hasattr(tree, "__dict__") else []
    return sum(_size(part, seen) for part in parts + [getattr(tree, name, None) for name in slots_of(type(tree))])
