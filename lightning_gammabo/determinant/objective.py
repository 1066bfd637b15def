"""What a candidate is ranked by: kappa (thesis ch. 3.2, eqs. 11 and 12), the loss, the accuracy, any logged metric.

| symbol | meaning |
| --- | --- |
| ``Ma`` | validation accuracy, a fraction |
| ``Ml`` | validation loss, in units of the reference loss where one is known |
| ``lambda`` | weight of the loss, in (0, 1] |

The thesis clips kappa at 0. With a loss above 1, as in every early epoch of a ten-class problem, all candidates would
tie there, so the clipped value is *reported* and the unclipped one *ranked*, the loss measured against the untrained
network's (about ``ln C`` for ``C`` classes) and capped at three times that, so that one diverged rate does not set the
scale. Ties go to the lower loss.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from lightning_gammabo.determinant.direction import Mode, known_mode
from lightning_gammabo.determinant.kappa import Kappa, kappa, kappa_original

__all__ = [
    "CustomObjective",
    "NotLogged",
    "Objective",
    "ObjectiveName",
    "Score",
    "ValidationMetrics",
]

ObjectiveName = Literal["kappa", "kappa_original", "kappa_thesis", "loss", "accuracy"]

LOSS_CAP = 3.0
"""a loss counts as at most this many reference losses"""
PERCENT_FROM = 1.001
"""an accuracy above this is per cent; a mean of ones in single precision may exceed 1 by a rounding"""


class NotLogged(ValueError):
    """What candidates are to be ranked by was not logged by one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationMetrics:
    """What the validation of one candidate gave.

    Args:
        loss: validation loss, or None if none was logged.
        accuracy: validation accuracy as it was logged (a fraction or per cent), or None.
        metrics: every scalar that was logged, by name.
    """

    loss: float | None
    accuracy: float | None
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How good a candidate is.

    Args:
        ranked: what is ranked, greater is better; None if it is not finite: the candidate diverged.
        reported: what is shown: the objective under its own sign (a loss is positive, a kappa is not clipped, but for
            ``kappa_thesis``); None where there is none.
        accuracy: the accuracy as a fraction, or None.
    """

    ranked: float | None
    reported: float | None
    accuracy: float | None


class CustomObjective(ABC):
    """An objective of one's own: a subclass says in :meth:`score` how good a candidate is.

    It must not remember one candidate while it scores the next: candidates are compared.

    Example:
        >>> class Balanced(CustomObjective):
        ...     def __init__(self, weight: float = 0.5) -> None:
        ...         self.weight = weight
        ...
        ...     def score(self, validation: ValidationMetrics) -> float:
        ...         f1, recall = validation.metrics["val_f1"], validation.metrics["val_recall"]
        ...         return self.weight * f1 + (1 - self.weight) * recall
        >>> Balanced().score(ValidationMetrics(loss=0.5, accuracy=0.9, metrics={"val_f1": 0.5, "val_recall": 1.0}))
        0.75
    """

    @property
    def name(self) -> str:
        """What records, tables and messages call it: the name of its class, unless a subclass says otherwise."""
        return type(self).__name__

    @abstractmethod
    def score(self, validation: ValidationMetrics) -> float:
        """How good a candidate is.

        Args:
            validation: what its validation gave; the accuracy is a fraction here.

        Returns:
            The score, greater is better; one that is not finite says that the candidate diverged.
        """


class Objective:
    """Turns what was measured into a score.

    Args:
        name: ``kappa`` (eq. 12), ``kappa_original`` (eq. 11), ``kappa_thesis`` (eq. 12 clipped at 0, literally, for
            reproduction), ``loss``, ``accuracy``, the name of a logged metric, a :class:`Kappa`, or a
            :class:`CustomObjective`.
        mode: ``min`` or ``max``: the direction of a metric named by ``name``; None where its name tells it.

    Attributes:
        name: its name, for records and messages.
        custom: the objective of one's own, or None.
        reference_loss: the untrained network's validation loss; the kappas measure the loss against it.
        percent: whether the accuracy is logged in per cent: known once one of them exceeded 1, and then true also of
            the 0.9 of a candidate that learned nothing.

    Raises:
        TypeError: if the objective is none of these.
        ValueError: if an argument is out of its domain, or the direction of a metric is not known, or contradicts its
            name.
    """

    def __init__(self, name: CustomObjective | Kappa | str = "kappa", *, mode: Mode | None = None) -> None:
        if not isinstance(name, (CustomObjective, Kappa, str)):
            raise TypeError(f"objective={name!r}: need a name, a Kappa or a CustomObjective, not {type(name).__name__}")
        if not name:
            raise ValueError(f"objective={name!r}: name one of {list(get_args(ObjectiveName))} or a logged metric")
        if mode not in ("min", "max", None):
            raise ValueError(
                f"mode={mode!r}: the direction of a metric is 'min' or 'max'; None where its name tells it"
            )
        self.custom = name if isinstance(name, CustomObjective) else None
        self.kappa_lambda = name.lambda_ if isinstance(name, Kappa) else 1.0
        named = name.form if isinstance(name, Kappa) else name
        self.name = named.name if isinstance(named, CustomObjective) else named
        self.mode = self._direction(mode)
        self.reference_loss: float | None = None
        self.percent = False

    def _direction(self, mode: Mode | None) -> Mode:
        if self.metric is None:
            if mode is not None:
                raise ValueError(
                    f"objective={self.name!r}, mode={mode!r}: mode is the direction of a logged metric; leave it out"
                )
            return "max"
        known = known_mode(self.metric)
        if mode == "max" and known == "min":
            raise ValueError(
                f"objective={self.name!r}, mode='max': by its name it is better when it is lower. Choose mode='min', "
                "or a CustomObjective if it really is to be maximised"
            )
        if mode is None and known is None:
            raise ValueError(
                f"objective={self.name!r}: its name does not tell whether lower or higher is better; give "
                "mode='min' or mode='max'"
            )
        return mode or known or "max"

    @property
    def is_kappa(self) -> bool:
        """Whether accuracy and loss are combined."""
        return self.custom is None and self.name.startswith("kappa") and self.name in get_args(ObjectiveName)

    @property
    def metric(self) -> str | None:
        """Name of the logged metric that is ranked, or None for the built-in objectives and one's own."""
        return None if self.custom is not None or self.name in get_args(ObjectiveName) else self.name

    @property
    def uses_reference(self) -> bool:
        """Whether the score is measured against :attr:`reference_loss`."""
        return self.custom is None and self.name in ("kappa", "kappa_original")

    def lacks(self, validation: ValidationMetrics) -> str | None:
        """What was not logged and is needed to rank by.

        Args:
            validation: what a candidate's validation gave.

        Returns:
            Its name, or None.
        """
        if self.custom is not None:
            return None
        needed = {"accuracy": validation.accuracy, "loss": validation.loss}
        if self.metric is not None:
            return None if self.metric in validation.metrics else self.metric
        if self.name in needed:
            return self.name if needed[self.name] is None else None
        return "loss or accuracy" if validation.loss is None and validation.accuracy is None else None

    def score(self, validation: ValidationMetrics) -> Score:
        """Score one candidate.

        Args:
            validation: what its validation gave.

        Returns:
            Score, reported value and the accuracy as a fraction.

        Raises:
            NotLogged: if an objective of one's own looks for a metric that was not logged.
        """
        self.percent |= validation.accuracy is not None and is_percent(validation.accuracy)
        accuracy = as_fraction(validation.accuracy, percent=self.percent)
        loss = validation.loss
        diverged = loss is not None and not math.isfinite(loss)
        score = None if diverged else self._score(accuracy, loss, validation.metrics)
        if score is not None and not math.isfinite(score):
            score = None
        return Score(ranked=score, reported=self._reported(accuracy, validation, score), accuracy=accuracy)

    def _score(self, accuracy: float | None, loss: float | None, metrics: Mapping[str, float]) -> float | None:
        if self.custom is not None:
            return _score_by(self.custom, ValidationMetrics(loss=loss, accuracy=accuracy, metrics=metrics))
        if self.metric is not None:
            value = metrics.get(self.metric, math.nan)
            return value if self.mode == "max" else -value
        if self.name == "accuracy":
            return accuracy
        if self.name == "loss" or accuracy is None:
            return None if loss is None else -loss
        if loss is None:
            return accuracy
        if self.name == "kappa_thesis":
            return max(kappa(accuracy, loss, self.kappa_lambda), 0.0)  # in this order NaN stays NaN
        reference = self.reference_loss or 1.0
        relative = min(loss / reference, LOSS_CAP) if self.reference_loss else loss
        formula = kappa if self.name == "kappa" else kappa_original
        return formula(accuracy, relative, self.kappa_lambda)

    def _reported(self, accuracy: float | None, validation: ValidationMetrics, score: float | None) -> float | None:
        loss = validation.loss
        if score is None or self.custom is not None:
            return score
        if self.metric is not None:
            return validation.metrics.get(self.metric)
        if self.name == "loss" or (self.is_kappa and accuracy is None):
            return loss
        if not self.is_kappa or accuracy is None or loss is None:
            return score
        formula = kappa_original if self.name == "kappa_original" else kappa
        value = formula(accuracy, loss, self.kappa_lambda)
        return max(0.0, value) if self.name == "kappa_thesis" else value


