"""The named policies, what is set otherwise in them, what is refused, and the numbers of an epoch's search."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from lightning_gammabo.policy import POLICIES, EpochPlan, SearchPolicy, make_policy

NAN, INF = math.nan, math.inf
SHARE = "a share of an epoch lies above 0 and up to 1"
FACTOR = "a factor above 1, or None for the whole range every time"

EPOCHWISE = {
    "n_initial": 4, "n_iterations": 3, "n_later": 2, "when": "every", "first_fraction": 1.0, "fraction": 0.05,
    "min_steps": 8, "region": 64.0, "anchor": "auto", "rule": "anchored", "errors": 3.0, "drop_at": 0.25,
    "settle": True, "guard": True, "score_samples": 256, "later_share": 0.15, "objective": "kappa", "search": "gamma",
}  # fmt: skip
NAMED: dict[str, dict[str, Any]] = {
    "epochwise": {},
    "adaptive": {"when": (0.3, 0.5, 0.7), "n_later": 3, "fraction": 0.1, "region": 27.0, "later_share": None},
    "once": {"when": "first"},
    "thorough": {
        "n_later": 5, "fraction": 1.0, "region": 512.0, "drop_at": None, "score_samples": None,
        "later_share": None,
    },
    # the thesis, ch. 4.2.1: two initial points and ten iterations, every epoch, the best one wins
    "thesis": {
        "n_initial": 2, "n_iterations": 10, "n_later": None, "fraction": 1.0, "region": None, "anchor": "constant",
        "rule": "best", "drop_at": None, "settle": False, "guard": False, "score_samples": None, "later_share": None,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_what_the_named_policies_are(name: str) -> None:
    assert dataclasses.asdict(POLICIES[name]) == {"name": name, **EPOCHWISE, **NAMED[name]}


def test_there_are_no_others() -> None:
    assert list(POLICIES) == list(NAMED)


def test_a_policy_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        POLICIES["once"].n_later = 9  # type: ignore[misc]


# ---- set otherwise


def test_what_is_none_leaves_the_policys() -> None:
    policy = make_policy("thesis", {"n_initial": None, "n_iterations": 3, "guard": True})
    assert policy == dataclasses.replace(POLICIES["thesis"], n_iterations=3, guard=True)
    assert policy.name == "thesis"
    assert make_policy("thesis", {}) == POLICIES["thesis"]


def test_a_policy_of_ones_own() -> None:
    mine = SearchPolicy(name="mine", when=[0.5], n_later=None)
    assert make_policy(mine, {}) == mine
    assert make_policy(mine, {"fraction": 0.5}).fraction == 0.5
    assert SearchPolicy().name == "custom"


def test_what_is_no_policy() -> None:
    names = "'epochwise', 'adaptive', 'once', 'thorough', 'thesis'"
    with pytest.raises(ValueError, match=rf"policy='greedy': choose one of {names}, or a SearchPolicy"):
        make_policy("greedy", {})
    with pytest.raises(TypeError, match="policy=7: need a name or a SearchPolicy, not int"):
        make_policy(7, {})  # type: ignore[arg-type]


# ---- refused


def whole(name: str, value: object) -> tuple[str, object, type[Exception], str]:
    return name, value, TypeError, rf"{name}=.*: need a whole number, not {type(value).__name__}"


def number(name: str, value: object) -> tuple[str, object, type[Exception], str]:
    return name, value, TypeError, rf"{name}=.*: need a number, not {type(value).__name__}"


def least(name: str, value: int, bound: int) -> tuple[str, object, type[Exception], str]:
    return name, value, ValueError, rf"{name}={value}: need at least {bound}"


BAD = [
    least("n_initial", 0, 1),
    least("n_initial", -2, 1),
    least("n_iterations", -1, 0),
    least("n_later", 0, 1),
    least("min_steps", 0, 1),
    least("score_samples", 0, 1),
    whole("n_initial", 2.0),
    whole("n_initial", True),
    whole("n_initial", None),
    whole("n_iterations", "10"),
    whole("n_iterations", None),
    whole("n_later", 2.5),
    whole("min_steps", None),
    whole("score_samples", 0.5),
    *((name, value, ValueError, f"{name}={value!r}: {SHARE}") for name in ("first_fraction", "fraction", "drop_at")
      for value in (0.0, 0, -0.1, 1.001, 2, NAN, INF)),
    number("first_fraction", None),
    number("fraction", "0.1"),
    number("fraction", True),
    number("drop_at", [0.25]),
    *(("region", value, ValueError, f"region={value!r}: {FACTOR}") for value in (1.0, 0.5, -2.0, INF, NAN)),
    number("region", "64"),
    *(("errors", value, ValueError, f"errors={value!r}: paired standard errors, 0 or more")
      for value in (-1.0, INF, NAN)),
    number("errors", None),
    number("errors", True),
    *(("later_share", value, ValueError, f"later_share={value!r}: passes for each epoch, above 0; None for no limit")
      for value in (0.0, -0.1, INF, NAN)),
    number("later_share", "0.15"),
    ("anchor", "sine", ValueError, r"anchor='sine': choose one of 'auto', 'cosine', 'linear', 'constant', 'plateau', "),
    ("anchor", None, ValueError, r"anchor=None: choose one of"),
    ("rule", "smallest", ValueError, r"rule='smallest': choose one of 'best', 'largest', 'anchored'"),
    ("settle", 1, TypeError, r"settle=1: need True or False"),
    ("guard", 1, TypeError, r"guard=1: need True or False"),
    ("guard", "yes", TypeError, r"guard='yes': need True or False"),
    ("when", "never", ValueError, r"when='never': choose 'every', 'first', or a list of shares of the run"),
    ("when", 0.5, TypeError, r"when=0.5: need 'every', 'first', or a list of shares of the run such as \[0.5\]"),
    ("when", None, TypeError, r"when=None: need 'every', 'first', or a list"),
    ("when", [], TypeError, r"when=\[\]: need 'every', 'first', or a list"),
    ("when", ["0.5"], TypeError, r"when='0.5': need a number, not str"),
    ("when", [0.5, 0], ValueError, r"when=\[0.5, 0\]: 0 is no share of the run; each lies between 0 and 1"),
    ("when", (0.5, 1.0), ValueError, r"when=\[0.5, 1.0\]: 1.0 is no share of the run"),
    ("when", [NAN], ValueError, r"nan is no share of the run"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "error", "message"), BAD, ids=[f"{name}={value!r}" for name, value, *_ in BAD]
)
def test_a_bad_value_is_refused_at_once(name: str, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SearchPolicy(**{name: value})
    if value is not None:
        with pytest.raises(error, match=message):
            make_policy("epochwise", {name: value})


def test_every_field_has_a_bad_value_in_the_table() -> None:
    # the name is free; objective and search are checked where their names are known, by the settings
    named = {field.name for field in dataclasses.fields(SearchPolicy)} - {"name", "objective", "search"}
    assert named == {name for name, *_ in BAD}


@pytest.mark.parametrize("name", ["n_later", "region", "drop_at", "score_samples", "later_share"])
def test_what_may_be_none(name: str) -> None:
    assert getattr(SearchPolicy(**{name: None}), name) is None


# ---- an epoch's search


def test_the_first_search_is_wide() -> None:
    for name in ("epochwise", "adaptive", "once", "thorough"):
        assert POLICIES[name].epoch_plan(first=True, searches=10) == EpochPlan(
            wide=True, n_initial=4, n_trials=7, fraction=1.0, factor=None
        )
    assert POLICIES["thesis"].epoch_plan(first=True, searches=3) == EpochPlan(
        wide=True, n_initial=2, n_trials=12, fraction=1.0, factor=None
    )


@pytest.mark.parametrize(
    ("name", "searches", "factor"),
    [
        ("epochwise", 10, 64.0 ** (1 / 9)),
        ("epochwise", 13, 64.0 ** (1 / 12)),
        # a single one moves it by 2 at the most
        ("epochwise", 2, 2.0),
        ("epochwise", 1, 2.0),
        ("thorough", 3, 2.0),
        ("adaptive", 4, 2.0),
        ("thorough", 10, 2.0),
        # where the length of the run is not known, ten searches are reckoned with
        ("thorough", None, 2.0),
    ],
)
def test_later_searches_move_the_rate_by_the_whole_region_in_all(
    name: str, searches: int | None, factor: float
) -> None:
    plan = POLICIES[name].epoch_plan(first=False, searches=searches)
    assert plan.factor == pytest.approx(factor, rel=1e-12)
    assert not plan.wide
    assert (plan.n_trials, plan.fraction) == (POLICIES[name].n_later, POLICIES[name].fraction)
    assert plan.n_initial == min(3, plan.n_trials)


def test_later_searches_over_the_whole_range() -> None:
    plan = POLICIES["thesis"].epoch_plan(first=False, searches=10)
    assert plan == EpochPlan(wide=True, n_initial=2, n_trials=12, fraction=1.0, factor=None)
    fewer = make_policy("thesis", {"n_later": 1, "fraction": 0.5}).epoch_plan(first=False, searches=10)
    assert fewer == EpochPlan(wide=True, n_initial=1, n_trials=1, fraction=0.5, factor=None)


@pytest.mark.parametrize(("later", "initial", "trials"), [(None, 3, 7), (1, 1, 1), (2, 2, 2), (7, 3, 7)])
def test_how_many_candidates_later(later: int | None, initial: int, trials: int) -> None:
    plan = SearchPolicy(n_later=later).epoch_plan(first=False, searches=5)
    assert (plan.n_initial, plan.n_trials) == (initial, trials)
