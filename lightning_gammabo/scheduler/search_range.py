"""The learning rates of one fit: whose they are, in which range they are searched, what every epoch had."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_gammabo.bayesopt import LearningRateSpace, Search, make_search
from lightning_gammabo.learning_rate.annealing import AnchorName, progress_of
from lightning_gammabo.learning_rate.controller import LearningRates, Mode, RateGuard
from lightning_gammabo.learning_rate.param_groups import default_range
from lightning_gammabo.policy import EpochPlan
from lightning_gammabo.records import EpochRate, EpochRecord, TrialState
from lightning_gammabo.scheduler.settings import SearchSettings
from lightning_gammabo.trainer.messages import Voice

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["FitRates"]

LOWERED = 10.0
"""where all candidates diverged, rates from a tenth of the lowest of them on are not proposed any more"""
ROLLED_BACK = 2.0
"""where an epoch diverged after its search, rates from half of its own on are not proposed any more"""
HALF = 0.5
"""what a schedule is multiplied by where the run lost ground"""
_ROUNDING = 1e-9


class FitRates:
    """The rates of one fit.

    Args:
        settings: what was asked for.
        voice: says what a user may want to question.

    Attributes:
        by_epoch: the rate of every epoch so far, searched or not.
        anchor: name of the schedule that the rate follows.
        guard: the guard of the optimizers' rates, between :meth:`watch` and :meth:`release`.
        taken_over: whether the rates are the search's: from the first searched epoch on.
    """

    def __init__(self, settings: SearchSettings, voice: Voice) -> None:
        self.by_epoch: list[EpochRate] = []
        self.anchor: AnchorName = settings.policy.anchor
        self.guard: RateGuard | None = None
        self.taken_over = False
        self._settings = settings
        self._voice = voice
        self._state: dict[str, Any] | None = None
        self._lr_max = math.inf
        self._last_good: float | None = None
        self._returned_to: int | None = None  # before the epoch that is trained now

    @property
    def anchor_value(self) -> float:
        """Where the schedule stands, 1 at its height."""
        return self.guard.anchor_value if self.guard is not None else 1.0

    def watch(self, trainer: Trainer, *, epochs: int | None) -> None:
        """Note rates from now on; after a resume, keep them as the stopped run did.

        Args:
            trainer: the Trainer, in ``on_train_start``.
            epochs: epochs of the run; None where that is not known.
        """
        self.guard = RateGuard((), trainer.optimizers, mode="aside")
        if self._state is not None:
            self.take_over(trainer, epochs=epochs)

    def take_over(self, trainer: Trainer, *, epochs: int | None) -> None:
        """From now on the rates are the search's: schedulers are scaled or set aside, the anchor begins.

        Args:
            trainer: the Trainer, at the start of the first searched epoch, or of a resumed run.
            epochs: epochs of the run; None where that is not known.
        """
        mode, self.anchor = self._mode(trainer, epochs)
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        self.guard = RateGuard(schedulers, trainer.optimizers, mode=mode, anchor=self.anchor, state=self._state)
        self.guard.follow(progress_of(trainer, 0))
        self.taken_over, self._state = True, None
        if schedulers and mode != "scale":
            names = ", ".join(sorted({type(scheduler).__name__ for scheduler in schedulers}))
            self._voice.warn(
                f"{names} set aside from epoch {trainer.current_epoch} on: the search writes the learning rate. Choose "
                "lr_schedulers='scale' to have it multiply what the scheduler schedules."
            )

    def release(self) -> None:
        """Give the schedulers back; safe to call twice."""
        if self.guard is not None:
            self._state = self.guard.state_dict() if self.taken_over else None
            self.guard.release()
            self.guard = None

    def note_epoch(self, epoch: int) -> None:
        """Note the rate that an epoch was trained at.

        Args:
            epoch: the epoch, at its end.
        """
        guard = self.guard
        if guard is None or not guard.batches:
            return
        height = guard.first / guard.first_anchor if guard.first_anchor > 0.0 else guard.first
        rate = EpochRate(
            epoch=epoch,
            start=guard.first,
            end=guard.last,
            steps=guard.batches,
            height=height,
            returned_to=self._returned_to,
        )
        self._returned_to = None
        self.by_epoch = [known for known in self.by_epoch if known.epoch < epoch] + [rate]
        guard.batches = 0

    def proposals(self, epoch: int, plan: EpochPlan, current: float) -> tuple[Search, list[float]]:
        """Who proposes an epoch's rates.

        Args:
            epoch: the epoch, from 0.
            plan: its search.
            current: the rate that the optimizer would use now.

        Returns:
            The search, and the rates to try before it proposes.
        """
        settings = self._settings
        low, high = (rate * self.anchor_value for rate in self._range())
        around: list[float] = []
        if plan.factor is not None:
            near, far = current / plan.factor, current * plan.factor
            # a rate at an end of the range, give or take a rounding, is within it
            inside = low * (1.0 - _ROUNDING) <= current <= high * (1.0 + _ROUNDING)
            low, high = (max(low, near), min(high, far)) if inside else (near, far)
            # also below the range nothing is proposed that has diverged
            high = max(min(high, self._lr_max * self.anchor_value), current)
            # the larger first: should the last one diverge, the one before could not go on from where it stopped
            around = [rate for rate in (high, low) if not math.isclose(rate, current, rel_tol=_ROUNDING)]
        kind = settings.policy.search if settings.candidates is None else "list"
        search = make_search(
            kind,
            LearningRateSpace(low, high),
            seed=self.seed_of(epoch),
            n_initial=plan.n_initial,
            n_trials=plan.n_trials,
            candidates=settings.candidates,
            # in a region the best rate may as well lie at an end
            **({"inside": 0.0} if around and kind == "gamma" else {}),
        )
        return search, around

    def seed_of(self, epoch: int) -> int:
        """The seed of an epoch's search: one of its own, so that a resumed run proposes what the other would have.

        Args:
            epoch: the epoch, from 0.

        Returns:
            The seed.
        """
        return int(np.random.SeedSequence([self._settings.seed, epoch]).generate_state(1)[0])

    def note_choice(self, record: EpochRecord) -> None:
        """An epoch is about to be trained at the rate that a search chose.

        Args:
            record: the search.
        """
        assert record.chosen is not None
        self._last_good = record.chosen.lr

    def halve(self, returned_to: int | None) -> None:
        """Halve what remains of the schedule.

        Args:
            returned_to: the epoch from whose end the run goes on; None where it goes on from the last one's.
        """
        assert self.guard is not None
        self._returned_to = returned_to
        if self.guard.multiplies:
            self.guard.rescale(self.guard.height * HALF)
        else:
            rates = LearningRates(self.guard.optimizers)
            rates.set(rates.reference * HALF)

    def without_winner(self, record: EpochRecord) -> float:
        """Lower the range where all candidates diverged; leave it where they failed by no rate's fault.

        Args:
            record: the search.

        Returns:
            The rate to train the epoch at.
        """
        present = record.results[0]
        if present.state is TrialState.FAILED:
            how = f"it is trained at the present rate {present.lr:.2e}. The first one: {present.message}"
            self._voice.warn(f"in epoch {record.epoch} {record.reason}; {how}")
            return present.lr
        lowest = min(result.lr for result in record.results if result.state is not TrialState.FAILED)
        self._lr_max = min(self._lr_max, lowest / record.anchor / LOWERED)
        highest = self._lr_max * record.anchor
        good = self._last_good
        rate = good if good is not None and good < lowest else highest
        self._voice.warn(
            f"in epoch {record.epoch} {record.reason}; it is trained at {rate:.2e} from the state at its start, and "
            f"rates above {highest:.2e} are not proposed any more"
        )
        return rate

    def after_rollback(self, record: EpochRecord, trained_at: float, *, times: int = 1) -> EpochRecord:
        """Lower the range where an epoch diverged after its search.

        Args:
            record: the search.
            trained_at: the rate that the epoch was trained at instead.
            times: how often it was rolled back: each time is a pass at the most.

        Returns:
            The record, with what became of the epoch.
        """
        assert record.chosen is not None
        self._lr_max = min(self._lr_max, record.chosen.lr / record.anchor / ROLLED_BACK)
        self._last_good = trained_at
        self.say_rollback(record.epoch, record.chosen.lr, trained_at)
        reason = f"{record.reason}; the epoch then diverged and was trained again at {trained_at:.2e}"
        return replace(record, reason=reason, train_passes=record.train_passes + times)

    def say_rollback(self, epoch: int, lr: float, trained_at: float) -> None:
        """Say that an epoch diverged.

        Args:
            epoch: the epoch.
            lr: the rate that it diverged at.
            trained_at: the rate that it was trained at instead.
        """
        self._voice.warn(
            f"epoch {epoch} diverged at {lr:.2e}; it was put back to its start and trained at {trained_at:.2e}. "
            "Loggers and batch hooks have seen both"
        )

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs.

        Returns:
            Plain values.
        """
        return {
            "by_epoch": [{name: getattr(rate, name) for name in EpochRate.__slots__} for rate in self.by_epoch],
            "lr_max": self._lr_max,
            "last_good": self._last_good,
            "returned_to": self._returned_to,
            "guard": self.guard.state_dict() if self.guard is not None and self.taken_over else self._state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Args:
            state: what :meth:`state_dict` gave.
        """
        self.by_epoch = [EpochRate(**rate) for rate in state["by_epoch"]]
        self._lr_max = state["lr_max"]
        self._last_good = state["last_good"]
        self._returned_to = state.get("returned_to")
        self._state = state["guard"]

    def _range(self) -> tuple[float, float]:
        # lowest and highest rate at the height of the anchor
        assert self.guard is not None
        low, high = default_range(self.guard.optimizers)
        settings = self._settings
        low = low if settings.lr_min is None else settings.lr_min
        high = max(high, LOWERED * low) if settings.lr_max is None else settings.lr_max
        high = min(high, self._lr_max)
        # where a divergence, or the user, has set the range's end below its beginning, the range goes down with it
        return (low if low < high else high / LOWERED), high

    def _mode(self, trainer: Trainer, epochs: int | None) -> tuple[Mode, AnchorName]:
        anchor, schedulers = self._settings.policy.anchor, self._settings.lr_schedulers
        users = bool(trainer.lr_scheduler_configs) and anchor in ("auto", "scheduler") and schedulers is None
        if schedulers == "scale" or users:
            return "scale", "scheduler"
        if anchor == "constant":
            return "aside", anchor
        if epochs is None and anchor != "plateau":
            why = "" if anchor == "auto" else f", so anchor={anchor!r} has no end to lead to"
            self._voice.inform(f"the length of the run is not known{why}: the rate is lowered where the loss stalls")
        return "anchor", "plateau" if epochs is None else "linear" if anchor == "auto" else anchor
