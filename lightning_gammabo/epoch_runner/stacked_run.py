"""Candidates trained together in the Trainer's own loop: one walk through the epoch, K sets of weights.

The true ``epoch_loop.run`` hands out the batches, counts and moves the rates; only ``automatic_optimization.run`` is a
stand-in that trains all candidates on the batch. At the end each candidate's weights are written into the module in
turn, and it is validated as one that trained alone. None is kept: the winner is trained once more, natively.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lightning_gammabo.epoch_runner.runner import CandidateEnded, EpochRunner
from lightning_gammabo.epoch_runner.stacking import Stacking
from lightning_gammabo.probe import CHECK_EVERY, Diverged
from lightning_gammabo.records import Outcome, TrialState
from lightning_gammabo.stand_in import replaced
from lightning_gammabo.vectorised import VectorisedTrainer, check_equal

__all__ = ["StackingRunner", "trained_by"]

_CHECKED_BATCHES = 3
_TOLERANCE = 1e-5
_TOLERANCES = {"bf16-mixed": 1e-2}
"""largest difference of a loss by the Trainer's precision; a bfloat16 has 8 bits"""
_CALMER = (1.0, 1e-2, 1e-4)
"""what the rates of the check are multiplied by: where the present one explodes, roundings grow beyond any tolerance"""


