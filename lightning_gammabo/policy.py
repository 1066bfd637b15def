"""Search policies: when to search, how much, and around which schedule; plain values, checked once, frozen.

The published rule (twelve full candidates, every epoch, the best one wins) is ``thesis``. The others look past the next
epoch: a wide search once, an anchor that the rate follows, a tight region for later searches, and a present rate that
only a larger one replaces that is better beyond the noise. ``docs/policies.md`` has what each was measured to do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from lightning_gammabo.bayesopt import SearchFactory
from lightning_gammabo.determinant.determinant import Rule
from lightning_gammabo.determinant.objective import CustomObjective
from lightning_gammabo.learning_rate.annealing import AnchorName

__all__ = ["POLICIES", "EpochPlan", "PolicyName", "SearchPolicy", "make_policy"]

PolicyName = Literal["epochwise", "adaptive", "once", "thorough", "thesis"]

_ALONE_UNKNOWN = 10
"""searches that are reckoned with where the length of the run is not known"""
_FARTHEST = 2.0
"""factor by which one later search moves a rate at the most: after a farther one a short run has no time to recover"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPlan:
    """The search of one epoch.

    Args:
        wide: whether it ranges over all rates (the first search of a run), or over a region around the present one.
        n_initial: candidates before the surrogate is asked, the present rate among them.
        n_trials: candidates in all.
        fraction: share of the epoch that a candidate trains.
        factor: how far from the present rate a candidate may lie, either way; None for the whole range.
    """

    wide: bool
    n_initial: int
    n_trials: int
    fraction: float
    factor: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPolicy:
    """When to search, how much, and around which schedule.

    Args:
        name: how messages and records call it.
        n_initial: candidates of the first search before the surrogate proposes, the present rate among them.
        n_iterations: candidates of the first search that the surrogate proposes; with ``settle`` one less.
        n_later: candidates of each later search; None for as many as in the first.
        when: ``every`` epoch, only the ``first``, or the first and those at these shares of the run (0 to 1).
        first_fraction: share of the epoch that candidates of the first search train.
        fraction: share of the epoch that candidates of later searches train; the winner goes on from there.
        min_steps: optimizer steps that a candidate trains at the least.
        region: factor by which later searches may move the rate, either way, over the whole run: each of ``S``
            searches by ``region ** (1 / (S - 1))``, and by 2 at the most. None for the whole range, every time.
        anchor: schedule whose height is searched: ``cosine``, ``linear``, ``constant``, ``plateau``, ``scheduler`` (the
            user's own), ``auto`` (the user's own where there is one, else linear where the run's length is known, else
            plateau).
        rule: of later searches: ``best`` score, ``largest`` rate within one paired standard error of it, or
            ``anchored``: the present rate unless a larger one is better beyond the noise. The first search, and one
            over the whole range, takes the best score; ``largest`` holds there too.
        errors: paired standard errors that ``largest`` takes for a tie, and that ``anchored`` asks of a larger rate.
        drop_at: share of a candidate's training after which it is dropped if its training loss is hopelessly behind the
            leader's on the same batches; None for never.
        settle: whether the last candidate of the first search is the centre of the rates that scored well
            (:func:`~lightning_gammabo.determinant.smoothing.settled_rate`), which then wins.
        guard: whether an epoch that diverges after its search is rolled back and trained at a quarter of the rate, and
            a run goes back to its best epoch's end, at half the rate, where later ones end clearly worse
            (:class:`~lightning_gammabo.scheduler.recovery.Retreat`).
        score_samples: validation samples on which candidates are scored; None for all of them.
        later_share: what later searches may cost at the most, in passes for each epoch of the run: where an epoch has
            so few steps that a candidate's least is much of it, fewer epochs are searched; None for no limit.
        objective: what is ranked, as in :class:`~lightning_gammabo.determinant.objective.Objective`.
        search: who proposes, as in :func:`~lightning_gammabo.bayesopt.make_search`.

    Raises:
        TypeError: if a value is of the wrong type.
        ValueError: if a value is out of its domain.

    Example:
        >>> POLICIES["epochwise"].epoch_plan(first=False, searches=10).n_trials
        2
    """

    name: str = "custom"
    n_initial: int = 4
    n_iterations: int = 3
    n_later: int | None = 2
    when: Literal["every", "first"] | Sequence[float] = "every"
    first_fraction: float = 1.0
    fraction: float = 0.05
    min_steps: int = 8
    region: float | None = 64.0
    anchor: AnchorName = "auto"
    rule: Rule = "anchored"
    errors: float = 3.0
    drop_at: float | None = 0.25
    settle: bool = True
    guard: bool = True
    score_samples: int | None = 256
    later_share: float | None = 0.15
    objective: CustomObjective | str = "kappa"
    search: SearchFactory | str = "gamma"

    def __post_init__(self) -> None:
        _require("n_initial", self.n_initial, int, least=1)
        _require("n_iterations", self.n_iterations, int, least=0)
        _require("min_steps", self.min_steps, int, least=1)
        for name, least in (("n_later", 1), ("score_samples", 1)):
            if getattr(self, name) is not None:
                _require(name, getattr(self, name), int, least=least)
        _require("errors", self.errors, float)
        if not 0.0 <= self.errors < math.inf:
            raise ValueError(f"errors={self.errors!r}: paired standard errors, 0 or more")
        if self.later_share is not None:
            _require("later_share", self.later_share, float)
            if not 0.0 < self.later_share < math.inf:
                raise ValueError(f"later_share={self.later_share!r}: passes for each epoch, above 0; None for no limit")
        for name in ("first_fraction", "fraction", *(("drop_at",) if self.drop_at is not None else ())):
            _require(name, getattr(self, name), float)
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"{name}={getattr(self, name)!r}: a share of an epoch lies above 0 and up to 1")
        if self.region is not None:
            _require("region", self.region, float)
            if not 1.0 < self.region < math.inf:
                raise ValueError(f"region={self.region!r}: a factor above 1, or None for the whole range every time")
        self._check_words()

    @property
    def n_first(self) -> int:
        """Candidates of the first search."""
        return self.n_initial + self.n_iterations

    def epoch_plan(self, *, first: bool, searches: int | None) -> EpochPlan:
        """The search of an epoch.

        Args:
            first: whether it is the first of the run.
            searches: searches in the whole run; None where its length is not known.

        Returns:
            How many candidates, over which range, for how long.
        """
        if first or self.region is None:
            later = self.n_first if first or self.n_later is None else self.n_later
            initial = min(self.n_initial, later)
            share = self.first_fraction if first else self.fraction
            return EpochPlan(wide=True, n_initial=initial, n_trials=later, fraction=share, factor=None)
        number = searches if searches is not None else _ALONE_UNKNOWN
        factor = min(self.region ** (1.0 / max(number - 1, 1)), _FARTHEST)
        trials = self.n_later if self.n_later is not None else self.n_first
        return EpochPlan(wide=False, n_initial=min(3, trials), n_trials=trials, fraction=self.fraction, factor=factor)

    def _check_words(self) -> None:
        choices: dict[str, tuple[str, ...]] = {"anchor": get_args(AnchorName), "rule": get_args(Rule)}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r}: choose one of {', '.join(map(repr, allowed))}")
        for name in ("settle", "guard"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name}={getattr(self, name)!r}: need True or False")
        if isinstance(self.when, str):
            if self.when not in ("every", "first"):
                raise ValueError(f"when={self.when!r}: choose 'every', 'first', or a list of shares of the run")
            return
        if not isinstance(self.when, Sequence) or not self.when:
            raise TypeError(f"when={self.when!r}: need 'every', 'first', or a list of shares of the run such as [0.5]")
        for share in self.when:
            _require("when", share, float)
            if not 0.0 < float(share) < 1.0:
                raise ValueError(
                    f"when={list(self.when)!r}: {share!r} is no share of the run; each lies between 0 and 1"
                )


