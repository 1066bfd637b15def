"""The recorded tables are sane, and the package's search beats random search on them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.landscapes import tables
from lightning_gammabo.bayesopt import LearningRateSpace, make_search

NAMES = ("cifar", "digits", "mnist500")
SPACE = LearningRateSpace(1e-4, 1.0)


def test_there_is_a_table_of_each_task() -> None:
    assert tables.names() == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_table_is_sane(name: str) -> None:
    table = tables.load(name)
    shape = (len(table.seeds), 6, 121)
    assert table.loss.shape == table.accuracy.shape == table.held_loss.shape == table.held_accuracy.shape == shape
    assert table.lr[0] == pytest.approx(1e-4)
    assert table.lr[-1] == pytest.approx(1.0)
    assert (np.diff(table.lr) > 0).all()
    diverged = np.isnan(table.loss)
    assert (np.isnan(table.accuracy) == diverged).all()
    assert diverged.mean() < 0.25
    assert (table.loss[~diverged] > 0).all()
    assert ((table.accuracy[~diverged] >= 0) & (table.accuracy[~diverged] <= 1)).all()
    kept = np.take_along_axis(table.loss, table.winner[..., None], axis=2)[..., 0]
    assert (kept == np.nanmin(table.loss, axis=2)).all()


@pytest.mark.parametrize("name", NAMES)
def test_training_gets_better_from_epoch_to_epoch(name: str) -> None:
    best = np.nanmin(tables.load(name).loss, axis=2).mean(axis=0)
    assert best[0] > best[2] > best[5]


def test_kappa_is_zero_for_guessing_and_floored() -> None:
    assert float(tables.kappa(np.array(math.log(10)), np.array(0.0), 10)) == pytest.approx(0.0)
    assert float(tables.kappa(np.array(1e30), np.array(0.0), 10)) == pytest.approx(tables.FLOOR)
    assert np.isnan(tables.kappa(np.array(np.nan), np.array(np.nan), 10))


def regret(score: np.ndarray, floor: float, kind: str, seed: int) -> float:
    """Regret after eight evaluations as a share of the best rate's gain over the smallest rate, at most 1."""
    search = make_search(kind, SPACE, seed=seed, n_initial=2, n_trials=8)
    seen = []
    for _ in range(8):
        trial = search.ask()
        value = score[round(SPACE.to_unit(trial.lr) * (len(score) - 1))]
        search.tell(trial, None if np.isnan(value) else float(value))
        seen.append(floor if np.isnan(value) else value)
    best = np.nanmax(score)
    return min(1.0, float((best - max(seen)) / max(best - score[0], 1e-9)))


@pytest.mark.parametrize("name", NAMES)
def test_search_beats_random_search(name: str) -> None:
    score = tables.load(name).score
    cases = [(score[s, e], 10 * s + e) for s in range(len(score)) for e in range(4)]
    ours = np.mean([regret(values, tables.FLOOR, "gamma", seed) for values, seed in cases])
    random = np.mean([regret(values, tables.FLOOR, "random", seed) for values, seed in cases])
    assert ours < 0.8 * random  # measured: a half; fixed seeds
