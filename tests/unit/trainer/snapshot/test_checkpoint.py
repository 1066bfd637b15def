"""Generators in a checkpoint: out as plain values, back in another process, and they draw on as if nothing was."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler

from lightning_gammabo.trainer.snapshot.checkpoint import ResumePoint, fetch_zero_rates, store_peak_rates
from lightning_gammabo.trainer.snapshot.rng import RngState

KINDS: dict[str, tuple[Callable[[int], Any], Callable[[Any], object]]] = {
    "torch": (lambda s: torch.Generator().manual_seed(s), lambda g: torch.rand(3, generator=g).tolist()),
    "random": (lambda s: random.Random(s), lambda g: (g.random(), g.gauss(0.0, 1.0))),
    "RandomState": (lambda s: np.random.RandomState(s), lambda g: (g.normal(), g.randint(9))),
    "RandomState of PCG64": (
        lambda s: np.random.RandomState(np.random.PCG64(s)),
        lambda g: (g.normal(), g.randint(9)),
    ),
    "PCG64": (lambda s: np.random.default_rng(s), lambda g: (g.normal(), g.integers(9, dtype=np.uint32))),
    "PCG64DXSM": (lambda s: np.random.Generator(np.random.PCG64DXSM(s)), lambda g: g.normal()),
    "MT19937": (lambda s: np.random.Generator(np.random.MT19937(s)), lambda g: g.normal()),
    "Philox": (lambda s: np.random.Generator(np.random.Philox(s)), lambda g: g.random(3).tolist()),
    "SFC64": (lambda s: np.random.Generator(np.random.SFC64(s)), lambda g: g.integers(9, dtype=np.uint32)),
    "bit generator": (lambda s: np.random.PCG64(s), lambda g: int(g.random_raw())),
}


class Augmented(Dataset[float]):
    def __init__(self, rng: object) -> None:
        self.rng = rng
        self.hidden = {"more": [rng]}  # met twice, listed once

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> float:
        return float(index)


def trainer(*loaders: Any) -> Any:
    """As much of a Trainer as holds training loaders."""
    combined = SimpleNamespace(flattened=list(loaders)) if loaders else None
    return SimpleNamespace(fit_loop=SimpleNamespace(_combined_loader=combined))


def through_a_checkpoint(plain: Any) -> Any:
    file = io.BytesIO()
    torch.save(plain, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def is_plain(tree: object) -> bool:
    if isinstance(tree, dict):
        return all(isinstance(key, str) for key in tree) and all(map(is_plain, tree.values()))
    if isinstance(tree, list):
        return all(map(is_plain, tree))
    return type(tree) in (int, float, str, type(None), torch.Tensor)


@pytest.mark.parametrize("ahead", [0, 1, 700])
@pytest.mark.parametrize("kind", KINDS)
def test_every_generator_draws_on_in_another_process(kind: str, ahead: int) -> None:
    make, draw = KINDS[kind]
    generator = make(3)
    for _ in range(ahead):
        draw(generator)
    plain = ResumePoint.take(trainer(DataLoader(Augmented(generator))))
    assert is_plain(plain)
    assert list(plain["loaders"]) == ["loader0.dataset.rng"]
    expected = [draw(generator) for _ in range(5)]
    other = make(99)
    ResumePoint(through_a_checkpoint(plain)).restore(trainer(DataLoader(Augmented(other))))
    assert [draw(other) for _ in range(5)] == expected


def test_a_point_can_be_taken_twice_and_is_a_copy() -> None:
    generator = np.random.Generator(np.random.MT19937(1))
    run = trainer(DataLoader(Augmented(generator)))
    before, again = ResumePoint.take(run), ResumePoint.take(run)
    assert before["loaders"] == again["loaders"]
    generator.random(1000)
    assert before["loaders"] == again["loaders"]
    assert ResumePoint.take(run)["loaders"] != before["loaders"]


def test_generators_of_loader_and_sampler_are_among_them() -> None:
    def run(seed: int) -> tuple[Any, Any]:
        data = Augmented(None)
        sampler = RandomSampler(data, generator=torch.Generator().manual_seed(seed))
        loader = DataLoader(data, sampler=sampler, generator=torch.Generator().manual_seed(seed + 1))
        return trainer(loader), loader

    mine, loader = run(0)
    list(loader)
    plain = through_a_checkpoint(ResumePoint.take(mine))
    expected = [list(loader), list(loader)]
    other, resumed = run(7)
    ResumePoint(plain).restore(other)
    assert [list(resumed), list(resumed)] == expected
    assert expected[0] != expected[1]


def test_global_generators_go_on_too() -> None:
    def draw() -> list[object]:
        return [random.random(), random.gauss(0.0, 1.0), np.random.randn(), torch.rand(2).tolist()]

    draw()
    plain = through_a_checkpoint(ResumePoint.take(trainer()))
    assert plain["loaders"] == {}
    expected = draw()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    ResumePoint(plain).restore(trainer())
    assert draw() == expected


def test_taking_a_point_draws_nothing() -> None:
    before = RngState.take().to_plain()
    ResumePoint.take(trainer(DataLoader(Augmented(None))))
    after = RngState.take().to_plain()
    assert torch.equal(after.pop("torch_cpu"), before.pop("torch_cpu"))
    assert after == before


def test_the_path_of_a_generator_does_not_hang_on_what_a_run_adds() -> None:
    mine, other = random.Random(5), random.Random(6)
    run = trainer(DataLoader(Augmented(mine)))
    run.fit_loop._combined_loader.flattened[0].dataset.seen_last = {"by": mine}
    plain = ResumePoint.take(run)
    expected = mine.random()
    ResumePoint(plain).restore(trainer(DataLoader(Augmented(other))))
    assert other.random() == expected


def test_a_generator_that_was_not_there_is_left_alone() -> None:
    plain = ResumePoint.take(trainer(DataLoader(Augmented(None))))
    newcomer = random.Random(5)
    ResumePoint(plain).restore(trainer(DataLoader(Augmented(newcomer))))
    assert newcomer.random() == random.Random(5).random()


def test_a_generator_that_is_gone_is_not_missed() -> None:
    plain = ResumePoint.take(trainer(DataLoader(Augmented(random.Random(5)))))
    expected = torch.rand(2)
    ResumePoint(plain).restore(trainer(DataLoader(Augmented(None))))
    assert torch.equal(torch.rand(2), expected)  # the others are put back


def ended(rate: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A callback's state at the end of an annealing, and a checkpoint of two groups, one without a rate."""
    controller = {"shape": 0.0, "peak_factor": 2.0, "scheduled": [[0.1, 0.05]]}
    groups = [{"lr": rate, "params": [0]}, {"lr": None, "params": [1]}, {"lr": 0.5, "params": [2]}]
    return {"rates": {"controller": controller}}, {"optimizer_states": [{"state": {}, "param_groups": groups}]}


