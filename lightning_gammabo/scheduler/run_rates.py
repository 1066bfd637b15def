"""The learning rates of one fit: who writes them, and what every epoch was trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning_gammabo.learning_rate.annealing import PATIENCE, AnnealingName, progress_of
from lightning_gammabo.learning_rate.controller import LearningRates, LRController, Mode
from lightning_gammabo.learning_rate.lookahead import Forecast
from lightning_gammabo.records import EpochRate
from lightning_gammabo.trainer.forecast import forecast_of
from lightning_gammabo.trainer.inspection import batches_done
from lightning_gammabo.trainer.messages import Messages

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["RunRates"]


class RunRates:
    """The rates of one fit.

    Args:
        annealing: the schedule that the policy asks for.
        lr_schedulers: what becomes of the user's LR schedulers, as the callback was asked.
        messages: tells the user what was done.

    Attributes:
        by_epoch: the rate of every epoch so far, searched or not.
        annealing: name of the schedule that the rate follows.
        controller: the controller of the optimizers' rates, between :meth:`watch` and :meth:`release`.
        taken_over: whether the rates are the search's: from the first searched epoch on.
        forecast: the rates that the user's schedulers will write, where they warm up and are scaled; else None.
    """

    def __init__(self, annealing: AnnealingName, lr_schedulers: str | None, messages: Messages) -> None:
        self.by_epoch: list[EpochRate] = []
        self.annealing: AnnealingName = annealing
        self.controller: LRController | None = None
        self.taken_over = False
        self._wanted: AnnealingName = annealing
        self._lr_schedulers = lr_schedulers
        self._messages = messages
        self._state: dict[str, Any] | None = None
        self.forecast: Forecast | None = None
        self._returned_to: int | None = None  # before the epoch that is trained now

    @property
    def annealing_value(self) -> float:
        """Annealing factor now, 1 at the peak of the schedule."""
        return self.controller.annealing_factor if self.controller is not None else 1.0

    @property
    def follows_users_schedule(self) -> bool:
        """Whether the user's own schedulers are scaled."""
        return self.controller is not None and self.controller.mode == "scale"

    def watch(self, trainer: Trainer, *, epochs: int | None) -> None:
        """Note rates from now on; after a resume, keep them as the stopped run did.

        Args:
            trainer: the Trainer, in ``on_train_start``.
            epochs: epochs of the run; None where that is not known.
        """
        self.controller = LRController((), trainer.optimizers, mode="ignore")
        if self._state is not None:
            self.take_over(trainer, epochs=epochs)

    def take_over(self, trainer: Trainer, *, epochs: int | None) -> None:
        """From now on the rates are the search's: schedulers are scaled or set aside, the annealing begins.

        Args:
            trainer: the Trainer, at the start of the first searched epoch, or of a resumed run.
            epochs: epochs of the run; None where that is not known.
        """
        mode, self.annealing = self._mode(trainer, epochs)
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        peak = self._look_ahead(trainer) if mode == "scale" and self._state is None else None
        self.controller = LRController(
            schedulers, trainer.optimizers, mode=mode, annealing=self.annealing, scheduled_peak=peak, state=self._state
        )
        self.controller.plateau.patience = _patience(trainer)
        self.controller.follow(progress_of(trainer, batches_done(trainer)))
        self.taken_over, self._state = True, None
        names = ", ".join(sorted({type(scheduler).__name__ for scheduler in schedulers}))
        if schedulers and mode == "scale":
            self._messages.inform(
                f"{names} keeps its shape from epoch {trainer.current_epoch} on; the search scales it"
            )
        elif schedulers:
            self._messages.warn(
                f"{names} set aside from epoch {trainer.current_epoch} on: the search writes the learning rate. Choose "
                "lr_schedulers='scale' to have it multiply what the scheduler schedules."
            )

    def release(self) -> None:
        """Give the schedulers back; safe to call twice."""
        if self.controller is not None:
            self._state = self.controller.state_dict() if self.taken_over else None
            self.controller.release()
            self.controller = None

    def note_epoch(self, epoch: int) -> None:
        """Note the rate that an epoch was trained at.

        Args:
            epoch: the epoch, at its end.
        """
        controller = self.controller
        if controller is None or not controller.batches:
            return
        rate = EpochRate(
            epoch=epoch,
            start=controller.first,
            end=controller.last,
            steps=controller.batches,
            peak=controller.first_peak,
            returned_to=self._returned_to,
        )
        self._returned_to = None
        self.by_epoch = [known for known in self.by_epoch if known.epoch < epoch] + [rate]
        controller.batches = 0

    def scale(self, factor: float, *, returned_to: int | None) -> None:
        """Scale what remains of the schedule.

        Args:
            factor: what the peak is multiplied by.
            returned_to: the epoch from whose end the run goes on; None where it goes on from the last one's.
        """
        assert self.controller is not None
        self._returned_to = returned_to
        if self.controller.multiplies:
            self.controller.rescale(self.controller.peak_factor * factor)
        else:
            rates = LearningRates(self.controller.optimizers)
            rates.set(rates.reference * factor)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs.

        Returns:
            Plain values.
        """
        return {
            "by_epoch": [{name: getattr(rate, name) for name in EpochRate.__slots__} for rate in self.by_epoch],
            "returned_to": self._returned_to,
            "controller": self.controller.state_dict()
            if self.controller is not None and self.taken_over
            else self._state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Args:
            state: what :meth:`state_dict` gave.
        """
        self.by_epoch = [EpochRate(**rate) for rate in state["by_epoch"]]
        self._returned_to = state["returned_to"]
        self._state = state["controller"]

    def _look_ahead(self, trainer: Trainer) -> float | None:
        # the highest rate that the user's schedulers will write; None where that is not known
        found = forecast_of(trainer)
        if isinstance(found, str):
            self._messages.warn(
                f"the schedule cannot be looked ahead: {found}. Candidates are compared at its rates as they come, so "
                "that inside a warm-up the search chooses too high a rate; give lr_schedulers='override' there"
            )
            return None
        self.forecast = found if found.warm_up > 0 else None
        return found.peak

    def _mode(self, trainer: Trainer, epochs: int | None) -> tuple[Mode, AnnealingName]:
        annealing, has_schedulers = self._wanted, bool(trainer.lr_scheduler_configs)
        keeps = annealing in ("auto", "scheduler", "configured") and self._lr_schedulers is None
        if self._lr_schedulers == "scale" or (has_schedulers and keeps):
            return "scale", "scheduler"
        if annealing in ("constant", "configured"):
            return "ignore", "constant"
        if epochs is None and annealing != "plateau":
            why = "" if annealing == "auto" else f", so annealing={annealing!r} has no end to lead to"
            self._messages.inform(f"the length of the run is not known{why}: the rate is lowered where the loss stalls")
        return "anneal", "plateau" if epochs is None else "linear" if annealing == "auto" else annealing


def _patience(trainer: Trainer) -> int:
    # the rate of a plateau has to fall before an early stopping ends the run
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    stopping = [c for c in callbacks if any(base.__name__ == "EarlyStopping" for base in type(c).__mro__)]
    least = min((int(getattr(callback, "patience", PATIENCE)) for callback in stopping), default=2 * PATIENCE + 1)
    return max(1, min(PATIENCE, (least - 1) // 2))