class StackingRunner(EpochRunner):
    """Trains several candidates together where the fit's module allows it.

    Args:
        *args: as of :class:`~lightning_gammabo.epoch_runner.EpochRunner`.
        stacking: what is known of the fit; None to train one after the other.
        **options: as of :class:`~lightning_gammabo.epoch_runner.EpochRunner`.

    Attributes:
        wasted: passes over the training data that were spent in vain, by candidates that could not be trained together.
    """

    def __init__(self, *args: Any, stacking: Stacking | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.wasted = 0.0
        self._stacking = stacking
        self._present = self.rates.current()
        self._together: dict[float, list[Tensor]] = {}
        self._recorded = self._tape is None
        self._walked = 0

    def trains_together(self) -> bool:
        """Whether :meth:`train_many` trains candidates in one; the first time, a few batches are trained both ways.

        Returns:
            Whether it does; where not, one line has said why.
        """
        stacking = self._stacking
        if stacking is None or not stacking.may_be(self._trainer, self._module):
            return False
        if self._until is None and not isinstance(self._trainer.num_training_batches, int):
            stacking.say("the length of the epoch is not known")
            return False
        if not self._recorded:
            return False
        if not any(self._present):
            stacking.say("the epoch begins at a rate of 0")
            return False
        stamp = self._stamp()
        if stacking.checked != stamp:
            reason = self._why_unequal()
            if reason is not None:
                stacking.refuse(reason)
                return False
            stacking.checked = stamp
        return True

    def train(self, lr: float) -> Outcome:
        """Train the epoch, or its first part, from the start state at one rate, and validate it.

        Args:
            lr: the reference rate.

        Returns:
            What came of it.
        """
        outcome = super().train(lr)
        # batches that cannot be read twice are kept with the random numbers that a native run had drawn by then
        self._recorded |= outcome.state is TrialState.COMPLETE
        return outcome

    def train_many(self, lrs: Sequence[float], usable: Callable[[Outcome], bool]) -> list[Outcome] | None:
        """Train the epoch, or its first part, from the start state at several rates, and validate each.

        Where that fails, one line says why, and it is not tried again in this fit. None is held for :meth:`commit`.

        Args:
            lrs: the reference rates.
            usable: whether an outcome has what it is to be ranked by: what ``training_step`` logs is not in it.

        Returns:
            What came of them, none of it DROPPED; None where they have to be trained one after the other.
        """
        assert self._stacking is not None
        try:
            outcomes = self._train_stacked(lrs)
            if all(map(usable, outcomes)):
                return outcomes
            reason = "what they are ranked by is logged by training_step"
        except Exception as error:  # what is the user's own fault comes again when they are trained in turn
            reason = f"training them together failed ({_first_line(error)})"
        self._stacking.refuse(reason)
        total = self._trainer.num_training_batches
        self.wasted += len(lrs) * self._walked / total if isinstance(total, int) and total else 0.0
        if self._trainer.strategy.root_device.type == "cuda":
            torch.cuda.empty_cache()  # now that no frame of the stacked run is held any more
        return None

    def commit(self, lr: float) -> float:
        """Make the winner's epoch the training's epoch; one that was trained together with others is trained again.

        Args:
            lr: the winner's reference rate.

        Returns:
            The reference rate that the epoch was trained at.
        """
        self._rival = self._together.get(lr, self._rival)  # what the guard compares the epoch's loss with
        return super().commit(lr)

    def _train_stacked(self, lrs: Sequence[float]) -> list[Outcome]:
        if not self._fresh:
            self._rewind()
        self._fresh, self._ended, self._walked = False, None, 0
        began = time.perf_counter()
        groups = self._trainer.optimizers[0].param_groups
        ratios = [lr / self.rates.reference for lr in lrs]

        def rates(_: int) -> list[list[float]]:
            # read off just before each step: they follow the anchor, and schedulers that are scaled
            present = [float(group["lr"]) for group in groups]
            return [[rate * ratio for rate in present] for ratio in ratios]

        stacked = VectorisedTrainer(
            self._module, self._trainer.optimizers, candidates=len(lrs), rates=rates, **self._options()
        )

        def train_batch(batch: Any, batch_idx: int, steps: bool) -> None:
            self._walked += 1
            stacked.step(batch, batch_idx, last=steps)
            if (batch_idx + 1) % CHECK_EVERY == 0 and not stacked.any_alive():
                raise Diverged("all candidates diverged")

        def reach(fetcher: Any, *, tail: bool) -> list[Outcome]:
            return self._score_each(stacked, lrs, began)

        with self._aside.entered(), trained_by(self._trainer, train_batch):
            try:
                outcomes = self._train_to_the_end(reach)
            except Diverged:
                outcomes = reach(self._fetcher, tail=False)
        self._at = self._loop.batch_progress.current.ready
        return outcomes

    def _score_each(self, stacked: VectorisedTrainer, lrs: Sequence[float], began: float) -> list[Outcome]:
        trained, frees = self._loop.batch_progress.current.ready, not self._loop._should_accumulate()
        losses, diverged = stacked.losses, stacked.diverged_at
        image = self._state()
        shared = (time.perf_counter() - began) / len(lrs)
        outcomes = []
        for number, (lr, at) in enumerate(zip(lrs, diverged, strict=True)):
            start = time.perf_counter()
            # in turn Lightning divides the loss that is kept, as it does for the gradients that are added up
            self._together[lr] = list(torch.tensor(losses[number]) / self._trainer.accumulate_grad_batches)
            with self._aside.in_turn(trained, self._together[lr]) as probe:
                if at is None:
                    stacked.write_back(number)
                    self._validation.rewind()
                    outcome = self._aside.outcome(TrialState.COMPLETE, probe, self._score(frees))
                    image.restore()
                else:
                    # it goes on costing its share of each step
                    message = f"training loss not finite at step {at + 1}"
                    outcome = self._aside.outcome(TrialState.DIVERGED, probe, message=message)
                    outcome = replace(outcome, steps=at // self._trainer.accumulate_grad_batches)
            outcomes.append(replace(outcome, seconds=shared + time.perf_counter() - start))
        return outcomes

    def _why_unequal(self) -> str | None:
        batches = self._first_batches(max(_CHECKED_BATCHES, self._trainer.accumulate_grad_batches + 1))
        self._rewind()
        if len(batches) < 2:
            return "an epoch of one batch says too little about whether it gives the same"
        for calmer in _CALMER:
            present = [rate * calmer for rate in self._present]
            pair = [present, [rate / 2 for rate in present]]
            reason = self._compared(batches, pair)
            if reason is None or "differs" not in reason:
                break
        return reason

    def _compared(self, batches: Sequence[Any], pair: Sequence[Sequence[float]]) -> str | None:
        options = {**self._options(), "tolerance": _TOLERANCES.get(str(self._trainer.precision), _TOLERANCE)}
        try:
            return check_equal(self._module, self._trainer.optimizers, batches, lambda _: pair, **options)
        except Exception as error:  # what is the user's own fault comes again in training
            return f"a few batches by hand failed ({_first_line(error)})"

    def _first_batches(self, count: int) -> list[Any]:
        if not self._fresh:
            self._rewind()
        self._fresh = False
        batches: list[Any] = []

        def collect(batch: Any, batch_idx: int, steps: bool) -> None:
            batches.append(batch)
            if len(batches) == count:
                raise CandidateEnded

        with self._aside.entered(), trained_by(self._trainer, collect):
            self._train_to_the_end(lambda fetcher, tail: None)
        return batches

    def _options(self) -> dict[str, Any]:
        trainer = self._trainer
        return {
            "clip_val": trainer.gradient_clip_val,
            "clip_algorithm": trainer.gradient_clip_algorithm,
            "accumulate": trainer.accumulate_grad_batches,
            "context": trainer.precision_plugin.train_step_context,
        }

    def _stamp(self) -> object:
        # what the check found holds as long as the same parameters are trained in the same way
        parameters = [p for group in self._trainer.optimizers[0].param_groups for p in group["params"]]
        return self._trainer.accumulate_grad_batches, [(id(p), p.requires_grad) for p in parameters]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__


@contextlib.contextmanager
def trained_by(trainer: Any, train_batch: Callable[[Any, int, bool], object]) -> Iterator[None]:
    """Have the Trainer's loop hand its batches to a function, and count as if its own optimizer had stepped.

    Args:
        trainer: the Trainer, inside ``fit``, with automatic optimisation.
        train_batch: trains a batch; told its index, and whether the optimizer is to step.

    Yields:
        None, while it is so.
    """
    loop = trainer.fit_loop.epoch_loop
    progress = loop.automatic_optimization.optim_progress.optimizer

    def run(optimizer: Any, batch_idx: int, kwargs: Any) -> dict[str, Any]:
        steps = not loop._should_accumulate()
        train_batch(kwargs["batch"], batch_idx, steps)
        if batch_idx % trainer.accumulate_grad_batches == 0:
            progress.zero_grad.increment_ready()
            progress.zero_grad.increment_started()
            progress.zero_grad.increment_completed()
        if steps:
            progress.step.increment_ready()
            progress.step.increment_completed()
        return {}

    with replaced(loop.automatic_optimization, "run", run), warnings.catch_warnings():
        # the stacked optimizer steps, torch's own does not
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        yield
