"""GammaLRSearch: the Lightning callback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_info

from lightning_gammabo.epoch_runner import arm, disarm
from lightning_gammabo.records import SearchHistory
from lightning_gammabo.report.figures import Kind, plot
from lightning_gammabo.report.table import history_table
from lightning_gammabo.session import FitSession
from lightning_gammabo.settings import SearchSettings

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from matplotlib.axes import Axes

__all__ = ["GammaLRSearch"]


class GammaLRSearch(Callback):
    """Tunes the learning rate while training: searches it anew at the start of each epoch.

    At the start of a searched epoch the state of the training is noted. Candidates train the epoch from that very
    state, on the same batches, each at another rate; the first one at the rate that the optimizer would use now, the
    others as Bayesian optimisation with a Gamma posterior of the precision proposes. Each is validated and scored; the
    best one's weights, buffers, optimizer state, metric states and random numbers become the training's.

    With ``K = n_initial + n_iterations`` candidates a searched epoch costs ``K`` passes over the training data (one
    more with ``commit="replay"``) and ``K + 1`` over the validation data. The validation score on which candidates
    were chosen is optimistic: report on a split that the search has not seen.

    Args:
        lr_min: lowest rate that is proposed.
        lr_max: highest rate that is proposed. The configured rate may lie outside of the two; it is tried all the same.
        n_initial: candidates before a surrogate is asked, the present rate among them (thesis ch. 4.2.1: two).
        n_iterations: candidates that the search proposes after those (thesis ch. 4.2.1: ten).
        search: which rate next: ``gamma`` (Student-t process), ``gamma_thesis`` (eqs. 13-15 to the letter),
            ``gaussian``, ``gaussian_log_ei``, ``gaussian_pi``, ``grid``, ``random``, ``sobol``.
        candidates: rates to try instead of a search, after the present one.
        objective: ``kappa`` (eq. 12), ``kappa_original`` (eq. 11), ``kappa_thesis`` (clipped at 0), ``loss``,
            ``accuracy``, or the name of a logged metric.
        objective_mode: ``min`` or ``max``: the direction of a metric named by ``objective``.
        kappa_lambda: lambda of eqs. 11 and 12, in (0, 1].
        monitor_loss: name of the logged validation loss; None to find it.
        monitor_accuracy: name of the logged validation accuracy; None to find it.
        commit: ``copy`` puts the winner's end state back; ``replay`` trains its epoch once more, natively, for
            callbacks that have to see its batches.
        every_n_epochs: search every n-th epoch, from ``start_epoch`` on.
        start_epoch: first epoch that is searched, from 0.
        stop_epoch: first epoch that is not searched any more; None for none.
        lr_schedulers: what becomes of the user's LR schedulers: ``override`` sets them aside from the first searched
            epoch on, ``scale`` lets the search multiply what they schedule, ``error`` refuses them.
        seed: of the search's own randomness; no global generator is touched.
        history_file: file to which the history is written after each searched epoch (``.jsonl`` or ``.csv``).
        progress: whether to show a bar for each search, under Lightning's own.
        log_figures: whether to send pictures of each search to the loggers that take them (TensorBoard, W&B, MLflow).
        report_file: HTML file to which a report is written when the fit ends.

    Raises:
        ValueError: if an argument is out of its domain.
        TypeError: if an argument is of the wrong type.

    Source: thesis ch. 3 (the method), ch. 4.2.1 (the numbers).

    Example:
        >>> callback = GammaLRSearch(lr_min=1e-3, lr_max=0.5, n_iterations=4)
        >>> callback.history
        SearchHistory(0 epochs)
    """

    def __init__(
        self,
        *,
        lr_min: float = 1e-4,
        lr_max: float = 1.0,
        n_initial: int = 2,
        n_iterations: int = 10,
        search: str = "gamma",
        candidates: Sequence[float] | None = None,
        objective: str = "kappa",
        objective_mode: Literal["min", "max"] = "max",
        kappa_lambda: float = 1.0,
        monitor_loss: str | None = None,
        monitor_accuracy: str | None = None,
        commit: Literal["copy", "replay"] = "copy",
        every_n_epochs: int = 1,
        start_epoch: int = 0,
        stop_epoch: int | None = None,
        lr_schedulers: Literal["override", "scale", "error"] = "override",
        seed: int = 0,
        history_file: str | None = None,
        progress: bool = True,
        log_figures: bool = False,
        report_file: str | None = None,
    ) -> None:
        super().__init__()
        self.lr_min = lr_min
        self.lr_max = lr_max
        self.n_initial = n_initial
        self.n_iterations = n_iterations
        self.search = search
        self.candidates = candidates
        self.objective = objective
        self.objective_mode = objective_mode
        self.kappa_lambda = kappa_lambda
        self.monitor_loss = monitor_loss
        self.monitor_accuracy = monitor_accuracy
        self.commit = commit
        self.every_n_epochs = every_n_epochs
        self.start_epoch = start_epoch
        self.stop_epoch = stop_epoch
        self.lr_schedulers = lr_schedulers
        self.seed = seed
        self.history_file = history_file
        self.progress = progress
        self.log_figures = log_figures
        self.report_file = report_file
        self._settings = SearchSettings(
            **{name: getattr(self, name) for name in SearchSettings.__dataclass_fields__}  # checks them
        )
        self._session = FitSession(self._settings)
        self._trainer: Trainer | None = None

    @property
    def history(self) -> SearchHistory:
        """One record for each searched epoch of the present fit, or of the last one."""
        return self._session.history

    @property
    def confusion(self) -> dict[int, dict[str, list[list[float]]]]:
        """By epoch and name: the confusion matrices that the module's metrics held when its validation ended."""
        return self._session.showcase.confusion

    def plot(self, kind: Kind = "schedule", epoch: int | None = None, ax: Axes | None = None) -> Axes:
        """A picture of the search: :func:`lightning_gammabo.report.figures.plot` of this history.

        Args:
            kind: ``surrogate``, ``landscape``, ``schedule``, ``cost`` or ``confusion``.
            epoch: which epoch's, for the kinds of one epoch; None for the last.
            ax: draw here; None for a figure of its own.

        Returns:
            The main axes.
        """
        return plot(self.history, kind, epoch, ax, confusion=self.confusion)

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
        """Begin a history of its own for each fit."""
        if stage == "fit":
            self._session = FitSession(self._settings)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check what can be checked before training."""
        self._session.showcase.check()
        self._trainer = trainer
        self._session.prepare(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on exactly where a checkpoint was written."""
        self._session.begin(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have the epoch, after all hooks at its start."""
        if self._session.plan(trainer):
            arm(trainer, lambda fetcher, run: self._session.run_epoch(trainer, pl_module, fetcher, run))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read what confusion matrices hold, before the module may reset them."""
        if self._trainer is not None:
            self._session.showcase.validated(trainer, pl_module, self.history)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show what was found."""
        if len(self.history):
            rank_zero_info(history_table(self.history))
        self._session.showcase.ended(trainer, self.history)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the Trainer as it was found."""
        self._leave(trainer)

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

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self._session.load_state_dict(state_dict)

    def __getstate__(self) -> dict[str, Any]:
        # a copy, or another process's, holds the history and nothing of the Trainer
        session = FitSession(self._settings)
        session.history = SearchHistory(self.history)
        session.showcase.confusion = dict(self.confusion)
        return {**self.__dict__, "_trainer": None, "_session": session}

    def _leave(self, trainer: Trainer) -> None:
        disarm(trainer)
        self._session.end()
        self._trainer = None