def _score_by(custom: CustomObjective, validation: ValidationMetrics) -> float:
    try:
        return float(custom.score(validation))
    except KeyError as error:
        raise NotLogged(
            f"GammaLRSearch(objective={custom.name}): its score() looks for {error}, and no such metric was logged by "
            f"the validation of a candidate; logged are {sorted(validation.metrics)}. Log it in `validation_step`, or "
            "score by one of these"
        ) from error


def is_percent(accuracy: float) -> bool:
    """Whether an accuracy can only be meant in per cent.

    Args:
        accuracy: as it was logged.

    Returns:
        Whether it is above 1 by more than a rounding.
    """
    return PERCENT_FROM < accuracy < math.inf


def as_fraction(accuracy: float | None, *, percent: bool = False) -> float | None:
    """An accuracy as a fraction.

    Args:
        accuracy: a fraction, or per cent, or None.
        percent: whether it is known to be per cent; else it is where it exceeds 1.

    Returns:
        The fraction, or None.

    Example:
        >>> as_fraction(87.5), as_fraction(0.875), as_fraction(None)
        (0.875, 0.875, None)
        >>> as_fraction(0.875, percent=True)
        0.00875
    """
    if accuracy is None:
        return None
    return accuracy / 100.0 if percent or is_percent(accuracy) else accuracy
