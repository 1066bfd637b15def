"""Search policies: when to search, how much, and around which schedule; plain values, checked once, frozen.

The published rule (twelve full candidates, every epoch, the best one is chosen) is ``thesis``. The others look past the
next epoch: one search over the whole range, an annealed schedule whose peak is searched, later searches close to the
present rate. ``docs/policies_method.md`` has what each was measured to do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from lightning_gammabo.determinant.determinant import Rule
from lightning_gammabo.learning_rate.annealing import AnnealingName

__all__ = ["POLICIES", "EpochPlan", "PolicyName", "SearchPolicy", "make_policy"]

PolicyName = Literal["epochwise", "once", "thorough", "thesis", "identity"]

UNKNOWN_LENGTH_SEARCHES = 10
"""number of searches that is assumed where the length of the run is not known"""
MAX_SINGLE_CHANGE = 2.0
"""factor by which one later search moves the rate at most: after more a short run has no time to recover"""

_BASE: Any = None  # default of every field: the value of the base policy


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPlan:
    """The search of one epoch.

    Args:
        wide: whether it covers the whole range (the first search of a run), or only the neighbourhood of the present
            rate.
        n_initial: candidates before the surrogate proposes, the present rate among them.
        n_trials: candidates in all.
        factor: how far from the present rate a candidate may lie, up or down; None for the whole range.
        share: share of the epoch that a candidate trains, its cooling not counted.
        until: batches that a candidate trains before its cooling; None for the whole epoch.
        cooling: optimizer steps that follow with a falling rate, for the score alone.
        cooling_share: the cooling as a share of the epoch.
    """

    wide: bool
    n_initial: int
    n_trials: int
    factor: float | None
    share: float = 1.0
    until: int | None = None
    cooling: int = 0
    cooling_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPolicy:
    """When to search, how much, and around which schedule: a named policy, with some fields changed.

    A field that is not given has the value of the base. "Off" is a word, never None.

    Args:
        base: the named policy that the other fields change.
        first_random: candidates of the first search before the surrogate proposes: the usual rate of the optimizer
            and the configured one, then random ones.
        first_model: candidates of the first search that the surrogate proposes at most.
        stop_below: expected improvement of the score below which the first search stops, from the third candidate on;
            in units of the logarithm of the loss. ``"never"``: all candidates are trained.
        later_candidates: candidates of each later search; ``"as_first"`` for as many as in the first.
        when: search ``"every"`` epoch, only the ``"first"``, or the first and those at these shares of the run
            (between 0 and 1).
        first_share: share of the *run* that a candidate of the first search trains, at most an epoch; ``"epoch"``.
            Doubled while learning has not begun.
        later_share: share of what remains of the run that a candidate of a later search trains, at most an epoch;
            ``"epoch"``.
        min_steps: least number of optimizer steps that a candidate trains.
        cooling: share of its steps that a candidate trains further, with its rate falling linearly to zero, before it
            is scored; the chosen one goes on from the state before. 0 for none.
        later_gate: relative improvement of the present rate's cooled loss since the searches before, from which on a
            later search trains no rivals; runs of ten epochs or fewer have no later search then. ``"off"``: rivals are
            always trained.
        later_direction: where a later search tries rivals: ``"both"`` sides of the present rate, or ``"down"`` (halves
            of it).
        horizon: exponent of the run's length: after the first search the peak of a run of ``E > 3`` epochs is
            multiplied by ``(E / 3) ** -horizon``
            (:func:`~lightning_gammabo.learning_rate.annealing.horizon_factor`). 0 for none.
        max_lr_change: factor by which all later searches together may move the rate, up or down: each of ``S``
            searches by ``max_lr_change ** (1 / (S - 1))``, and by 2 at most. ``"unbounded"``: every search covers the
            whole range.
        annealing: schedule whose peak is searched: ``"cosine"``, ``"linear"``, ``"constant"``, ``"plateau"``,
            ``"scheduler"`` (the user's own), ``"configured"`` (the user's own, or a constant rate), ``"auto"`` (the
            user's own, or linear where the length of the run is known, else plateau).
        rule: of later searches: ``"best"`` score, ``"largest_within_noise"`` (the largest rate within ``n_sigma``
            paired standard errors of it), or ``"keep_unless_better"``: the present rate unless a larger one is better
            beyond the noise. The first search takes the best score.
        n_sigma: paired standard errors that count as noise.
        prune_at: share of a candidate's training after which it is pruned if its training loss is hopelessly behind
            the leader's on the same batches; ``"never"``.
        smooth_first: whether the last candidate of the first search is the centre of the rates that scored well
            (:func:`~lightning_gammabo.determinant.smoothing.smoothed_argmax`), which is then chosen.
        recover: whether an epoch that diverges after its search is rolled back and trained at a quarter of the rate,
            and the best weights are restored where later epochs end clearly worse
            (:mod:`~lightning_gammabo.scheduler.recovery`).
        score_samples: validation samples on which candidates are scored; ``"all"``.
        later_overhead: maximum cost of later searches, in training passes per epoch of the run. If short epochs would
            exceed it, only every n-th epoch is searched. ``"unlimited"``.
        start_epoch: first epoch that may be searched, from 0.
        stop_epoch: first epoch that is not searched any more; ``"never"``.
        every_n_epochs: where every epoch is searched, search only every n-th one, from ``start_epoch`` on.

    Raises:
        TypeError: if a value is of the wrong type.
        ValueError: if a value is out of its domain.

    Example:
        >>> SearchPolicy(base="once", later_candidates=3).when
        'first'
        >>> SearchPolicy().epoch_plan(first=False, searches=10).n_trials
        3
    """

    base: PolicyName = "epochwise"
    first_random: int = _BASE
    first_model: int = _BASE
    stop_below: float | Literal["never"] = _BASE
    later_candidates: int | Literal["as_first"] = _BASE
    when: Literal["every", "first"] | Sequence[float] = _BASE
    first_share: float | Literal["epoch"] = _BASE
    later_share: float | Literal["epoch"] = _BASE
    min_steps: int = _BASE
    cooling: float = _BASE
    later_gate: float | Literal["off"] = _BASE
    later_direction: Literal["both", "down"] = _BASE
    horizon: float = _BASE
    max_lr_change: float | Literal["unbounded"] = _BASE
    annealing: AnnealingName = _BASE
    rule: Rule = _BASE
    n_sigma: float = _BASE
    prune_at: float | Literal["never"] = _BASE
    smooth_first: bool = _BASE
    recover: bool = _BASE
    score_samples: int | Literal["all"] = _BASE
    later_overhead: float | Literal["unlimited"] = _BASE
    start_epoch: int = _BASE
    stop_epoch: int | Literal["never"] = _BASE
    every_n_epochs: int = _BASE

    def __post_init__(self) -> None:
        if self.base not in _VALUES:
            raise ValueError(f"base={self.base!r}: choose one of {', '.join(map(repr, _VALUES))}")
        for name, value in _VALUES[self.base].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        self._check_counts()
        self._check_shares()
        self._check_words()
        self._check_when()

    @property
    def name(self) -> str:
        """How messages and records call it: the base, and whether a field differs from it."""
        changed = any(getattr(self, name) != value for name, value in _VALUES[self.base].items())
        return f"{self.base}, changed" if changed else self.base

    @property
    def n_first(self) -> int:
        """Candidates of the first search."""
        return self.first_random + self.first_model

    def epoch_plan(self, *, first: bool, searches: int | None) -> EpochPlan:
        """The search of an epoch.

        Args:
            first: whether it is the first of the run.
            searches: searches in the whole run; None where its length is not known.

        Returns:
            How many candidates, over which range; how long they train depends on the run.
        """
        later = self.n_first if self.later_candidates == "as_first" else self.later_candidates
        if first or self.max_lr_change == "unbounded":
            trials = self.n_first if first else later
            return EpochPlan(wide=True, n_initial=min(self.first_random, trials), n_trials=trials, factor=None)
        if self.later_direction == "down":
            return EpochPlan(wide=False, n_initial=later, n_trials=later, factor=MAX_SINGLE_CHANGE ** (later - 1))
        number = searches if searches is not None else UNKNOWN_LENGTH_SEARCHES
        factor = min(self.max_lr_change ** (1.0 / max(number - 1, 1)), MAX_SINGLE_CHANGE)
        return EpochPlan(wide=False, n_initial=min(3, later), n_trials=later, factor=factor)

    def _check_counts(self) -> None:
        for name, least, word in (
            ("first_random", 1, None),
            ("first_model", 0, None),
            ("later_candidates", 1, "as_first"),
            ("min_steps", 1, None),
            ("score_samples", 1, "all"),
            ("start_epoch", 0, None),
            ("every_n_epochs", 1, None),
            ("stop_epoch", 1, "never"),
        ):
            value = getattr(self, name)
            if value == word and word is not None:
                continue
            _require(name, value, int, word)
            if value < least:
                raise ValueError(f"{name}={value!r}: need at least {least}")
        if self.stop_epoch != "never" and self.stop_epoch <= self.start_epoch:
            raise ValueError(
                f"stop_epoch={self.stop_epoch!r}, start_epoch={self.start_epoch!r}: no epoch would be searched; "
                "stop_epoch is the first epoch that is not searched any more, 'never' for none"
            )

    def _check_shares(self) -> None:
        _require("n_sigma", self.n_sigma, float)
        if not 0.0 <= self.n_sigma < math.inf:
            raise ValueError(f"n_sigma={self.n_sigma!r}: paired standard errors, 0 or more")
        for name, word in (("first_share", "epoch"), ("later_share", "epoch"), ("prune_at", "never")):
            value = getattr(self, name)
            if value == word:
                continue
            _require(name, value, float, word)
            if not 0.0 < value <= 1.0:
                raise ValueError(f"{name}={value!r}: a share lies above 0 and up to 1")
        for name, noun, word in (
            ("later_overhead", "passes per epoch", "unlimited"),
            ("stop_below", "an improvement of the score", "never"),
            ("later_gate", "a relative improvement of the loss", "off"),
        ):
            value = getattr(self, name)
            if value == word:
                continue
            _require(name, value, float, word)
            if not 0.0 < value < math.inf:
                raise ValueError(f"{name}={value!r}: {noun}, above 0; {word!r} for none")
        for name in ("cooling", "horizon"):
            _require(name, getattr(self, name), float)
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}={getattr(self, name)!r}: between 0 and 1; 0 for none")
        if self.max_lr_change != "unbounded":
            _require("max_lr_change", self.max_lr_change, float, "unbounded")
            if not 1.0 < self.max_lr_change < math.inf:
                factor = self.max_lr_change
                raise ValueError(f"max_lr_change={factor!r}: a factor above 1; 'unbounded' for the whole range")

    def _check_words(self) -> None:
        choices: dict[str, tuple[str, ...]] = {
            "annealing": get_args(AnnealingName),
            "rule": get_args(Rule),
            "later_direction": ("both", "down"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r}: choose one of {', '.join(map(repr, allowed))}")
        for name in ("smooth_first", "recover"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name}={getattr(self, name)!r}: need True or False")

    def _check_when(self) -> None:
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


def _require(name: str, value: object, kind: type, word: str | None = None) -> None:
    fits = isinstance(value, (int, float)) if kind is float else isinstance(value, int)
    if isinstance(value, bool) or not fits:
        noun = "a number" if kind is float else "a whole number"
        other = f" or {word!r}" if word is not None else ""
        raise TypeError(f"{name}={value!r}: need {noun}{other}, not {type(value).__name__}")


_EPOCHWISE: dict[str, Any] = {
    "first_random": 2,
    "first_model": 5,
    "stop_below": 0.08,
    "later_candidates": 3,
    "when": (0.1, 0.25, 0.5, 0.75),
    "first_share": 1 / 20,
    "later_share": 1 / 16,
    "min_steps": 50,
    "cooling": 0.25,
    "later_gate": 0.01,
    "later_direction": "down",
    "horizon": 0.35,
    "max_lr_change": 64.0,
    "annealing": "auto",
    "rule": "largest_within_noise",
    "n_sigma": 3.0,
    "prune_at": 0.25,
    "smooth_first": False,
    "recover": True,
    "score_samples": 256,
    "later_overhead": "unlimited",
    "start_epoch": 0,
    "stop_epoch": "never",
    "every_n_epochs": 1,
}
# whole epochs, greedily: no account of the run
_WHOLE = {
    "stop_below": "never",
    "when": "every",
    "first_share": "epoch",
    "later_share": "epoch",
    "cooling": 0.0,
    "later_gate": "off",
    "later_direction": "both",
    "horizon": 0.0,
    "prune_at": "never",
    "score_samples": "all",
}
_PLAIN = {"max_lr_change": "unbounded", "rule": "best", "recover": False}
_VALUES: dict[str, dict[str, Any]] = {
    "epochwise": _EPOCHWISE,
    "once": _EPOCHWISE | {"when": "first"},
    "thorough": _EPOCHWISE
    | _WHOLE
    | {"first_random": 4, "first_model": 3, "smooth_first": True, "later_candidates": 5, "max_lr_change": 512.0}
    | {"rule": "keep_unless_better"},
    "thesis": _EPOCHWISE
    | _WHOLE
    | _PLAIN
    | {"first_random": 2, "first_model": 10, "later_candidates": "as_first", "annealing": "constant"},
    # the plain fit: one candidate, the configured rates
    "identity": _EPOCHWISE
    | _WHOLE
    | _PLAIN
    | {"first_random": 1, "first_model": 0, "later_candidates": 1, "annealing": "configured"},
}
assert all(set(values) == {field.name for field in fields(SearchPolicy)} - {"base"} for values in _VALUES.values())

POLICIES: dict[str, SearchPolicy] = {name: SearchPolicy(base=name) for name in get_args(PolicyName)}
"""the named policies; ``thesis`` is the published method (ch. 3, ch. 4.2.1), ``identity`` the plain fit"""


def make_policy(policy: str | SearchPolicy) -> SearchPolicy:
    """A policy by name, or the policy itself.

    Args:
        policy: a name of :data:`POLICIES`, or a policy.

    Returns:
        The policy.

    Raises:
        ValueError: if the name is unknown.
        TypeError: if it is neither a name nor a policy.

    Example:
        >>> make_policy("once").when
        'first'
    """
    if isinstance(policy, str):
        if policy not in POLICIES:
            raise ValueError(f"policy={policy!r}: choose one of {', '.join(map(repr, POLICIES))}, or a SearchPolicy")
        return POLICIES[policy]
    if not isinstance(policy, SearchPolicy):
        raise TypeError(f"policy={policy!r}: need a name or a SearchPolicy, not {type(policy).__name__}")
    return policy
