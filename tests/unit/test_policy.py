"""The named policies, what is set otherwise in them, what is refused, and the numbers of an epoch's search."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from lightning_gammabo.policy import POLICIES, EpochPlan, SearchPolicy, make_policy

NAN, INF = math.nan, math.inf
SHARE = "a share lies above 0 and up to 1"
FACTOR = "a factor above 1; 'unbounded' for the whole range"

EPOCHWISE = {
    "first_random": 2, "first_model": 5, "stop_below": 0.08, "later_candidates": 3, "when": (0.1, 0.25, 0.5, 0.75),
    "first_share": 1 / 20, "later_share": 1 / 16, "min_steps": 50, "cooling": 0.25, "later_gate": 0.01,
    "later_direction": "down", "horizon": 0.35, "max_lr_change": 64.0, "annealing": "auto",
    "rule": "largest_within_noise", "n_sigma": 3.0, "prune_at": 0.25, "smooth_first": False, "recover": True,
    "score_samples": 256,
    "later_overhead": "unlimited", "start_epoch": 0, "stop_epoch": "never", "every_n_epochs": 1,
}  # fmt: skip
WHOLE = {
    "stop_below": "never", "when": "every", "first_share": "epoch", "later_share": "epoch", "cooling": 0.0,
    "later_gate": "off", "later_direction": "both", "horizon": 0.0, "prune_at": "never", "score_samples": "all",
}  # fmt: skip
NAMED: dict[str, dict[str, Any]] = {
    "epochwise": {},
    "once": {"when": "first"},
    "thorough": {
        **WHOLE, "first_random": 4, "first_model": 3, "smooth_first": True, "later_candidates": 5,
        "max_lr_change": 512.0, "rule": "keep_unless_better",
    },
    # the thesis, ch. 4.2.1: two initial points and ten iterations, every epoch, the best one is chosen
    "thesis": {
        **WHOLE, "first_random": 2, "first_model": 10, "later_candidates": "as_first", "max_lr_change": "unbounded",
        "annealing": "constant", "rule": "best", "recover": False,
    },
    # one candidate at the configured rate
    "identity": {
        **WHOLE, "first_random": 1, "first_model": 0, "later_candidates": 1, "max_lr_change": "unbounded",
        "annealing": "configured", "rule": "best", "recover": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_what_the_named_policies_are(name: str) -> None:
    assert dataclasses.asdict(POLICIES[name]) == {"base": name, **EPOCHWISE, **NAMED[name]}


def test_there_are_no_others() -> None:
    assert list(POLICIES) == list(NAMED)


def test_a_policy_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        POLICIES["once"].later_candidates = 9  # type: ignore[misc]


# ---- set otherwise


def test_a_field_that_is_not_given_is_the_bases() -> None:
    policy = SearchPolicy(base="thesis", first_model=3, recover=True)
    assert policy == dataclasses.replace(POLICIES["thesis"], first_model=3, recover=True)
    assert policy.name == "thesis, changed"
    assert SearchPolicy(base="thesis").name == "thesis"
    assert SearchPolicy() == POLICIES["epochwise"]


def test_a_policy_is_made_of_a_name_or_is_one() -> None:
    mine = SearchPolicy(when=[0.5], later_candidates="as_first")
    assert make_policy(mine) is mine
    assert make_policy("once") is POLICIES["once"]


def test_what_is_no_policy_is_refused() -> None:
    names = "'epochwise', 'once', 'thorough', 'thesis', 'identity'"
    with pytest.raises(ValueError, match=rf"policy='greedy': choose one of {names}, or a SearchPolicy"):
        make_policy("greedy")
    with pytest.raises(TypeError, match="policy=7: need a name or a SearchPolicy, not int"):
        make_policy(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=rf"base='greedy': choose one of {names}"):
        SearchPolicy(base="greedy")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_later'"):
        SearchPolicy(n_later=3)  # type: ignore[call-arg]


# ---- refused


def whole(name: str, value: object) -> tuple[str, object, type[Exception], str]:
    return name, value, TypeError, rf"{name}=.*: need a whole number, not {type(value).__name__}"


def number(name: str, value: object) -> tuple[str, object, type[Exception], str]:
    return name, value, TypeError, rf"{name}=.*: need a number, not {type(value).__name__}"


def number_or(name: str, value: object, word: str, kind: str = "a number") -> tuple[str, object, type[Exception], str]:
    return name, value, TypeError, rf"{name}=.*: need {kind} or '{word}', not {type(value).__name__}"


def least(name: str, value: int, bound: int) -> tuple[str, object, type[Exception], str]:
    return name, value, ValueError, rf"{name}={value}: need at least {bound}"


BAD = [
    least("first_random", 0, 1),
    least("first_random", -2, 1),
    least("first_model", -1, 0),
    least("later_candidates", 0, 1),
    least("min_steps", 0, 1),
    least("score_samples", 0, 1),
    whole("first_random", 2.0),
    whole("first_random", True),
    whole("first_model", "10"),
    number_or("later_candidates", 2.5, "as_first", "a whole number"),
    number_or("score_samples", 0.5, "all", "a whole number"),
    *(
        (name, value, ValueError, f"{name}={value!r}: {SHARE}")
        for name in ("first_share", "later_share", "prune_at")
        for value in (0.0, 0, -0.1, 1.001, 2, NAN, INF)
    ),
    number_or("later_share", "0.1", "epoch"),
    number_or("later_share", True, "epoch"),
    number_or("prune_at", [0.25], "never"),
    *(
        ("max_lr_change", value, ValueError, f"max_lr_change={value!r}: {FACTOR}")
        for value in (1.0, 0.5, -2.0, INF, NAN)
    ),
    number_or("max_lr_change", "64", "unbounded"),
    *(("n_sigma", value, ValueError, f"n_sigma={value!r}: paired standard errors") for value in (-1.0, INF, NAN)),
    number("n_sigma", True),
    *(
        ("later_overhead", value, ValueError, f"later_overhead={value!r}: passes per epoch, above 0; 'unlimited' ")
        for value in (0.0, -0.1, INF, NAN)
    ),
    number_or("later_overhead", "0.15", "unlimited"),
    ("annealing", "sine", ValueError, r"annealing='sine': choose one of 'auto', 'cosine', 'linear', 'constant', "),
    ("rule", "smallest", ValueError, r"rule='smallest': choose one of 'best', 'largest_within_noise', "),
    ("smooth_first", 1, TypeError, r"smooth_first=1: need True or False"),
    ("recover", 1, TypeError, r"recover=1: need True or False"),
    ("recover", "yes", TypeError, r"recover='yes': need True or False"),
    ("when", "never", ValueError, r"when='never': choose 'every', 'first', or a list of shares of the run"),
    ("when", 0.5, TypeError, r"when=0.5: need 'every', 'first', or a list of shares of the run such as \[0.5\]"),
    ("when", [], TypeError, r"when=\[\]: need 'every', 'first', or a list"),
    ("when", ["0.5"], TypeError, r"when='0.5': need a number, not str"),
    ("when", [0.5, 0], ValueError, r"when=\[0.5, 0\]: 0 is no share of the run; each lies between 0 and 1"),
    ("when", (0.5, 1.0), ValueError, r"when=\[0.5, 1.0\]: 1.0 is no share of the run"),
    ("when", [NAN], ValueError, r"nan is no share of the run"),
    *(("cooling", value, ValueError, f"cooling={value!r}: between 0 and 1; 0 for none") for value in (-0.1, 1.5, NAN)),
    number("cooling", "0.25"),
    *(("horizon", value, ValueError, f"horizon={value!r}: between 0 and 1; 0 for none") for value in (-0.1, 2, INF)),
    number("horizon", True),
    *(("stop_below", value, ValueError, f"stop_below={value!r}: an improvement") for value in (0.0, -1.0, NAN)),
    number_or("stop_below", "0.1", "never"),
    *(("later_gate", value, ValueError, f"later_gate={value!r}: a relative") for value in (0.0, -0.01, INF)),
    number_or("later_gate", "1%", "off"),
    ("later_direction", "up", ValueError, r"later_direction='up': choose one of 'both', 'down'"),
    least("every_n_epochs", 0, 1),
    least("start_epoch", -1, 0),
    whole("every_n_epochs", 1.5),
    number_or("stop_epoch", 3.0, "never", "a whole number"),
    least("stop_epoch", 0, 1),
]


@pytest.mark.parametrize(
    ("name", "value", "error", "message"), BAD, ids=[f"{name}={value!r}" for name, value, *_ in BAD]
)
def test_a_bad_value_is_refused_at_once(name: str, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SearchPolicy(**{name: value})


def test_an_epoch_to_stop_before_the_start_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stop_epoch=2, start_epoch=5: no epoch would be searched; .* 'never' for"):
        SearchPolicy(start_epoch=5, stop_epoch=2)


def test_every_field_has_a_bad_value_in_the_table() -> None:
    assert {field.name for field in dataclasses.fields(SearchPolicy)} - {"base"} == {name for name, *_ in BAD}


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("later_candidates", "as_first"),
        ("max_lr_change", "unbounded"),
        ("prune_at", "never"),
        ("score_samples", "all"),
        ("later_overhead", "unlimited"),
        ("first_share", "epoch"),
        ("later_share", "epoch"),
        ("stop_below", "never"),
        ("later_gate", "off"),
        ("stop_epoch", "never"),
    ],
)
def test_off_is_a_word(name: str, word: str) -> None:
    assert getattr(SearchPolicy(**{name: word}), name) == word  # type: ignore[arg-type]


# ---- an epoch's search


def test_the_first_search_is_wide() -> None:
    expected = {"epochwise": (2, 7), "once": (2, 7), "thorough": (4, 7), "thesis": (2, 12), "identity": (1, 1)}
    for name, (initial, trials) in expected.items():
        plan = POLICIES[name].epoch_plan(first=True, searches=10)
        assert plan == EpochPlan(wide=True, n_initial=initial, n_trials=trials, factor=None)


@pytest.mark.parametrize(
    ("change", "searches", "factor"),
    [
        (64.0, 10, 64.0 ** (1 / 9)),
        (64.0, 13, 64.0 ** (1 / 12)),
        # a single one moves it by 2 at the most
        (64.0, 2, 2.0),
        (64.0, 1, 2.0),
        (512.0, 3, 2.0),
        # where the length of the run is not known, ten searches are assumed
        (27.0, None, 27.0 ** (1 / 9)),
    ],
)
def test_later_searches_share_the_change_that_is_allowed(change: float, searches: int | None, factor: float) -> None:
    plan = SearchPolicy(max_lr_change=change, later_direction="both").epoch_plan(first=False, searches=searches)
    assert plan.factor == pytest.approx(factor, rel=1e-12)
    assert not plan.wide


@pytest.mark.parametrize(("later", "factor"), [(1, 1.0), (2, 2.0), (3, 4.0)])
def test_later_searches_downwards_halve_the_rate(later: int, factor: float) -> None:
    plan = SearchPolicy(later_candidates=later).epoch_plan(first=False, searches=5)
    assert plan == EpochPlan(wide=False, n_initial=later, n_trials=later, factor=factor)


def test_later_searches_over_the_whole_range() -> None:
    plan = POLICIES["thesis"].epoch_plan(first=False, searches=10)
    assert plan == EpochPlan(wide=True, n_initial=2, n_trials=12, factor=None)
    fewer = SearchPolicy(base="thesis", later_candidates=1).epoch_plan(first=False, searches=10)
    assert fewer == EpochPlan(wide=True, n_initial=1, n_trials=1, factor=None)


@pytest.mark.parametrize(("later", "initial", "trials"), [("as_first", 3, 7), (1, 1, 1), (2, 2, 2), (7, 3, 7)])
def test_how_many_candidates_later(later: Any, initial: int, trials: int) -> None:
    plan = SearchPolicy(later_candidates=later, later_direction="both").epoch_plan(first=False, searches=5)
    assert (plan.n_initial, plan.n_trials) == (initial, trials)
