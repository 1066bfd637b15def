"""Candidates that train together: the same batches, each its own rate, until the last batch or their divergence."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gammabo.records import TrialState
from lightning_gammabo.vectorised.optimizers import StackedOptimizer, clip
from lightning_gammabo.vectorised.stacked import Context, StackedModel

__all__ = ["StackedResult", "VectorisedTrainer", "train_stacked"]

Rates = Callable[[int], Sequence[Sequence[float]]]


class VectorisedTrainer:
    """Trains K candidates from the state that a module and its optimizer are in now.

    Module and optimizer are read here and written by :meth:`write_back` alone. Of the rest, each step draws random
    numbers as one candidate would, and ``training_step`` may write to the module's Python attributes (what it writes
    there is of no use: see :func:`~lightning_gammabo.vectorised.check_equal`, which refuses such modules). Counters,
    schedulers, logged values and torchmetrics do not move.

    Args:
        module: the module, in training mode.
        optimizers: its optimizers: one, torch's ``SGD``, ``Adam`` or ``AdamW``.
        candidates: K.
        rates: asked for by the batch's number just before a step: each candidate's rate for each parameter group.
        clip_val: the Trainer's ``gradient_clip_val``.
        clip_algorithm: the Trainer's ``gradient_clip_algorithm``.
        accumulate: the Trainer's ``accumulate_grad_batches``.
        context: entered around each training step, such as the precision plugin's ``train_step_context``.

    Raises:
        ValueError: if there is not one optimizer with a stacked form, or no candidate.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizers: Sequence[Any],
        *,
        candidates: int,
        rates: Rates,
        clip_val: float | None = None,
        clip_algorithm: str | None = None,
        accumulate: int = 1,
        context: Context = contextlib.nullcontext,
    ) -> None:
        if len(optimizers) != 1 or candidates < 1:
            raise ValueError(
                f"VectorisedTrainer needs one optimizer and at least one candidate, got {len(optimizers)} optimizers "
                f"and candidates={candidates}; train one candidate after the other"
            )
        groups = [group["params"] for group in optimizers[0].param_groups]
        self._model = StackedModel(module, groups, candidates, context=context)
        self._optimizer = StackedOptimizer(optimizers[0], self._model.flat, self._model.columns)
        self._rates = rates
        self._clip = (clip_val, clip_algorithm)
        self._accumulate = accumulate
        self._gathered: Tensor | None = None
        device = self._model.flat.device
        self._alive = torch.ones(candidates, dtype=torch.bool, device=device)
        # where a look costs a synchronisation, the dead are passed over without looking whether there are any
        self._looks = device.type == "cpu"
        self._losses: list[Tensor] = []
        self._history: list[Tensor] = []

    def step(self, batch: Any, batch_idx: int, *, last: bool = False) -> None:
        """Train all candidates on one batch.

        A candidate whose loss or whose new weights are not finite keeps the weights and buffers from before the
        batch, and trains no more.

        Args:
            batch: the batch, on its device.
            batch_idx: its number in the epoch.
            last: whether it is the epoch's last, after which accumulated gradients are used whatever their number.
        """
        losses, gradients = self._model.gradients(batch, batch_idx, divisor=float(self._accumulate))
        ok = self._alive & losses.isfinite()
        if self._accumulate > 1:
            begins = batch_idx % self._accumulate == 0 or self._gathered is None
            gradients = self._gathered = gradients if begins else self._gathered.add_(gradients)  # type: ignore[union-attr]
        if last or (batch_idx + 1) % self._accumulate == 0:
            ok = self._update(gradients, batch_idx, ok)
        self._alive = ok
        self._model.take_buffers(None if self._looks and bool(ok.all()) else ok)
        self._losses.append(losses)
        self._history.append(ok)

    def _update(self, gradients: Tensor, batch_idx: int, ok: Tensor) -> Tensor:
        flat = self._model.flat
        before = flat.clone()
        self._optimizer.step(clip(gradients, *self._clip), self._rates(batch_idx))
        ok = ok & flat.sum(dim=1).isfinite()
        if not (self._looks and bool(ok.all())):
            flat.copy_(torch.where(ok.unsqueeze(1), flat, before))
        return ok

    @property
    def losses(self) -> list[list[float]]:
        """Each candidate's training losses, batch by batch, up to and with the batch at which it diverged."""
        rows = torch.stack(self._losses, dim=1).tolist() if self._losses else [[] for _ in self._alive]
        ends = self.diverged_at
        return [row if end is None else row[: end + 1] for row, end in zip(rows, ends, strict=True)]

    @property
    def diverged_at(self) -> list[int | None]:
        """For each candidate the number of batches that it had trained before it diverged; None if it did not."""
        if not self._history:
            return [None for _ in self._alive]
        trained = torch.stack(self._history).sum(dim=0).tolist()
        return [None if count == len(self._history) else int(count) for count in trained]

    def any_alive(self) -> bool:
        """Whether a candidate still trains; looking waits for the device.

        Returns:
            False once all have diverged.
        """
        return bool(self._alive.any())

    def buffers_of(self, candidate: int) -> dict[str, Tensor]:
        """Copies of a candidate's buffers.

        Args:
            candidate: its number, from 0.

        Returns:
            The buffers by the module's names.
        """
        return self._model.buffers_of(candidate)

    def write_back(self, candidate: int) -> None:
        """Write a candidate's parameters and buffers into the module, its state into the optimizer, in place.

        Args:
            candidate: its number, from 0.
        """
        self._model.write_back(candidate)
        self._optimizer.write_back(candidate)


