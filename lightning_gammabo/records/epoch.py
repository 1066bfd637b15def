"""One record for each searched epoch, and one for each epoch as it was trained: frozen, plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lightning_gammabo.records.plain import PlainRecord
from lightning_gammabo.records.trial import Result

__all__ = ["KAPPAS", "EpochRate", "EpochRecord", "TrainedEpoch", "lost_epochs", "ranked_by"]

KAPPAS = ("kappa", "kappa_original", "kappa_thesis")
"""objectives that are made of loss and accuracy"""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class EpochRate(PlainRecord):
    """The learning rate that one epoch was trained with, searched or not.

    Args:
        epoch: ``trainer.current_epoch``, from 0.
        start: the reference rate at its first batch.
        end: the reference rate at its last batch.
        steps: batches that it trained.
        peak: the rate at the peak of the annealing schedule (``start`` where the rate is constant).
        returned_to: the epoch from whose end it went on, where recovery had put that one's weights back; None where
            it went on from the last one's.
    """

    epoch: int
    start: float
    end: float
    steps: int
    peak: float
    returned_to: int | None = None

    def __repr__(self) -> str:
        back = "" if self.returned_to is None else f", returned_to={self.returned_to}"
        return f"EpochRate(epoch={self.epoch}, {self.start:.2e} to {self.end:.2e}, peak={self.peak:.2e}{back})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TrainedEpoch(PlainRecord):
    """One epoch as the run trained it, searched or not: what it ended with.

    Args:
        epoch: ``trainer.current_epoch``, from 0.
        rate: the learning rate that it was trained with; None if no batch was trained.
        loss: the validation loss that the Trainer logged last in it; None if the epoch was not validated.
        accuracy: the validation accuracy logged with it, as a fraction; None if there is none.
        value: the objective of these two or of the logged metric, under its own sign; None if it cannot be computed.
        metrics: every scalar that the Trainer had logged by the end of the epoch, by name.
        not_searched: why no rate was searched, in words; empty for a searched epoch.
        retrained: how often it diverged, was put back to its start and trained again at a lower rate.
    """

    epoch: int
    rate: EpochRate | None = None
    loss: float | None = None
    accuracy: float | None = None
    value: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    not_searched: str = ""
    retrained: int = 0

    @property
    def returned_to(self) -> int | None:
        """The epoch from whose end this one went on, where recovery had put its weights back; else None."""
        return None if self.rate is None else self.rate.returned_to

    def __repr__(self) -> str:
        rate = "" if self.rate is None else f", lr={self.rate.start:.2e}"
        loss = "" if self.loss is None else f", loss={self.loss:.4g}"
        return f"TrainedEpoch(epoch={self.epoch}{rate}{loss})"

    @classmethod
    def _read(cls, known: dict[str, Any]) -> dict[str, Any]:
        rate = known.get("rate")
        return {**known, "rate": None if rate is None else EpochRate.from_dict(rate)}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class EpochRecord(PlainRecord):
    """The search of one epoch.

    Args:
        epoch: ``trainer.current_epoch``, from 0.
        results: one for each candidate, in the order in which they were trained.
        chosen_number: ``number`` of the result whose epoch was committed; None if none could be.
        reason: why this one, in words.
        objective: name of the objective that ranked them.
        commit: ``copy`` or ``replay``.
        train_passes: passes over the training data, the committed epoch included.
        val_passes: passes over the validation data, the committed epoch's own included.
        seconds: wall time of the search, without the committed epoch's own validation.
        sampler: what proposed the rates; a name that :func:`~lightning_gammabo.bayesopt.make_search` knows.
        min_lr: lowest rate that could be proposed (rates are those at the epoch's start); None if not known.
        max_lr: highest rate that could be proposed.
        n_initial: candidates before a surrogate was asked.
        seed: of this epoch's search.
        policy: name of the policy that planned the search.
        annealing: factor of the annealing schedule at the epoch's start, 1 at its peak; rates of candidates are peaks.
        share: share of the epoch that each candidate was to train.
        scorings: validations on what candidates are scored on.
        score_samples: validation samples that score a candidate; None for all of them, 0 where its training loss does.
        rule: how the Determinant chose, as :data:`~lightning_gammabo.determinant.determinant.Rule` names it.
        n_sigma: paired standard errors that count as noise under that rule.
        prior: belief about the best rate's place with which the last rate was proposed, its centre as log10 of a rate,
            scale and degrees of freedom; None where there was none.

    Raises:
        ValueError: if ``chosen_number`` names no result.
    """

    epoch: int
    results: tuple[Result, ...]
    chosen_number: int | None
    reason: str
    objective: str = "kappa"
    commit: str = "copy"
    train_passes: float = 0.0
    val_passes: float = 0.0
    seconds: float = 0.0
    sampler: str = "gamma"
    min_lr: float | None = None
    max_lr: float | None = None
    n_initial: int = 2
    seed: int = 0
    policy: str = "thesis"
    annealing: float = 1.0
    share: float = 1.0
    scorings: int = 0
    score_samples: int | None = None
    rule: str = "best"
    n_sigma: float = 1.0
    prior: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.chosen_number is not None and self.chosen_number not in {r.number for r in self.results}:
            raise ValueError(f"EpochRecord(epoch={self.epoch}): no result has number {self.chosen_number}")

    @property
    def chosen(self) -> Result | None:
        """The result whose epoch was committed, or None if none was."""
        return next((r for r in self.results if r.number == self.chosen_number), None)

    @property
    def peak(self) -> float | None:
        """The rate that was chosen, at the peak of the annealing schedule; None if none was."""
        return None if self.chosen is None else self.chosen.lr

    @property
    def ranked_by(self) -> str:
        """What candidates were ranked by: the objective, or what stood in for a kappa without a loss or an accuracy."""
        return ranked_by(self.objective, self.results)

    def extra_passes(self, validation: float) -> float:
        """What the search cost beyond the epoch itself.

        Args:
            validation: what one scoring of a candidate costs, in passes over the training data.

        Returns:
            Passes over the training data.
        """
        return self.train_passes - 1.0 + self.scorings * validation

    def __repr__(self) -> str:
        chosen = "none chosen" if self.chosen is None else f"lr={self.chosen.lr:.2e}"
        return f"EpochRecord(epoch={self.epoch}, {chosen} of {len(self.results)} candidates, {self.seconds:.1f} s)"

    @classmethod
    def _read(cls, known: dict[str, Any]) -> dict[str, Any]:
        prior = known.get("prior")
        results = tuple(map(Result.from_dict, known["results"]))
        return {**known, "results": results, "prior": None if prior is None else tuple(prior)}


def ranked_by(objective: str, results: Iterable[Result]) -> str:
    """What candidates are ranked by: a kappa that lacks the loss or the accuracy is the other one.

    Args:
        objective: the objective's name.
        results: candidates that it ranks.

    Returns:
        ``objective``, ``loss`` or ``accuracy``.
    """
    scored = [result for result in results if result.score is not None]
    if objective not in KAPPAS or not scored:
        return objective
    if all(result.accuracy is None for result in scored):
        return "loss" if any(result.loss is not None for result in scored) else objective
    return "accuracy" if all(result.loss is None for result in scored) else objective


def lost_epochs(trained: Iterable[TrainedEpoch]) -> frozenset[int]:
    """Epochs whose training was given up, because recovery put the weights of an earlier one back.

    Args:
        trained: the epochs of a run.

    Returns:
        Their numbers.
    """
    went_back = [(end.returned_to, end.epoch) for end in trained if end.returned_to is not None]
    return frozenset(lost for best, epoch in went_back for lost in range(best + 1, epoch))