def _require(name: str, value: object, kind: type, *, least: int | None = None) -> None:
    fits = isinstance(value, (int, float)) if kind is float else isinstance(value, int)
    if isinstance(value, bool) or not fits:
        word = "a number" if kind is float else "a whole number"
        raise TypeError(f"{name}={value!r}: need {word}, not {type(value).__name__}")
    if least is not None and isinstance(value, int) and value < least:
        raise ValueError(f"{name}={value!r}: need at least {least}")


POLICIES: dict[str, SearchPolicy] = {
    "epochwise": SearchPolicy(name="epochwise"),
    "adaptive": SearchPolicy(
        name="adaptive", when=(0.3, 0.5, 0.7), n_later=3, fraction=0.1, region=27.0, later_share=None
    ),
    "once": SearchPolicy(name="once", when="first"),
    "thorough": SearchPolicy(
        name="thorough",
        n_later=5,
        fraction=1.0,
        region=512.0,
        drop_at=None,
        score_samples=None,
        later_share=None,
    ),
    "thesis": SearchPolicy(
        name="thesis",
        n_initial=2,
        n_iterations=10,
        n_later=None,
        fraction=1.0,
        region=None,
        anchor="constant",
        rule="best",
        drop_at=None,
        settle=False,
        guard=False,
        score_samples=None,
        later_share=None,
    ),
}
"""the named policies; ``thesis`` is the published method (ch. 3, ch. 4.2.1)"""


def make_policy(policy: str | SearchPolicy, overrides: dict[str, Any]) -> SearchPolicy:
    """A policy with some of its fields set otherwise.

    Args:
        policy: a name of :data:`POLICIES`, or a policy.
        overrides: values by field; those that are None leave the policy's.

    Returns:
        The policy.

    Raises:
        ValueError: if the name is unknown, or a value is out of its domain.
        TypeError: if it is neither a name nor a policy, or a value is of the wrong type.

    Example:
        >>> make_policy("once", {"n_iterations": 2, "anchor": None}).n_first
        6
    """
    if isinstance(policy, str):
        if policy not in POLICIES:
            raise ValueError(f"policy={policy!r}: choose one of {', '.join(map(repr, POLICIES))}, or a SearchPolicy")
        policy = POLICIES[policy]
    elif not isinstance(policy, SearchPolicy):
        raise TypeError(f"policy={policy!r}: need a name or a SearchPolicy, not {type(policy).__name__}")
    assert set(overrides) <= {field.name for field in fields(SearchPolicy)}
    return replace(policy, **{name: value for name, value in overrides.items() if value is not None})
