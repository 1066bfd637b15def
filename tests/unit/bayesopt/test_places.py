from __future__ import annotations

import numpy as np
import pytest

from lightning_gammabo.bayesopt.asktell import Trial
from lightning_gammabo.bayesopt.places import MAX_POINTS, PlacedSearch
from lightning_gammabo.bayesopt.space import LearningRateSpace

SPACE = LearningRateSpace(1e-4, 1.0)


class Filling(PlacedSearch):
    """Fills the space, and has no surrogate."""

    def _propose(self, number: int) -> tuple[float, str]:
        return self._space_filling(number), "initial"


def search(**changed: object) -> Filling:
    given = {"seed": 0, "n_initial": 4, "deterministic": True, "grid_size": 65} | changed
    return Filling(SPACE, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "least"), [("n_initial", -1, 0), ("grid_size", 7, 8), ("n_initial", float("inf"), 0)]
)
def test_a_number_out_of_its_range_is_refused(name: str, value: float, least: int) -> None:
    with pytest.raises(ValueError, match=rf"Filling\({name}={value}\): need a finite number of at least {least}"):
        search(**{name: value})


def test_trials_before_the_surrogate_have_a_cell_each() -> None:
    filling = search()
    cells = []
    for _ in range(4):
        trial = filling.ask()
        cells.append(int(4 * SPACE.to_unit(trial.lr)))
        filling.tell(trial, 0.0)
    assert sorted(cells) == [0, 1, 2, 3]


def test_places_tried_and_pending_and_diverged_are_not_allowed() -> None:
    filling = search()
    told, pending = filling.ask(), filling.ask()
    filling.tell(told, 1.0)
    allowed = filling._allowed()
    for trial in (told, pending):
        assert not allowed[int(np.abs(filling._places - SPACE.to_unit(trial.lr)).argmin())]
    assert allowed.any()


def test_a_surrogate_sees_a_bounded_number_of_scores() -> None:
    filling = search()
    for k in range(MAX_POINTS + 50):
        filling.enqueue(10.0 ** (-4.0 + 4.0 * k / (MAX_POINTS + 49)))
        filling.tell(filling.ask(), float(k))
    rates, scores = filling._scored()
    assert len(rates) == len(scores) <= MAX_POINTS
    assert scores.max() == MAX_POINTS + 49
    assert isinstance(filling.ask(), Trial)
