"""What each epoch ended with, as the Trainer logged it, and what a reader of the history has to know of the run."""

from __future__ import annotations

import copy
import importlib.metadata
import math
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from lightning_gammabo.determinant.metrics import MetricKeys
from lightning_gammabo.determinant.objective import NotLogged, Objective
from lightning_gammabo.policy import SearchPolicy
from lightning_gammabo.records import Outcome, RunInfo, TrainedEpoch, TrialState
from lightning_gammabo.records.cost import RunCost
from lightning_gammabo.scheduler.arguments import SearchArguments
from lightning_gammabo.scheduler.recorder import Recorder
from lightning_gammabo.scheduler.run_plan import RunPlan
from lightning_gammabo.scheduler.run_rates import RunRates

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["EpochEnds", "logged_scalars", "run_info", "why_not"]

_PACKAGES = ("lightning_gammabo", "lightning", "pytorch_lightning", "torch", "botorch")
_PLAIN = (bool, int, float, str, type(None))


class EpochEnds:
    """Notes what each epoch ends with.

    Args:
        objective: what candidates are ranked by.
        keys: reads loss and accuracy off what is logged.
        rates: what epochs are trained with.
        recorder: where it is noted.
    """

    def __init__(self, objective: Objective, keys: MetricKeys, rates: RunRates, recorder: Recorder) -> None:
        self._objective = objective
        self._keys = keys
        self._rates = rates
        self._recorder = recorder
        self._validated: dict[int, dict[str, float]] = {}
        self._reasons: dict[int, str] = {}

    def validated(self, trainer: Trainer) -> None:
        """Read what a validation of the Trainer's own has logged.

        Args:
            trainer: the Trainer, in ``on_validation_end``.
        """
        if trainer.sanity_checking:
            self._keys.see(logged_scalars(trainer))
        else:
            self._validated = {trainer.current_epoch: logged_scalars(trainer)}

    def not_searched(self, epoch: int, reason: str) -> None:
        """Note why an epoch that was planned to be searched is not.

        Args:
            epoch: the epoch.
            reason: in words.
        """
        self._reasons[epoch] = reason

    def note(self, trainer: Trainer, plan: RunPlan | None) -> None:
        """Note what the epoch was trained with and what it ended with, once there was a search; tell loggers.

        Args:
            trainer: the Trainer, in ``on_train_epoch_end``.
            plan: the run's plan; None where nothing is searched.
        """
        epoch = trainer.current_epoch
        self._rates.note_epoch(epoch)
        if plan is None:
            return
        rate = next((rate for rate in self._rates.by_epoch if rate.epoch == epoch), None)
        lr, validated = rate.start if rate is not None else math.nan, epoch in self._validated
        self._recorder.log_epoch(trainer, epoch, lr=lr, validated=validated)
        if not self._recorder.history:
            return
        metrics: Mapping[str, float] = {}
        if validated:
            metrics = self._validated[epoch] | logged_scalars(trainer)
        loss, accuracy, value = self._values(metrics)
        reason = self._reasons.pop(epoch, "" if plan.searches(epoch) else why_not(plan, epoch))
        trained = TrainedEpoch(
            epoch=epoch,
            rate=rate,
            loss=loss,
            accuracy=accuracy,
            value=value,
            metrics=metrics,
            not_searched=reason,
            retrained=self._recorder.retrained.pop(epoch, 0),
        )
        self._recorder.note_epoch(trainer, trained)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs.

        Returns:
            Plain values.
        """
        return {"validated": dict(self._validated), "reasons": dict(self._reasons)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Args:
            state: what :meth:`state_dict` gave.
        """
        self._validated, self._reasons = dict(state["validated"]), dict(state["reasons"])

    def _values(self, metrics: Mapping[str, float]) -> tuple[float | None, float | None, float | None]:
        # copies: what an epoch ends with teaches the search nothing
        objective, keys = copy.copy(self._objective), copy.copy(self._keys)
        try:
            measured = keys.measure(Outcome(state=TrialState.COMPLETE, metrics=metrics))
            score = objective.score(measured)
        except NotLogged:
            return None, None, None
        loss = measured.loss if measured.loss is not None and math.isfinite(measured.loss) else None
        lacks = objective.lacks(measured) is not None
        return loss, score.accuracy, None if lacks else score.reported


def logged_scalars(trainer: Trainer) -> dict[str, float]:
    """What was logged last, as numbers.

    Args:
        trainer: the Trainer.

    Returns:
        Value by name.
    """
    return {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}


def why_not(plan: RunPlan, epoch: int) -> str:
    """Why a plan does not search an epoch.

    Args:
        plan: the run's plan.
        epoch: an epoch that it does not search.

    Returns:
        The reason in words.
    """
    policy = plan.policy
    if epoch < policy.start_epoch:
        return f"before start_epoch={policy.start_epoch}"
    if policy.stop_epoch != "never" and epoch >= policy.stop_epoch:
        return f"from stop_epoch={policy.stop_epoch} on"
    if policy.when == "every":
        return f"one search in {plan.every} epochs, by its price"
    if policy.when == "first":
        return f"policy {policy.name!r} searches once"
    return f"policy {policy.name!r} searches at {', '.join(f'{float(share):.0%}' for share in policy.when)} of the run"


def run_info(
    given: SearchArguments, policy: SearchPolicy, plan: RunPlan, trainer: Trainer, *, before: RunCost
) -> RunInfo:
    """What a reader of the history has to know of the run.

    Args:
        given: the callback's arguments.
        policy: the policy as it was asked for.
        plan: the run's plan.
        trainer: the Trainer.
        before: what the fits cost from whose end this one goes on.

    Returns:
        Date, versions, settings, and what the run was to cost.
    """
    arguments = {name: getattr(given, name) for name in SearchArguments.__annotations__ if name != "policy"}
    of_policy = {f"policy.{field.name}": getattr(policy, field.name) for field in fields(policy)}
    settings = {
        name: value if isinstance(value, _PLAIN) else str(value) for name, value in (arguments | of_policy).items()
    }
    left, planned = plan.shape.epochs_left, plan.ceiling if plan.shape.val_ratio is not None else None
    epochs = None if left is None else before.epochs + math.ceil(left - 1e-9)
    return RunInfo(
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions={name: found for name in _PACKAGES if (found := _version(name)) is not None},
        settings=settings,
        epochs=epochs,
        validation=plan.validation,
        planned=None if planned is None or epochs is None else 1.0 + (before.extra + planned) / max(epochs, 1),
        group=_group_of_rates(trainer),
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _group_of_rates(trainer: Trainer) -> str:
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    if len(groups) < 2:
        return ""
    name = groups[0].get("name")
    named = f"parameter group {name!r}, " if name is not None else ""
    return f"{named}the first of {len(groups)} parameter groups"
