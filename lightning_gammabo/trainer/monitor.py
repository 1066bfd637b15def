"""Watches one candidate: its losses step by step, its validation batch by batch, and whether to cut it short."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from lightning_gammabo.records import has_exploded
from lightning_gammabo.trainer.patch import nothing

__all__ = ["CHECK_EVERY", "HOPELESS", "MONITORED", "CandidateMonitor", "Diverged", "Pruned", "mean_loss"]

CHECK_EVERY = 8
"""steps between two looks at the loss where a look costs a synchronisation"""
HOPELESS = 1.5
"""a candidate whose training loss is this many times the leader's is pruned (measured in docs/policies_method.md)"""

MONITORED = ("on_train_batch_end", "on_validation_batch_end")
"""the hooks that watch"""

Sums = Mapping[str, tuple[Tensor, Tensor]]


class Diverged(Exception):
    """A candidate's loss is not finite, or absurdly large; its epoch is cut short."""


class Pruned(Exception):
    """A candidate's training loss is hopelessly behind; its epoch is cut short.

    Args:
        ratio: its loss over the leader's, on the same batches.
    """

    def __init__(self, ratio: float) -> None:
        super().__init__(f"training loss {ratio:.2f} times the leader's on the same batches")
        self.ratio = ratio


class CandidateMonitor:
    """Watches a candidate: its losses, its batches, and whether it diverges or is hopeless.

    Args:
        agree: makes one decision of all ranks' decisions: True if any says True.
        distributed: whether there are other ranks.
        synchronises: whether reading a loss waits for a device.
        prune_after: batches after which the candidate is compared with ``rival``; None for never.
        rival: the leader's training losses, batch by batch.
        read_sums: what a validation has added up so far, as ``(sum, weight)`` by the metric's name.

    Attributes:
        batches: batches that were trained.
        cooled: how many of them since :meth:`begin_cooling`.
        losses: their training losses.
        samples: samples that were trained.
        validated: samples that validations have read.
    """

    def __init__(
        self,
        agree: Callable[[bool], bool],
        *,
        distributed: bool,
        synchronises: bool,
        prune_after: int | None = None,
        rival: Sequence[Tensor] = (),
        read_sums: Callable[[], Sums] = dict,
        on_batch: Callable[[int], object] = nothing,
    ) -> None:
        self.batches = 0
        self.cooled = 0
        self.losses: list[Tensor] = []
        self.samples = self.validated = 0
        self._before_cooling: int | None = None
        self._agree = agree
        self._distributed = distributed
        self._every = CHECK_EVERY if distributed or synchronises else 1
        self._prune_after = prune_after if rival else None
        self._rival = rival
        self._read_sums = read_sums
        self._on_batch = on_batch
        self._checked = 0
        self._validation: list[Tensor] = []
        self._sums: list[Sums] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Note the step's loss; cut the candidate short where it is not finite, or hopeless.

        Args:
            trainer: not used.
            pl_module: not used.
            outputs: what ``training_step`` gave.
            batch: the batch.
            batch_idx: not used.

        Raises:
            Diverged: on all ranks at the same step.
            Pruned: likewise.
        """
        self.batches += 1
        self.samples += _samples_of(batch)
        self.cooled += self._before_cooling is not None
        self._on_batch(self.batches)
        loss = _loss_of(outputs)
        if loss is not None:
            self.losses.append(loss)
        if self.batches % self._every == 0 or self.batches == self._prune_after:
            self.check()
        if self.batches == self._prune_after:
            ratio = self._behind()
            hopeless = ratio is not None and ratio > HOPELESS
            if not (self._agree(not hopeless) if self._distributed else not hopeless):
                raise Pruned(ratio if ratio is not None else HOPELESS)

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any = None, *args: Any
    ) -> None:
        """Note the loss that ``validation_step`` returns, and what was logged so far.

        Args:
            trainer: not used.
            pl_module: not used.
            outputs: what ``validation_step`` gave.
            batch: the batch.
            *args: indices, not used.
        """
        self.validated += _samples_of(batch)
        loss = _loss_of(outputs)
        if loss is not None:
            self._validation.append(loss)
        self._sums.append(self._read_sums())

    def begin_cooling(self) -> None:
        """The batches that come are trained for the score alone."""
        self._before_cooling = len(self.losses)

    @property
    def kept_losses(self) -> Sequence[Tensor]:
        """The training losses before the cooling, batch by batch."""
        return self.losses[: self._before_cooling]

    @property
    def quarters(self) -> tuple[float, ...]:
        """Mean training loss of each quarter of the batches before the cooling; empty where there are under four."""
        kept = self.kept_losses
        ends = [len(kept) * quarter // 4 for quarter in range(5)]
        means = [mean_loss(kept[begin:end]) for begin, end in itertools.pairwise(ends)]
        return tuple(mean for mean in means if mean is not None) if len(kept) >= 4 else ()

    def check(self) -> None:
        """Look at the losses since the last look.

        Raises:
            Diverged: if one is not finite or absurdly large, on all ranks at the same step.
        """
        fresh, self._checked = self.losses[self._checked :], len(self.losses)
        first = float(self.losses[0]) if self.losses else 0.0
        worst = next((loss for loss in map(float, fresh) if has_exploded(loss, usual=first)), None)
        if self._agree(worst is not None) if self._distributed else worst is not None:
            finite = worst is not None and math.isfinite(worst)
            said = f"of {worst:.3g}, from {first:.3g}," if finite else "not finite"
            raise Diverged(f"training loss {said} at step {self.batches}")

    @property
    def train_loss(self) -> float | None:
        """Mean training loss of the last quarter of the steps, or None."""
        return mean_loss(_last_quarter(self.losses))

    @property
    def val_loss(self) -> float | None:
        """Mean of the losses that ``validation_step`` returned, or None."""
        return mean_loss(self._validation)

    @property
    def val_batches(self) -> dict[str, list[tuple[float, float]]]:
        """Mean and weight of each validation batch, for each metric that is logged as a mean."""
        batches: dict[str, list[tuple[float, float]]] = {}
        before: dict[str, tuple[float, float]] = {}
        for sums in self._sums:
            for name, (total, weight) in sums.items():
                now = (float(total), float(weight))
                then = before.get(name, (0.0, 0.0))
                before[name] = now
                if now[1] > then[1]:
                    added = now[1] - then[1]
                    batches.setdefault(name, []).append(((now[0] - then[0]) / added, added))
        return batches

    def _behind(self) -> float | None:
        # this candidate's loss over the rival's, over the later half of the batches so far
        n = len(self.losses)
        window = slice(n // 2, n)
        own, rival = mean_loss(self.losses[window]), mean_loss(self._rival[window])
        # a leader that was ahead here and lost it later, as one at too high a rate does, is not to be measured by this
        end = mean_loss(_last_quarter(self._rival))
        if own is None or rival is None or end is None or min(own, rival, end) <= 0.0:
            return None
        return own / max(rival, end)


def _last_quarter(losses: Sequence[Tensor]) -> Sequence[Tensor]:
    return losses[-max(1, len(losses) // 4) :]


def _loss_of(outputs: Any) -> Tensor | None:
    loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
    return loss.detach() if isinstance(loss, Tensor) and loss.numel() == 1 else None


def _samples_of(batch: Any) -> int:
    # as many as the first tensor has rows; 1 where there is none, as in a graph
    return next((len(tensor) for tensor in _tensors_of(batch) if tensor.ndim > 0), 1)


def _tensors_of(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (Mapping, list, tuple)):
        for part in tree.values() if isinstance(tree, Mapping) else tree:
            yield from _tensors_of(part)


def mean_loss(losses: Sequence[Tensor]) -> float | None:
    """The mean of some losses.

    Args:
        losses: the losses.

    Returns:
        Their mean, or None where there are none.
    """
    return sum(map(float, losses)) / len(losses) if losses else None
