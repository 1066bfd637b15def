"""Writes a run's learning rates: base rate x peak x annealing factor, at every step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from lightning_gammabo.learning_rate.annealing import Plateau, progress_of, shape
from lightning_gammabo.learning_rate.param_groups import configured_rate, groups_of, moved, rates_of, write_rate

__all__ = ["LRController", "LearningRates", "Mode"]

Mode = Literal["ignore", "scale", "anneal"]


class LRController:
    """Writes the rates of a run, and says what becomes of the user's LR schedulers.

    The schedulers stay where users, checkpoints and monitors look for them; only their ``step`` is another one, by
    exchanging the object's class. So it holds for schedulers that Lightning steps and for those stepped by hand.
    :meth:`release` gives it back.

    It is called at each batch, as a Trainer's callback is: it notes the rate and writes the next one.

    Args:
        schedulers: LR schedulers, of torch or like them.
        optimizers: the optimizers that they write to.
        mode: ``ignore``: schedulers never step, rates are written as they are; ``scale``: they step, and what they
            schedule is multiplied by :attr:`peak_factor`; ``anneal``: they never step, and the configured rates are
            multiplied by ``peak_factor * shape``.
        annealing: the shape that ``anneal`` follows, by :data:`~lightning_gammabo.learning_rate.annealing.SHAPES`, or
            ``plateau``.
        scheduled_peak: highest rate that the user's schedulers write to the reference group; None for the configured
            one.
        state: what :meth:`state_dict` gave (after a resume).

    Attributes:
        optimizers: the optimizers.
        peak_factor: the chosen peak over the configured one; a search changes it.
        shape: the annealing factor now.
        plateau: state of the annealing ``plateau``.
        first: the reference rate of the epoch's first batch.
        first_peak: the peak of the schedule there.
        last: the reference rate of the last batch so far.
        batches: batches of the epoch so far.

    Raises:
        TypeError: if a scheduler's class cannot be exchanged.
    """

    state_key = "lightning_gammabo.LRController"

    def __init__(
        self,
        schedulers: Iterable[Any],
        optimizers: Sequence[Any],
        *,
        mode: Mode,
        annealing: str = "constant",
        scheduled_peak: float | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.mode = mode
        self._scheduled_peak = scheduled_peak
        self.annealing = annealing
        self.peak_factor = self.shape = 1.0
        self.first = self.first_peak = self.last = self._now = 0.0
        self.batches = 0
        self.plateau = Plateau()
        self._begin: float | None = None
        self.optimizers = list(optimizers)
        # by optimizer and group: what is scheduled, and what was written last
        self._scheduled: list[list[float]] = [[] for _ in self.optimizers]
        self._written: list[list[float]] = [[] for _ in self.optimizers]
        self._stepping = False
        self._classes: list[tuple[Any, type]] = []
        if state is not None:
            self.load_state_dict(state)
        elif mode == "anneal":
            self._write_configured()
        for scheduler in schedulers:
            own = type(scheduler)
            step = self._scaled_step(own) if mode == "scale" else _ignored_step
            try:
                scheduler.__class__ = type(own.__name__, (own,), {"step": step, "__module__": own.__module__})
            except TypeError as error:
                self.release()
                raise TypeError(
                    f"GammaLRSearch cannot set {own.__module__}.{own.__name__} aside ({error}); remove this "
                    "scheduler for the search"
                ) from error
            self._classes.append((scheduler, own))

    @property
    def multiplier(self) -> float:
        """What the scheduled rates are multiplied by."""
        return self.peak_factor * self.shape

    @property
    def multiplies(self) -> bool:
        """Whether rates are written by way of :attr:`multiplier`."""
        return self.mode != "ignore"

    @property
    def sets_aside(self) -> bool:
        """Whether there are schedulers that do not step."""
        return bool(self._classes) and self.mode != "scale"

    @property
    def annealing_factor(self) -> float:
        """The present rate over the peak; over the configured one for a user's schedule whose peak is not known."""
        if self.mode != "scale":
            return self.shape
        moving = [group for group in groups_of(self.optimizers) if float(group["lr"]) > 0.0]
        configured = float(moving[0].get("initial_lr", 0.0)) if moving else 0.0
        peak = (self._scheduled_peak or configured) * self.peak_factor
        return self._reference / peak if peak > 0.0 and self._reference > 0.0 else 1.0

    @property
    def peak(self) -> float:
        """The reference rate at the peak of the schedule; where that is not known, the present one."""
        if self.mode == "scale" and self._scheduled_peak is not None:
            return self.peak_factor * self._scheduled_peak
        if self.mode != "anneal":
            return self._reference
        self._follow()
        scheduled = next((rate for rates in self._scheduled for rate in rates if rate > 0.0), 0.0)
        return scheduled * self.peak_factor

    @property
    def _reference(self) -> float:
        return next((rate for rate in rates_of(self.optimizers) if rate > 0.0), 0.0)

    def release(self) -> None:
        """Give the schedulers their own ``step`` back."""
        while self._classes:
            scheduler, own = self._classes.pop()
            scheduler.__class__ = own

    def rescale(self, peak_factor: float) -> None:
        """Move the peak, and with it all that remains of the schedule.

        Args:
            peak_factor: the new :attr:`peak_factor`.
        """
        self._follow()
        self.peak_factor = peak_factor
        self._write(self.multiplier)

    def follow(self, progress: float | None) -> None:
        """Anneal the rates; the first call is the beginning of the schedule.

        Args:
            progress: share of the run that is done; None where it is not known.
        """
        if self.mode != "anneal":
            return
        if self.annealing == "plateau":
            now = self.plateau.shape
        else:
            begin = self._begin = (progress or 0.0) if self._begin is None else self._begin
            now = shape(self.annealing, ((progress or 0.0) - begin) / (1.0 - begin) if begin < 1.0 else 1.0)
        if now != self.shape or not any(self._scheduled):
            self._follow()
            self.shape = now
            self._write(self.multiplier)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Note the rate that the batch is trained with.

        Args:
            trainer: not used.
            pl_module: not used.
            batch: not used.
            batch_idx: the batch's number in its epoch.
        """
        self._now = self._reference
        if batch_idx == 0 or not self.batches:
            self.first, self.first_peak = self._now, self.peak

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Write the next batch's rate, as a scheduler stepped after the batch would.

        Args:
            trainer: the Trainer.
            pl_module: not used.
            outputs: not used.
            batch: not used.
            batch_idx: the batch's number in its epoch.
        """
        self.last, self.batches = self._now, batch_idx + 1
        self.follow(progress_of(trainer, batch_idx + 1))

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs.

        Returns:
            Plain values.
        """
        return {
            "peak_factor": self.peak_factor,
            "shape": self.shape,
            "first": self.first,
            "first_peak": self.first_peak,
            "last": self.last,
            "batches": self.batches,
            "begin": self._begin,
            "scheduled": [list(rates) for rates in self._scheduled],
            "written": [list(rates) for rates in self._written],
            "plateau": [self.plateau.best, self.plateau.waited, self.plateau.shape, self.plateau.patience],
            "scheduled_peak": self._scheduled_peak,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; the optimizers' rates already contain it.

        Args:
            state: what :meth:`state_dict` gave.
        """
        self.peak_factor, self.shape, self._begin = state["peak_factor"], state["shape"], state["begin"]
        self._scheduled = [list(rates) for rates in state["scheduled"]]
        self._written = [list(rates) for rates in state["written"]]
        self.plateau = Plateau(*state["plateau"])
        self._scheduled_peak = state["scheduled_peak"]
        # an epoch whose end a checkpoint was written before is noted by the run that goes on
        self.first, self.first_peak = state["first"], state["first_peak"]
        self.last, self.batches = state["last"], state["batches"]

    def _scaled_step(self, own: type) -> Callable[..., Any]:
        def step(scheduler: Any, *args: Any, **kwargs: Any) -> Any:
            if self._stepping:  # one scheduler steps another
                return own.step(scheduler, *args, **kwargs)  # type: ignore[attr-defined]
            self._follow()
            self._write(1.0)  # the scheduler sees the rates that it left
            self._stepping = True
            try:
                return own.step(scheduler, *args, **kwargs)  # type: ignore[attr-defined]
            finally:
                self._stepping = False
                self._scheduled = [rates_of([optimizer]) for optimizer in self.optimizers]
                self._write(self.multiplier)

        return step

    def _follow(self) -> None:
        """Take over what others wrote since: rates set by hand, groups added; they contain the multiplier."""
        for optimizer, scheduled, written in zip(self.optimizers, self._scheduled, self._written, strict=True):
            rates = rates_of([optimizer])
            kept = [old if now == left else None for now, old, left in zip(rates, scheduled, written, strict=False)]
            kept += [None] * (len(rates) - len(kept))
            divisor = self.multiplier or 1.0  # 0 at the very end of a cosine
            scheduled[:] = [now / divisor if old is None else old for now, old in zip(rates, kept, strict=True)]

    def _write_configured(self) -> None:
        """Undo what a scheduler that is set aside has already written: a warm-up that begins near zero."""
        for group in groups_of(self.optimizers):
            configured = float(group.get("initial_lr", 0.0)) or float(group["lr"])
            if configured != float(group["lr"]):
                write_rate(group, configured)

    def _write(self, multiplier: float) -> None:
        for optimizer, scheduled, written in zip(self.optimizers, self._scheduled, self._written, strict=True):
            for group, rate in zip(groups_of([optimizer]), scheduled, strict=True):
                write_rate(group, rate * multiplier)
            written[:] = rates_of([optimizer])