@dataclass(frozen=True, slots=True, eq=False)
class StackedResult:
    """What became of K candidates.

    Args:
        losses: each candidate's training losses, batch by batch, up to its divergence.
        diverged_at: for each the batch at which it diverged, from 0, or None.
        trainer: holds their weights.
    """

    losses: tuple[tuple[float, ...], ...]
    diverged_at: tuple[int | None, ...]
    trainer: VectorisedTrainer

    @property
    def states(self) -> tuple[TrialState, ...]:
        """Whether each candidate is complete or diverged."""
        return tuple(TrialState.COMPLETE if at is None else TrialState.DIVERGED for at in self.diverged_at)

    @property
    def best(self) -> int | None:
        """The candidate with the lowest mean loss of its last quarter; None if all diverged."""
        means = {
            number: sum(tail) / len(tail)
            for number, (row, state) in enumerate(zip(self.losses, self.states, strict=True))
            if state is TrialState.COMPLETE and (tail := row[-max(1, len(row) // 4) :])
        }
        return min(means, key=means.__getitem__, default=None)

    def write_back(self, candidate: int) -> None:
        """Write a candidate's weights and optimizer state back, in place.

        Args:
            candidate: its number, from 0.
        """
        self.trainer.write_back(candidate)


def train_stacked(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Any],
    rates: Sequence[Sequence[float]],
    **options: Any,
) -> StackedResult:
    """Train K candidates on the same batches.

    Args:
        module: the module, in training mode; it is written to by :meth:`StackedResult.write_back` alone.
        optimizer: its optimizer.
        batches: the batches, on their device.
        rates: each candidate's rate of the optimizer's first group, batch by batch: ``K x batches``, or one for all
            batches. The rates of the other groups keep their ratio to it.
        **options: of :class:`VectorisedTrainer`.

    Returns:
        What became of them.

    Raises:
        ValueError: if a rate is missing, or the first group's present rate is zero while there are others.

    Example:
        >>> class Line(nn.Linear):
        ...     def training_step(self, batch):
        ...         return self(batch[0]).sub(batch[1]).square().mean()
        >>> _ = torch.manual_seed(0)
        >>> model, data = Line(1, 1), [(torch.ones(4, 1), torch.ones(4, 1))] * 5
        >>> result = train_stacked(model, torch.optim.SGD(model.parameters(), lr=0.1), data, [[0.001], [0.1], [1e30]])
        >>> result.best, [state.value for state in result.states], [len(row) for row in result.losses]
        (1, ['complete', 'complete', 'diverged'], [5, 5, 2])
    """
    batches = list(batches)
    if not rates or any(len(row) not in (1, len(batches)) for row in rates):
        raise ValueError(
            f"train_stacked(rates=...) needs one rate, or one for each of the {len(batches)} batches, for every "
            f"candidate; got {[len(row) for row in rates]}"
        )
    present = [float(group["lr"]) for group in optimizer.param_groups]
    if len(present) > 1 and present[0] == 0.0:
        raise ValueError("train_stacked: the first group's rate is 0, so that the other groups' have no ratio to it")
    ratios = [1.0, *(rate / present[0] for rate in present[1:])]

    def of_batch(number: int) -> list[list[float]]:
        return [[row[number if len(row) > 1 else 0] * ratio for ratio in ratios] for row in rates]

    trainer = VectorisedTrainer(module, [optimizer], candidates=len(rates), rates=of_batch, **options)
    for number, batch in enumerate(batches):
        trainer.step(batch, number, last=number == len(batches) - 1)
    losses = tuple(tuple(row) for row in trainer.losses)
    assert all(math.isfinite(loss) for row in losses for loss in row[:-1])
    return StackedResult(losses, tuple(trainer.diverged_at), trainer)
