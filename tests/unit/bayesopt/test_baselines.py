"""The searches to compare with, and searches by name."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import torch

from lightning_gammabo.bayesopt import (
    GaussianBayesOpt,
    GridSearch,
    LearningRateSpace,
    ListSearch,
    RandomSearch,
    SobolSearch,
    make_search,
)

SPACE = LearningRateSpace(1e-3, 0.1)
LINEAR = LearningRateSpace(0.0, 0.5, scale="linear")


def test_a_grid_spans_the_range_and_ends() -> None:
    search = GridSearch(LINEAR, n_trials=5)
    rates = []
    while not search.finished:
        rates.append(search.ask().lr)
    assert rates == pytest.approx([0.0, 0.125, 0.25, 0.375, 0.5])
    with pytest.raises(RuntimeError, match="look at `finished`"):
        search.ask()


def test_enqueued_rates_are_part_of_the_grids_budget() -> None:
    search = GridSearch(SPACE, n_trials=4)
    search.enqueue(0.05)
    rates = []
    while not search.finished:
        rates.append(search.ask().lr)
    assert rates == pytest.approx([0.05, 0.001, 0.01, 0.1])
    search.enqueue(0.07)  # late ones come on top
    assert not search.finished
    assert search.ask().lr == 0.07


def test_a_grid_of_one_lies_in_the_middle_and_of_none_is_refused() -> None:
    assert GridSearch(SPACE, n_trials=1).ask().lr == pytest.approx(0.01)
    with pytest.raises(ValueError, match="at least one trial"):
        GridSearch(SPACE, n_trials=0)


def test_a_list_is_followed() -> None:
    search = ListSearch(SPACE, candidates=[3.0, 0.0, 0.01])
    assert [trial.lr for trial in search.ask(3)] == [3.0, 0.0, 0.01]
    assert search.finished
    for bad in ([], [0.1, -0.1], [math.nan]):
        with pytest.raises(ValueError, match="at least one rate"):
            ListSearch(SPACE, candidates=bad)


@pytest.mark.parametrize("kind", [RandomSearch, SobolSearch])
def test_places_are_uniform(kind: Any) -> None:
    places = np.sort([SPACE.to_unit(trial.lr) for trial in kind(SPACE, seed=0).ask(512)])
    distance = np.abs(places - (np.arange(512) + 0.5) / 512).max()
    # Kolmogorov-Smirnov at 1e-4 for 512 independent draws; Sobol' is far more even
    assert distance < (0.098 if kind is RandomSearch else 0.01)


def test_sobol_is_the_sequence() -> None:
    engine: Any = torch.quasirandom.SobolEngine(1, scramble=True, seed=11)
    want = engine.draw(6, dtype=torch.float64).squeeze(-1).tolist()
    got = [LINEAR.to_unit(trial.lr) for trial in SobolSearch(LINEAR, seed=11).ask(6)]
    assert got == pytest.approx(want)


@pytest.mark.parametrize("kind", ["gaussian", "gaussian_log_ei", "gaussian_pi"])
def test_botorchs_search_finds_a_peak_and_leaves_no_trace(kind: str) -> None:
    search = make_search(kind, SPACE, seed=0, n_initial=2, n_trials=8)
    python, numpy_, torch_ = random.getstate(), np.random.get_state(), torch.get_rng_state()
    for _ in range(8):
        trial = search.ask()
        assert SPACE.low <= trial.lr <= SPACE.high
        search.tell(trial, -((math.log10(trial.lr) + 2.2) ** 2))
    assert random.getstate() == python
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy_, strict=True))
    assert torch.equal(torch.get_rng_state(), torch_)
    again = make_search(kind, SPACE, seed=0, n_initial=2, n_trials=8)
    again.load_state_dict(search.state_dict())
    assert again.ask() == search.ask()


@pytest.mark.parametrize(
    ("kind", "acquisition", "best"),
    [
        ("gaussian", "ExpectedImprovement", 0.7 + 0.01),
        ("gaussian_log_ei", "LogExpectedImprovement", 0.7),
        ("gaussian_pi", "ProbabilityOfImprovement", 0.7 + 0.01),
    ],
)
def test_botorchs_acquisition_is_the_one_that_is_named(
    kind: str, acquisition: str, best: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Any] = []

    def optimised(function: Any, **options: Any) -> Any:
        used.append(function)
        assert options["bounds"].tolist() == [[0.0], [1.0]]
        return torch.tensor(0.5), None

    monkeypatch.setattr("botorch.optim.optimize.optimize_acqf", optimised)
    search = make_search(kind, SPACE, seed=0, n_initial=2, n_trials=8)
    for score in (0.7, 0.1):
        search.tell(search.ask(), score)
    assert search.ask().lr == pytest.approx(0.01)
    assert [type(function).__name__ for function in used] == [acquisition]
    assert float(used[0].best_f) == pytest.approx(best)


def test_botorchs_search_keeps_below_what_diverged() -> None:
    search = GaussianBayesOpt(SPACE, seed=1)
    for lr, score in ((0.002, 0.1), (0.01, 0.3), (0.05, None)):
        search.enqueue(lr)
        search.tell(search.ask(), score)
    first, second = search.ask(2)
    assert first.lr <= 0.03  # half the way from 0.01 to 0.05 on the log scale is 0.022
    assert first.lr != second.lr


def test_botorchs_search_survives_only_divergence() -> None:
    search = GaussianBayesOpt(SPACE, seed=1)
    for _ in range(5):
        search.tell(search.ask(), None)
    assert SPACE.low <= search.ask().lr <= SPACE.high


@pytest.mark.parametrize("options", [{"acquisition": "ucb"}, {"xi": -1.0}, {"n_initial": -1}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="GaussianBayesOpt"):
        GaussianBayesOpt(SPACE, **options)


def test_names_and_options_that_do_not_exist_are_refused() -> None:
    plan: dict[str, Any] = {"seed": 0, "n_initial": 2, "n_trials": 12}
    with pytest.raises(ValueError, match="the kinds are gamma, gamma_thesis, gaussian"):
        make_search("bayes", SPACE, **plan)
    with pytest.raises(ValueError, match=r"unknown option kapa; the options are acquisition, .*xi"):
        make_search("gamma", SPACE, kapa=1, **plan)
    with pytest.raises(ValueError, match="it has no options"):
        make_search("random", SPACE, xi=1, **plan)
    with pytest.raises(ValueError, match="'list' needs candidates"):
        make_search("list", SPACE, **plan)
    with pytest.raises(ValueError, match="'gamma' takes no candidates"):
        make_search("gamma", SPACE, candidates=[0.1], **plan)


def test_the_thesis_is_what_its_name_stands_for() -> None:
    search: Any = make_search("gamma_thesis", SPACE, seed=0, n_initial=2, n_trials=12)
    assert (search.surrogate, search.kernel, search.acquisition) == ("gaussian", "rbf", "thesis")
    assert (search.xi, search.thesis_reading, search.hyperparameters) == (0.01, "L2", "maximise")