def rates(checkpoint: dict[str, Any]) -> list[Any]:
    return [group["lr"] for group in checkpoint["optimizer_states"][0]["param_groups"]]


def test_rates_that_came_down_to_zero_are_stored_as_peaks_and_fetched_as_zeros() -> None:
    state, checkpoint = ended(0.0)
    live = checkpoint["optimizer_states"][0]
    store_peak_rates(state, checkpoint)
    assert rates(checkpoint) == [0.2, None, 0.5]  # one that somebody has set by hand stays
    assert live["param_groups"][0]["lr"] == 0.0  # what the optimizer gave is left alone
    fetch_zero_rates(through_a_checkpoint(state), checkpoint)
    assert rates(checkpoint) == [0.0, None, 0.5]


def test_a_rate_in_a_tensor_stays_one() -> None:
    rate = torch.tensor(0.0, dtype=torch.float64)
    state, checkpoint = ended(rate)
    store_peak_rates(state, checkpoint)
    assert torch.equal(rates(checkpoint)[0], torch.tensor(0.2, dtype=torch.float64))
    assert float(rate) == 0.0
    fetch_zero_rates(state, checkpoint)
    assert torch.equal(rates(checkpoint)[0], rate)


@pytest.mark.parametrize("controller", [None, {"shape": 0.25, "peak_factor": 2.0, "scheduled": [[0.1]]}])
def test_other_rates_are_stored_as_they_are(controller: Any) -> None:
    state, checkpoint = {"rates": {"controller": controller}}, {"optimizer_states": [{"param_groups": [{"lr": 0.0}]}]}
    before = dict(state)
    store_peak_rates(state, checkpoint)
    fetch_zero_rates(state, checkpoint)
    assert rates(checkpoint) == [0.0]
    assert state == before
