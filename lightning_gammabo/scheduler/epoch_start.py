"""What is done at the start of an epoch, with the end of the one before in view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.learning_rate.annealing import horizon_factor
from lightning_gammabo.policy import SearchPolicy
from lightning_gammabo.records import Outcome, SearchHistory, TrialState
from lightning_gammabo.scheduler.epoch_end import logged_scalars
from lightning_gammabo.scheduler.recovery import HALF, Recovery
from lightning_gammabo.scheduler.run_rates import RunRates
from lightning_gammabo.trainer.distributed import data_part, joined_over_ranks
from lightning_gammabo.trainer.messages import Messages
from lightning_gammabo.trainer.monitor import CandidateMonitor
from lightning_gammabo.trainer.snapshot.sharding import is_sharded
from lightning_gammabo.trainer.validation_subset import running_sums

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["EpochStart"]

Batches = list[tuple[float, float]]


class EpochStart:
    """Fits the peak to the run's length, lowers a plateau, and restores the best weights.

    Args:
        policy: the policy.
        rates: the rates of the fit.
        recovery: what is done about divergences.
        keys: reads the loss off what was logged.
        messages: tells the user.
    """

    def __init__(
        self, policy: SearchPolicy, rates: RunRates, recovery: Recovery, keys: MetricKeys, messages: Messages
    ) -> None:
        self._policy = policy
        self._rates = rates
        self._recovery = recovery
        self._keys = keys
        self._messages = messages
        self._seen = 0  # epoch at whose start the one before was looked at last
        self._resumed_loss: float | None = None
        self._fits_length = False
        self._monitor: CandidateMonitor | None = None
        self._batches: Batches = []

    def validation_begins(self, trainer: Trainer) -> None:
        """Read the validation that begins batch by batch.

        Args:
            trainer: the Trainer, in ``on_validation_start``.
        """
        self._monitor = CandidateMonitor(
            bool, distributed=False, synchronises=False, read_sums=lambda: running_sums(trainer)
        )

    def validation_batch_ends(self, trainer: Trainer, pl_module: Any, outputs: Any) -> None:
        """Note a batch's loss.

        Args:
            trainer: the Trainer, in ``on_validation_batch_end``.
            pl_module: the user's module.
            outputs: what its ``validation_step`` gave.
        """
        if self._monitor is not None and not trainer.sanity_checking:
            self._monitor.on_validation_batch_end(trainer, pl_module, outputs)

    def validation_ends(self, trainer: Trainer) -> None:
        """Keep the losses of the validation's batches.

        Args:
            trainer: the Trainer, in ``on_validation_end``.
        """
        monitor, self._monitor = self._monitor, None
        if monitor is None or trainer.sanity_checking:
            return
        metrics = logged_scalars(trainer)
        outcome = Outcome(state=TrialState.COMPLETE, metrics=metrics, batches=monitor.val_batches)
        names, batches = self._keys.batches(outcome)
        mine = {"loss": list(batches[names.index("loss")])} if "loss" in names else {}
        part, _ = data_part(trainer)  # ranks that read the same data count once
        self._batches = joined_over_ranks(mine, trainer.world_size, part).get("loss", [])

    def look_back(self, trainer: Trainer, history: SearchHistory, *, epochs: float | None, resumed: bool) -> None:
        """Look at how the last epoch ended, once for each.

        Args:
            trainer: the Trainer, in ``on_train_epoch_start``.
            history: the searches so far.
            epochs: epochs of the fit; None where that is not known.
            resumed: whether the Trainer has not trained since it was resumed, and may not know the loss any more.
        """
        if not history or trainer.current_epoch <= self._seen:
            return
        loss = self.loss_of(trainer)
        loss = loss if loss is not None or not resumed else self._resumed_loss
        every = trainer.check_val_every_n_epoch
        if every is not None and trainer.current_epoch % every != 0:
            loss = None  # it was not validated, and what is logged is of an epoch before
        if trainer.world_size > 1:
            loss = trainer.strategy.broadcast(loss)
        self._seen = trainer.current_epoch
        self._fit_the_length(trainer, history, epochs)
        if self._rates.annealing == "plateau" and self._rates.controller is not None:
            self._rates.controller.plateau.see(loss)
        # a single candidate was no choice
        if self._policy.recover and len(history[0].results) > 1 and not self._watched_by_user(trainer):
            self._restore_best(trainer, loss)

    def is_ahead(self, trainer: Trainer) -> bool:
        """Whether the weights are those of an epoch's end that is better than all before.

        Args:
            trainer: the Trainer, when a checkpoint is written.

        Returns:
            Whether they are.
        """
        loss = self.loss_of(trainer)
        ended = trainer.is_last_batch and trainer.val_check_batch == trainer.num_training_batches
        # where each rank stores its own shards, all have to store the same ones
        alone = not is_sharded(trainer.lightning_module)
        return alone and ended and loss is not None and loss < self._recovery.best_weights.least

    def loss_of(self, trainer: Trainer) -> float | None:
        """The validation loss that the Trainer has logged last.

        Args:
            trainer: the Trainer.

        Returns:
            The loss; None where there is none.
        """
        return self._keys.reference(Outcome(state=TrialState.COMPLETE, metrics=logged_scalars(trainer)))

    def state_dict(self, trainer: Trainer | None) -> dict[str, Any]:
        """What a resumed run needs.

        Args:
            trainer: the Trainer inside ``fit``, or None outside.

        Returns:
            Plain values.
        """
        loss = self.loss_of(trainer) if trainer is not None else None
        batches = [list(batch) for batch in self._batches]
        return {"seen": self._seen, "loss": loss, "fits_length": self._fits_length, "batches": batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Args:
            state: what :meth:`state_dict` gave.
        """
        self._seen, self._resumed_loss, self._fits_length = state["seen"], state["loss"], state["fits_length"]
        self._batches = [(mean, weight) for mean, weight in state["batches"]]

    def _fit_the_length(self, trainer: Trainer, history: SearchHistory, epochs: float | None) -> None:
        # once, after the epoch of the first search: one epoch cannot show what many passes over the same data do
        if self._fits_length:
            return
        self._fits_length = True
        if len(history[0].results) < 2 or epochs is None or self._rates.follows_users_schedule:
            return
        factor = horizon_factor(epochs, self._policy.horizon)
        if factor < 1.0:
            self._rates.scale(factor, returned_to=None)
            self._messages.inform(
                f"the peak is multiplied by {factor:.2f} from epoch {trainer.current_epoch} on, for a run of "
                f"{epochs:g} epochs"
            )

    def _watched_by_user(self, trainer: Trainer) -> bool:
        # the user's own plateau or early stopping counts regressions; restoring weights would be counted twice
        plateaus = [config.scheduler for config in trainer.lr_scheduler_configs if config.reduce_on_plateau]
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        found = {
            base.__name__
            for owner in (*plateaus, *callbacks)
            for base in type(owner).__mro__
            if base.__name__ in ("ReduceLROnPlateau", "EarlyStopping")
        }
        if found:
            self._messages.inform(
                f"the best weights are not restored, because {' and '.join(sorted(found))} counts epochs"
            )
        return bool(found)

    def _restore_best(self, trainer: Trainer, loss: float | None) -> None:
        falls = self._rates.annealing not in ("constant", "plateau")
        found = self._recovery.best_weights.see(
            trainer.current_epoch - 1,
            loss,
            trainer.lightning_module,
            trainer.optimizers,
            annealing=self._rates.annealing_value if falls else 0.0,  # what does not fall by itself is no excuse
            batches=self._batches,
        )
        if found is not None:
            self._rates.scale(HALF, returned_to=found.returned_to)
            self._messages.warn(f"{found.reason}. What remains of the learning rate's schedule is halved")
