"""Searches by name, and searches of one's own."""

from __future__ import annotations

from typing import Any

import pytest

from lightning_gammabo.bayesopt import (
    GridSearch,
    LearningRateSpace,
    SamplerFactory,
    Search,
    make_search,
    search_name,
)

SPACE = LearningRateSpace(1e-3, 1e-1)
PLANNED = {"seed": 5, "n_initial": 2, "n_trials": 7}


class Notes(SamplerFactory):
    def __init__(self) -> None:
        self.made: list[Any] = []

    def make(self, space: LearningRateSpace, *, seed: int, n_initial: int, n_trials: int) -> Search:
        self.made.append((space, seed, n_initial, n_trials))
        return GridSearch(space, n_trials=n_trials)


def test_a_factory_is_told_what_is_planned_and_asked_each_time() -> None:
    factory = Notes()
    first, second = (make_search(factory, SPACE, **PLANNED) for _ in range(2))
    assert first is not second
    assert factory.made == [(SPACE, 5, 2, 7)] * 2
    assert first.ask().lr == pytest.approx(1e-3)


def test_names() -> None:
    class Named(Notes):
        name = "mine"

    assert [search_name(kind) for kind in ("gamma", Notes(), Named())] == ["gamma", "Notes", "mine"]


@pytest.mark.parametrize(("given", "named"), [({"candidates": [0.1]}, "candidates"), ({"xi": 1}, "xi")])
def test_what_a_factory_cannot_take_is_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=rf"make_search\(Notes\): a factory takes no {named}; give it to its class"):
        make_search(Notes(), SPACE, **PLANNED, **given)


def test_what_is_no_search_is_refused() -> None:
    class Wrong(Notes):
        def make(self, space: LearningRateSpace, **planned: Any) -> Any:
            return [0.1, 0.2]

    with pytest.raises(TypeError, match=r"Wrong\.make\(\) returned \[0\.1, 0\.2\]; a search has ask, tell, enqueue"):
        make_search(Wrong(), SPACE, **PLANNED)


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