def _ignored_step(scheduler: Any, *args: Any, **kwargs: Any) -> None:
    """An LR scheduler that is set aside does not move."""


class LearningRates:
    """Reads and writes the rates of some optimizers.

    Args:
        optimizers: torch optimizers (anything with ``param_groups``); others are passed over.
        controller: what writes them at each step, or None.

    Attributes:
        reference: the rate that is reported and searched, at the peak of the schedule; 0.0 if there is none above zero.
    """

    def __init__(self, optimizers: Sequence[Any], controller: LRController | None = None) -> None:
        self._optimizers = list(optimizers)
        self._controller = controller if controller is not None and controller.multiplies else None
        self._peak_factor = self._controller.peak_factor if self._controller is not None else 1.0
        self._base = self._present = self.current()
        if not any(self._base):
            # a warm-up that starts at zero: the rate it leads to stands in the group or in the optimizer's defaults
            self._base = [
                configured_rate(optimizer, group) for optimizer in optimizers for group in groups_of([optimizer])
            ]
            if controller is not None and controller.sets_aside:
                self._present = self._base  # nothing will lead there any more
        found = next((rate for rate in self._base if rate > 0.0), 0.0)
        self.reference = (self._controller.peak if self._controller is not None else 0.0) or found

    def current(self) -> list[float]:
        """The rates as they stand.

        Returns:
            One rate for each group of each optimizer.
        """
        return rates_of(self._optimizers)

    def set(self, lr: float) -> list[float]:
        """Move all rates so that the reference rate becomes ``lr``.

        Args:
            lr: the new reference rate. The present one leaves every group as it was found, to the bit.

        Returns:
            The rates that now stand, group by group.
        """
        ratio = 1.0 if lr == self.reference else lr / self.reference
        if self._controller is not None:
            if self._controller.peak_factor != self._peak_factor * ratio:
                self._controller.rescale(self._peak_factor * ratio)
            return self.current()
        targets = self._present if lr == self.reference else moved(self._base, self.reference, lr)
        for group, rate in zip(groups_of(self._optimizers), targets, strict=True):
            if float(group["lr"]) != rate:
                write_rate(group, rate)
        return self.current()
