"""Running statistics of a candidate's own batches, against a fresh layer that saw nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_gammabo.trainer.batch_norm import RunningStatistics

NAMES = ("running_mean", "running_var")


def batches(count: int, seed: int, *, shift: float = 0.0, shape: tuple[int, ...] = (16, 3)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [shift + (1 + shift) * torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(count)]


def trained(layer: Any, data: Sequence[Tensor]) -> Any:
    layer.train()
    for batch in data:
        layer(batch)
    return layer


def held(layer: Any) -> dict[str, Tensor]:
    return {name: getattr(layer, name).clone() for name in NAMES}


def fresh_of(data: Sequence[Tensor], momentum: float | None) -> dict[str, Tensor]:
    """By the slow road: batch statistics, averaged by an exponential that knows its own bias."""
    average = {name: torch.zeros(3, dtype=torch.float64) for name in NAMES}
    weight = 0.0
    for index, batch in enumerate(data):
        columns = batch.transpose(0, 1).flatten(1)
        step = 1.0 / (index + 1) if momentum is None else momentum
        now = {"running_mean": columns.mean(1), "running_var": columns.var(1)}
        average = {name: (1 - step) * average[name] + step * now[name] for name in NAMES}
        weight = (1 - step) * weight + step
    return {name: value / weight for name, value in average.items()}


@pytest.mark.parametrize("own", [1, 2, 7])
@pytest.mark.parametrize("momentum", [0.1, 0.01, 0.9, None])
def test_what_the_batches_alone_give(momentum: float | None, own: int) -> None:
    layer = trained(nn.BatchNorm1d(3, momentum=momentum).double(), batches(5, 0, shift=4.0))
    statistics = RunningStatistics(nn.Sequential(nn.Linear(3, 3), layer))
    data = batches(own, 1)
    mixed = held(trained(layer, data))
    expected = fresh_of(data, momentum)
    with statistics.of_own_batches():
        for name in NAMES:
            torch.testing.assert_close(getattr(layer, name), expected[name], rtol=1e-9, atol=1e-9)
            assert not torch.equal(mixed[name], getattr(layer, name))
    assert {name: torch.equal(getattr(layer, name), mixed[name]) for name in NAMES} == dict.fromkeys(NAMES, True)


def test_a_real_fresh_layer_says_the_same() -> None:
    """After many batches a fresh layer's own bias, of its beginning with zeros and ones, is gone."""
    layer = trained(nn.BatchNorm2d(3, momentum=0.5).double(), batches(5, 0, shift=4.0, shape=(8, 3, 2, 2)))
    statistics = RunningStatistics(layer)
    data = batches(40, 1, shape=(8, 3, 2, 2))
    trained(layer, data)
    other = trained(nn.BatchNorm2d(3, momentum=0.5).double(), data)
    with statistics.of_own_batches():
        for name in NAMES:
            torch.testing.assert_close(getattr(layer, name), getattr(other, name), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_without_own_batches_nothing_changes(momentum: float | None) -> None:
    layer = trained(nn.BatchNorm1d(3, momentum=momentum).double(), batches(5, 0))
    before = held(layer)
    with RunningStatistics(layer).of_own_batches():
        assert all(torch.equal(getattr(layer, name), before[name]) for name in NAMES)
    assert all(torch.equal(getattr(layer, name), before[name]) for name in NAMES)


def test_of_a_layer_that_saw_nothing_before_it_is_its_own_average() -> None:
    layer = nn.BatchNorm1d(3, momentum=None).double()
    statistics = RunningStatistics(layer)
    mixed = held(trained(layer, batches(4, 1)))
    with statistics.of_own_batches():
        assert all(torch.equal(getattr(layer, name), mixed[name]) for name in NAMES)


def test_a_layer_that_keeps_nothing_of_the_past_is_left_alone() -> None:
    layer = nn.BatchNorm1d(3, momentum=1.0).double()
    statistics = RunningStatistics(layer)
    mixed = held(trained(layer, batches(4, 1)))
    with statistics.of_own_batches():
        for name in NAMES:
            torch.testing.assert_close(getattr(layer, name), mixed[name])


def test_a_layer_that_learns_nothing_from_batches_is_left_alone() -> None:
    layer = nn.BatchNorm1d(3, momentum=0.0).double()
    statistics = RunningStatistics(layer)
    trained(layer, batches(4, 1))
    with statistics.of_own_batches():
        assert layer.running_mean is not None
        assert layer.running_mean.tolist() == [0.0] * 3


def test_put_back_where_the_body_raises() -> None:
    layer = trained(nn.BatchNorm1d(3).double(), batches(5, 0, shift=4.0))
    statistics = RunningStatistics(layer)
    mixed = held(trained(layer, batches(2, 1)))
    with pytest.raises(RuntimeError, match="boom"), statistics.of_own_batches():
        raise RuntimeError("boom")
    assert all(torch.equal(getattr(layer, name), mixed[name]) for name in NAMES)


def test_buffers_stay_the_same_objects_and_a_variance_is_never_negative() -> None:
    layer = nn.BatchNorm1d(3, momentum=1e-7)
    assert layer.running_var is not None
    layer.running_var.fill_(1e6)
    statistics = RunningStatistics(layer)
    mean, var = layer.running_mean, layer.running_var
    trained(layer, [batch.float() for batch in batches(2, 1)])
    with statistics.of_own_batches():
        # single precision cannot tell so small a share of it apart
        assert bool((layer.running_var >= 0.0).all())
        assert bool(torch.isfinite(layer.running_var).all())
    assert layer.running_mean is mean
    assert layer.running_var is var


def test_layers_without_statistics_are_passed_over() -> None:
    module = nn.Sequential(
        nn.BatchNorm1d(3, track_running_stats=False), nn.InstanceNorm1d(3), nn.LayerNorm(3), nn.GroupNorm(1, 3)
    )
    with RunningStatistics(module).of_own_batches():
        pass
