"""The documented example does what it says."""

from __future__ import annotations

import runpy
import warnings
from pathlib import Path

import pytest
import torch

EXAMPLE = Path(__file__).parents[3] / "examples" / "tune_2d.py"


@pytest.mark.parametrize("batch", [1, 2])
def test_sixteen_simulations_do_better_than_sixteen_random_ones(batch: int) -> None:
    example = runpy.run_path(str(EXAMPLE))
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        places, scores = example["tune"](seed=0, batch=batch)
    assert places.shape == (16, 2)
    fine = torch.cartesian_prod(*[torch.linspace(0.0, 1.0, 51, dtype=torch.float64)] * 2)
    better = (example["score"](fine) > scores.max()).double().mean()
    assert better < 0.03  # sixteen random pairs are expected to leave 1 / 17, 6 %, better than their best
