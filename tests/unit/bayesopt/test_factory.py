"""Searches of one's own; those by name are tested with their classes."""

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
