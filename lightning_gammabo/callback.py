"""GammaLRSearch: the Lightning callback."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch import Callback

from lightning_gammabo.bayesopt import SamplerFactory
from lightning_gammabo.determinant.kappa import Kappa
from lightning_gammabo.determinant.objective import CustomObjective
from lightning_gammabo.learning_rate.schedule import LRSchedule
from lightning_gammabo.policy import SearchPolicy
from lightning_gammabo.records import SearchHistory
from lightning_gammabo.report.publish import ResultsMixin
from lightning_gammabo.scheduler.arguments import check_arguments
from lightning_gammabo.scheduler.fit import FitSession
from lightning_gammabo.trainer.compat import join_namespaces
from lightning_gammabo.trainer.epoch_loop import arm, disarm
from lightning_gammabo.trainer.inspection import show_in_bar
from lightning_gammabo.trainer.snapshot.checkpoint import fetch_zero_rates, store_peak_rates
from lightning_gammabo.trainer.snapshot.sharding import is_sharded
from lightning_gammabo.trainer.snapshot.shared_checkpoint import fetch_rank_states, store_rank_states

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["GammaLRSearch"]


class GammaLRSearch(ResultsMixin, Callback):
    """Tunes the learning rate while training: searches it at the start of an epoch.

    At the start of a searched epoch the state of the training is noted. Candidates train the epoch, or a part of it,
    from that very state, on the same batches, each at another rate: the first one at the rate that the optimizer would
    use now, the others as Bayesian optimisation with a Gamma posterior of the precision proposes. Each is validated and
    scored. The weights, buffers, optimizer state, metric states and random numbers of the chosen one become the
    training's, and the epoch goes on from there.

    The *policy* says when, how much and around which schedule is searched: ``epochwise`` (the default), ``once``,
    ``thorough``, ``thesis`` (the published method, twelve full candidates every epoch) or ``identity`` (one candidate
    at the configured rate: the plain fit). A :class:`~lightning_gammabo.SearchPolicy` changes single fields
    of one.

    The validation score on which candidates were chosen is optimistic: report on a split that the search has not seen.

    Args:
        policy: name of a policy, or a :class:`~lightning_gammabo.SearchPolicy`.
        min_lr: lower bound of the search range, for the peak of the schedule; None for 1e-4, or 1e-5 for
            Adam and such, and a decade less where the best rate lies there.
        max_lr: upper bound of the search range; None for 1, or 0.1 for Adam and such. The configured rate may lie
            outside of the two; it is tried all the same.
        sampler: who proposes: ``gamma`` (Student-t process), ``gamma_thesis`` (eqs. 13-15 to the letter),
            ``gaussian``, ``gaussian_log_ei``, ``gaussian_pi``, ``grid``, ``random``, ``sobol``; a
            :class:`~lightning_gammabo.ListSampler` of rates; or a :class:`~lightning_gammabo.SamplerFactory`.
        objective: what candidates are ranked by: ``kappa`` (eq. 12), ``kappa_original`` (eq. 11), ``kappa_thesis``
            (clipped at 0), ``loss``, ``accuracy``, the name of a logged metric, a :class:`~lightning_gammabo.Kappa`
            with another lambda, or a :class:`~lightning_gammabo.CustomObjective`.
        mode: ``min`` or ``max``: the direction of a logged metric; None where its name tells it (``val_f1``).
        monitor_loss: name of the logged validation loss; None to find it.
        monitor_accuracy: name of the logged validation accuracy; None to find it.
        val_dataloaders: loader to score candidates on, or the name of the data module's or module's method that gives
            it, so that the validation data stay unseen by the search; None for (a part of) the validation data.
        lr_schedulers: what becomes of the module's LR schedulers: ``override`` sets them aside from the first searched
            epoch on, ``scale`` multiplies what they schedule, ``error`` refuses them; None: as the policy's annealing
            has it.
        commit: ``copy`` puts the end state of the chosen candidate back; ``replay`` trains its epoch again, so that
            callbacks see it.
        max_overhead: upper limit of what searches cost: extra passes per plain pass, or ``"30%s"`` for 30 % of the
            training time in seconds; None for no limit.
        seed: of the search's own randomness; no global generator is touched.
        history_file: file to which the history is written after each searched epoch (``.jsonl`` or ``.csv``).
        report: HTML file to which a report is written when the fit ends.
        progress: whether to show a bar for each search, under Lightning's own.
        log_figures: whether to send pictures to the loggers that take them (TensorBoard, W&B, MLflow).
        log_metrics: ``epoch`` sends ``gamma/*`` values to the loggers at the end of each epoch, searched or not, NaN
            where there is none; ``off`` sends none.

    Raises:
        ValueError: if an argument is out of its domain.
        TypeError: if an argument is of the wrong type.

    Source: thesis ch. 3 (the method), ch. 4.2.1 (the numbers of ``thesis``); docs/policies_method.md (the others).

    Example:
        >>> callback = GammaLRSearch("once", min_lr=1e-3, max_lr=0.5)
        >>> callback.history
        SearchHistory(0 searched epochs)
    """

    _trainer: Trainer | None = None
    _session: FitSession

    def __init__(
        self,
        policy: str | SearchPolicy = "epochwise",
        *,
        min_lr: float | None = None,
        max_lr: float | None = None,
        sampler: SamplerFactory | str = "gamma",
        objective: CustomObjective | Kappa | str = "kappa",
        mode: Literal["min", "max"] | None = None,
        monitor_loss: str | None = None,
        monitor_accuracy: str | None = None,
        val_dataloaders: Any = None,
        lr_schedulers: Literal["override", "scale", "error"] | None = None,
        commit: Literal["copy", "replay"] = "copy",
        max_overhead: float | str | None = None,
        seed: int = 0,
        history_file: str | None = None,
        report: str | None = None,
        progress: bool = True,
        log_figures: bool = False,
        log_metrics: Literal["epoch", "off"] = "epoch",
    ) -> None:
        super().__init__()
        join_namespaces(GammaLRSearch)
        self.policy = policy
        self.min_lr, self.max_lr = min_lr, max_lr
        self.sampler = sampler
        self.objective, self.mode = objective, mode
        self.monitor_loss, self.monitor_accuracy = monitor_loss, monitor_accuracy
        self.val_dataloaders = val_dataloaders
        self.lr_schedulers = lr_schedulers
        self.commit = commit
        self.max_overhead = max_overhead
        self.seed = seed
        self.history_file, self.report = history_file, report
        self.progress = progress
        self.log_figures, self.log_metrics = log_figures, log_metrics
        check_arguments(self)
        self._session = FitSession(self)

    def schedule(self) -> LRSchedule:
        """What was found: the learning rate of every trained epoch, to be kept, looked at and replayed.

        Returns:
            The schedule; :class:`~lightning_gammabo.GammaSchedule` replays it.

        Raises:
            ValueError: if nothing was trained yet.
        """
        return LRSchedule(rates=tuple(self.rates), annealing=self._session.rates.annealing)

    def export_schedule(self, path: str | Path) -> Path:
        """Write :meth:`schedule` to a file.

        Args:
            path: file to write; its ending says how: ``.json``, ``.yaml`` or ``.yml``.

        Returns:
            The path.

        Raises:
            ValueError: if nothing was trained yet, or the ending is another.
        """
        return self.schedule().save(path)

    def estimate(
        self,
        trainer: Trainer,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: Any = None,
    ) -> str:
        """What a fit with this search would cost, told without training anything.

        Args:
            trainer: a Trainer of the run's settings.
            model: the module.
            train_dataloaders: as ``trainer.fit`` takes them.
            val_dataloaders: as ``trainer.fit`` takes them.
            datamodule: as ``trainer.fit`` takes it; its ``prepare_data`` and ``setup`` are called.

        Returns:
            The plan and its price, the words that the fit itself begins with. Candidates that live the warm-up of an LR
            scheduler of yours cost a little more than is told here.
        """
        return FitSession(self).estimate(
            trainer,
            model,
            train_dataloaders=train_dataloaders,
            val_dataloaders=val_dataloaders,
            datamodule=datamodule,
        )

    @property
    def state_key(self) -> str:
        """Key of this callback's state in a checkpoint."""
        return "GammaLRSearch"

    @staticmethod
    def of(trainer: Trainer) -> GammaLRSearch:
        """The search that runs in a Trainer, also where the object passed to it was copied on the way.

        Args:
            trainer: the Trainer.

        Returns:
            Its callback.

        Raises:
            ValueError: if there is none.
        """
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, GammaLRSearch):
                return callback
        raise ValueError(f"no GammaLRSearch among the Trainer's callbacks {trainer.callbacks!r}")  # type: ignore[attr-defined]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin anew, or where an earlier fit of this Trainer has ended."""
        if stage == "fit":
            earlier, self._session = self._session, FitSession(self)
            self._session.go_on_from(earlier, trainer.current_epoch)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check what can be checked before training."""
        self._trainer = trainer
        self._session.prepare(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on exactly where a checkpoint was written."""
        self._session.begin(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have the epoch, after all hooks at its start."""
        if self._session.enter_epoch(trainer):
            arm(trainer, lambda fetcher, run: self._session.run_epoch(trainer, pl_module, fetcher, run))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the rate that the batch is trained at, and show it in Lightning's bar."""
        controller = self._session.rates.controller
        if controller is not None:
            controller.on_train_batch_start(trainer, pl_module, batch, batch_idx)
            if self.progress and self.history and trainer.progress_bar_callback is not None:
                show_in_bar(trainer, "lr", f"{controller.last:.1e}")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the rate of the next batch."""
        if self._session.rates.controller is not None:
            self._session.rates.controller.on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what the epoch was trained with and what it ended with."""
        self._session.ends.note(trainer, self._session.plan)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read what confusion matrices hold, before the module may reset them."""
        if self._trainer is not None:
            self._session.publisher.validated(trainer, pl_module, self.history)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the validation batch by batch."""
        if self._trainer is not None:
            self._session.start.validation_begins(trainer)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        """Note the batch's loss."""
        self._session.start.validation_batch_ends(trainer, pl_module, outputs)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what the validation has logged."""
        if self._trainer is not None:
            self._session.ends.validated(trainer)
            self._session.start.validation_ends(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show what was found."""
        self._session.publisher.ended(trainer, self.history)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Show what was found until then, and leave the Trainer as it was found."""
        self._leave(trainer)
        if self.history:
            self._session.publisher.ended(trainer, self.history)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the Trainer as it was found."""
        if stage == "fit":
            self._leave(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs.

        Returns:
            History, random numbers and more, as plain values and tensors.
        """
        return self._session.state_dict(self._trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Let the checkpoint hold what each rank needs, and what a fit without this callback does."""
        store_rank_states(trainer, checkpoint["callbacks"][self.state_key], checkpoint)
        if not is_sharded(pl_module):
            store_peak_rates(checkpoint["callbacks"][self.state_key], checkpoint)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take what is this rank's."""
        if self.state_key in checkpoint.get("callbacks", {}):
            fetch_rank_states(trainer, checkpoint["callbacks"][self.state_key])
            fetch_zero_rates(checkpoint["callbacks"][self.state_key], checkpoint)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self._session.load_state_dict(state_dict)

    def __getstate__(self) -> dict[str, Any]:
        # a copy, or another process's, holds the history and nothing of the Trainer
        session = FitSession(self)
        session.recorder.history = SearchHistory(self.history, self.history.trained, self.history.run)
        session.publisher.confusion = dict(self.confusion)
        session.rates.by_epoch, session.rates.annealing = self.rates, self._session.rates.annealing
        return {**self.__dict__, "_trainer": None, "_session": session}

    def _leave(self, trainer: Trainer) -> None:
        disarm(trainer)
        self._session.end()
        self._trainer = None


join_namespaces(GammaLRSearch)
