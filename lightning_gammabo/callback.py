"""GammaLRSearch: the Lightning callback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_info

from lightning_gammabo.bayesopt import SearchFactory
from lightning_gammabo.determinant.objective import CustomObjective
from lightning_gammabo.learning_rate.schedule import LRSchedule
from lightning_gammabo.policy import SearchPolicy, make_policy
from lightning_gammabo.records import SearchHistory
from lightning_gammabo.report.publish import Pictured
from lightning_gammabo.scheduler.fit import FitSession
from lightning_gammabo.scheduler.settings import SearchSettings
from lightning_gammabo.trainer.compat import join_namespaces
from lightning_gammabo.trainer.epoch_loop import arm, disarm
from lightning_gammabo.trainer.messages import beside_bars

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["GammaLRSearch"]


class GammaLRSearch(Pictured, Callback):
    """Tunes the learning rate while training: searches it anew at the start of each epoch.

    At the start of a searched epoch the state of the training is noted. Candidates train the epoch, or a part of it,
    from that very state, on the same batches, each at another rate; the first one at the rate that the optimizer would
    use now, the others as Bayesian optimisation with a Gamma posterior of the precision proposes. Each is validated and
    scored; the chosen one's weights, buffers, optimizer state, metric states and random numbers become the training's,
    and the epoch goes on from there.

    When, how much and around which schedule is searched is the *policy*: ``epochwise`` (the default: a wide search in
    the first epoch, then short candidates every epoch around an anchored schedule), ``adaptive``, ``once``,
    ``thorough``, or ``thesis`` (the published method, twelve full candidates every epoch). Each of its fields can be
    set otherwise by the argument of the same name; None leaves the policy's.

    The validation score on which candidates were chosen is optimistic: report on a split that the search has not seen.

    Args:
        policy: name of a policy, or a :class:`~lightning_gammabo.policy.SearchPolicy`.
        lr_min: lowest rate that is proposed, at the height of the schedule; None for 1e-4, or 1e-5 for Adam and such.
        lr_max: highest rate that is proposed; None for 1, or 0.1 for Adam and such. The configured rate may lie
            outside of the two; it is tried all the same.
        n_initial: candidates of the first search before the surrogate proposes, the present rate among them.
        n_iterations: candidates of the first search that the surrogate proposes.
        n_later: candidates of each later search.
        when: ``every`` epoch, only the ``first``, or the first and those at a list of shares of the run.
        first_fraction: share of the epoch that candidates of the first search train.
        fraction: share of the epoch that candidates of later searches train.
        min_steps: optimizer steps that a candidate trains at the least.
        region: factor by which later searches may move the rate, either way, over the whole run.
        anchor: schedule whose height is searched: ``auto``, ``cosine``, ``linear``, ``constant``, ``plateau``,
            ``scheduler``.
        rule: of later searches: ``best`` score, ``largest`` rate within the noise of it, or ``anchored``: the present
            rate unless a larger one is better beyond the noise.
        errors: paired standard errors that count as noise.
        drop_at: share of a candidate's training after which a hopeless one is dropped; 1 for never.
        settle: whether the first search ends with the centre of the rates that scored well, which then wins.
        guard: whether an epoch that diverges is rolled back, and a run that loses ground goes back to its best epoch.
        score_samples: validation samples on which candidates are scored.
        later_share: what later searches may cost at the most, in passes for each epoch; rarer ones keep to it.
        search: who proposes: ``gamma`` (Student-t process), ``gamma_thesis`` (eqs. 13-15 to the letter),
            ``gaussian``, ``gaussian_log_ei``, ``gaussian_pi``, ``grid``, ``random``, ``sobol``; or a
            :class:`~lightning_gammabo.SearchFactory`.
        objective: ``kappa`` (eq. 12), ``kappa_original`` (eq. 11), ``kappa_thesis`` (clipped at 0), ``loss``,
            ``accuracy``, the name of a logged metric, or a :class:`~lightning_gammabo.CustomObjective`.
        candidates: rates to try after the present one; `search` and the numbers of candidates are then not looked at.
        objective_mode: ``min`` or ``max``: the direction of a metric named by ``objective``.
        kappa_lambda: lambda of eqs. 11 and 12, in (0, 1].
        monitor_loss: name of the logged validation loss; None to find it.
        monitor_accuracy: name of the logged validation accuracy; None to find it.
        commit: ``copy`` puts the winner's end state back; ``replay`` trains its epoch again, so that callbacks see it.
        every_n_epochs: where every epoch is searched, search only every n-th one, from ``start_epoch`` on.
        start_epoch: first epoch that is searched, from 0.
        stop_epoch: first epoch that is not searched any more; None for none.
        lr_schedulers: what becomes of the user's LR schedulers: ``override`` sets them aside from the first searched
            epoch on, ``scale`` lets the search multiply what they schedule, ``error`` refuses them; None: as the anchor
            has it.
        score_dataloader: loader to score candidates on, or the name of the data module's or module's method that gives
            it, so that the validation data stay unseen by the search; None for (a part of) the validation data.
        max_overhead: cap of what searches cost, in extra passes (or seconds) for each plain one; None for no cap.
        overhead_unit: ``passes`` or ``seconds``.
        seed: of the search's own randomness; no global generator is touched.
        history_file: file to which the history is written after each searched epoch (``.jsonl`` or ``.csv``).
        progress: whether to show a bar for each search, under Lightning's own.
        log_figures: whether to send pictures to the loggers that take them (TensorBoard, W&B, MLflow).
        report_file: HTML file to which a report is written when the fit ends.

    Raises:
        ValueError: if an argument is out of its domain.
        TypeError: if an argument is of the wrong type.

    Source: thesis ch. 3 (the method), ch. 4.2.1 (the numbers of ``thesis``); docs/policies.md (the others).

    Example:
        >>> callback = GammaLRSearch("once", lr_min=1e-3, lr_max=0.5, n_iterations=2)
        >>> callback.history
        SearchHistory(0 epochs)
    """

    _trainer: Trainer | None = None
    _session: FitSession

    def __init__(
        self,
        policy: str | SearchPolicy = "epochwise",
        *,
        lr_min: float | None = None,
        lr_max: float | None = None,
        n_initial: int | None = None,
        n_iterations: int | None = None,
        n_later: int | None = None,
        when: Literal["every", "first"] | Sequence[float] | None = None,
        first_fraction: float | None = None,
        fraction: float | None = None,
        min_steps: int | None = None,
        region: float | None = None,
        anchor: Literal["auto", "cosine", "linear", "constant", "plateau", "scheduler"] | None = None,
        rule: Literal["best", "largest", "anchored"] | None = None,
        errors: float | None = None,
        drop_at: float | None = None,
        settle: bool | None = None,
        guard: bool | None = None,
        score_samples: int | None = None,
        later_share: float | None = None,
        search: SearchFactory | str | None = None,
        objective: CustomObjective | str | None = None,
        candidates: Sequence[float] | None = None,
        objective_mode: Literal["min", "max"] = "max",
        kappa_lambda: float = 1.0,
        monitor_loss: str | None = None,
        monitor_accuracy: str | None = None,
        commit: Literal["copy", "replay"] = "copy",
        every_n_epochs: int = 1,
        start_epoch: int = 0,
        stop_epoch: int | None = None,
        lr_schedulers: Literal["override", "scale", "error"] | None = None,
        score_dataloader: Any = None,
        max_overhead: float | None = None,
        overhead_unit: Literal["passes", "seconds"] = "passes",
        seed: int = 0,
        history_file: str | None = None,
        progress: bool = True,
        log_figures: bool = False,
        report_file: str | None = None,
    ) -> None:
        super().__init__()
        join_namespaces(GammaLRSearch)
        self.policy = policy
        self.lr_min = lr_min
        self.lr_max = lr_max
        self.n_initial = n_initial
        self.n_iterations = n_iterations
        self.n_later = n_later
        self.when = when
        self.first_fraction = first_fraction
        self.fraction = fraction
        self.min_steps = min_steps
        self.region = region
        self.anchor = anchor
        self.rule = rule
        self.errors = errors
        self.drop_at = drop_at
        self.settle, self.guard = settle, guard
        self.score_samples = score_samples
        self.later_share = later_share
        self.search = search
        self.objective = objective
        self.candidates = candidates
        self.objective_mode = objective_mode
        self.kappa_lambda = kappa_lambda
        self.monitor_loss, self.monitor_accuracy = monitor_loss, monitor_accuracy
        self.commit = commit
        self.every_n_epochs = every_n_epochs
        self.start_epoch, self.stop_epoch = start_epoch, stop_epoch
        self.lr_schedulers = lr_schedulers
        self.score_dataloader = score_dataloader
        self.max_overhead = max_overhead
        self.overhead_unit = overhead_unit
        self.seed = seed
        self.history_file, self.report_file = history_file, report_file
        self.progress, self.log_figures = progress, log_figures
        overrides = {name: vars(self)[name] for name in SearchPolicy.__dataclass_fields__ if name in vars(self)}
        plain = {name: vars(self)[name] for name in SearchSettings.__dataclass_fields__ if name != "policy"}
        self._settings = SearchSettings(policy=make_policy(policy, overrides), **plain)  # checks them
        self._session = FitSession(self._settings)

    def schedule(self) -> LRSchedule:
        """What was found: the learning rate of every trained epoch, to be kept, looked at and replayed.

        Returns:
            The schedule; :class:`~lightning_gammabo.GammaSchedule` replays it.

        Raises:
            ValueError: if nothing was trained yet.
        """
        return LRSchedule(rates=tuple(self.rates), anchor=self._session.rates.anchor)

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
        """Note the rate that the batch is trained at."""
        if self._session.rates.guard is not None:
            self._session.rates.guard.on_train_batch_start(trainer, pl_module, batch, batch_idx)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Let the rate follow the anchor."""
        if self._session.rates.guard is not None:
            self._session.rates.guard.on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the rate that the epoch was trained at."""
        self._session.rates.note_epoch(trainer.current_epoch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read what confusion matrices hold, before the module may reset them."""
        if self._trainer is not None:
            self._session.showcase.validated(trainer, pl_module, self.history)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show what was found."""
        if len(self.history) and (plan := self._session.plan) is not None:
            with beside_bars():
                cost = self._session.ledger.cost_in_words(trainer.current_epoch, plan)
                rank_zero_info(f"{self.history}\nGammaLRSearch: {cost}")
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
        session.ledger.history = SearchHistory(self.history)
        session.showcase.confusion = dict(self.confusion)
        session.rates.by_epoch, session.rates.anchor = self.rates, self._session.rates.anchor
        return {**self.__dict__, "_trainer": None, "_session": session}

    def _leave(self, trainer: Trainer) -> None:
        disarm(trainer)
        self._session.end()
        self._trainer = None


join_namespaces(GammaLRSearch)
