"""What a fit shows beside its words: pictures in the user's loggers, a report at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lightning_gammabo.records import EpochRate, SearchHistory
from lightning_gammabo.report.confusion import read_confusion
from lightning_gammabo.report.extras import check_extras
from lightning_gammabo.report.figures import Kind, plot
from lightning_gammabo.report.html import write_report
from lightning_gammabo.report.loggers import log_figures, takes_figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Publisher", "ResultsMixin"]


class ResultsMixin:
    """What a callback shows of its own fit, mixed into it: records and pictures."""

    _session: Any

    @property
    def history(self) -> SearchHistory:
        """One record for each searched epoch of the present fit, or of the last one.

        Where a Trainer is asked to fit again and goes on, the records of its earlier fits stand first.
        """
        history: SearchHistory = self._session.recorder.whole
        return history

    @property
    def rates(self) -> list[EpochRate]:
        """The learning rate of every epoch so far, searched or not."""
        return list(self._session.rates.by_epoch)

    @property
    def confusion(self) -> dict[int, dict[str, list[list[float]]]]:
        """By epoch and name: the confusion matrices that the module's metrics held when its validation ended."""
        matrices: dict[int, dict[str, list[list[float]]]] = self._session.publisher.confusion
        return matrices

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


class Publisher:
    """Pictures and report of one fit; a picture that fails is not worth the training.

    Args:
        log_figures: whether pictures go to the user's loggers.
        report: where the report is written; None for none.
        inform: shows the table.
        warn: says what a user should look at.

    Attributes:
        confusion: by epoch and name: confusion matrices as the user's metrics held them.
    """

    def __init__(
        self,
        *,
        log_figures: bool,
        report: str | None,
        inform: Callable[[str], object],
        warn: Callable[[str], object],
    ) -> None:
        self.confusion: dict[int, dict[str, list[list[float]]]] = {}
        self._log_figures = log_figures
        self._report = report
        self._inform = inform
        self._warn = warn
        self._ended = False

    def check(self, loggers: Sequence[Any]) -> None:
        """Refuse to begin what could not be ended for want of a package, and say where pictures have no taker.

        Args:
            loggers: the Trainer's, on the first process.
        """
        if self._report is not None:
            check_extras(f"GammaLRSearch(report={str(self._report)!r})", "matplotlib", "jinja2")
        if self._log_figures:
            check_extras("GammaLRSearch(log_figures=True)", "matplotlib")
            if not takes_figures(loggers):
                names = ", ".join(type(logger).__name__ for logger in loggers)
                self._warn(
                    f"GammaLRSearch(log_figures=True): {names or 'a Trainer without a logger'} takes no figures; the "
                    "loggers of TensorBoard, W&B, MLflow and Comet do, and report='report.html' has the pictures"
                )

    def searched(self, trainer: Any, history: SearchHistory) -> None:
        """Log the pictures of the epoch that was just searched.

        Args:
            trainer: the Trainer, with the user's loggers in their places.
            history: with this epoch's record.
        """
        self._log(trainer, history)

    def validated(self, trainer: Any, pl_module: Any, history: SearchHistory) -> None:
        """Read the confusion matrices of the committed epoch, and log the first one's picture.

        Args:
            trainer: the Trainer, in ``on_validation_epoch_end``.
            pl_module: the user's module.
            history: the records so far.
        """
        found = read_confusion(pl_module, lambda counts: trainer.strategy.reduce(counts, reduce_op="sum"))
        if found and not trainer.sanity_checking:
            self.confusion[trainer.current_epoch] = found
            self._log(trainer, history, kinds=("confusion",))

    def ended(self, trainer: Any, history: SearchHistory) -> None:
        """Show what was found, once: the table with the cost, and the report if one is wanted.

        Args:
            trainer: the Trainer, when its training has ended or was stopped.
            history: all records.
        """
        path = self._report
        if self._ended or not trainer.is_global_zero:
            return
        self._ended = True
        if history:
            self._inform(f"GammaLRSearch: what was found\n{history}")
        if path is None:
            return
        try:
            write_report(history, path, confusion=self.confusion)
        except Exception as error:
            self._warn(f"GammaLRSearch(report={str(path)!r}): the report could not be written ({error})")

    def _log(self, trainer: Any, history: SearchHistory, *, kinds: Sequence[Kind] | None = None) -> None:
        if self._log_figures and trainer.is_global_zero:
            epoch, step, matrices = trainer.current_epoch, trainer.global_step, self.confusion
            log_figures(trainer.loggers, history, epoch, step=step, kinds=kinds, confusion=matrices)
