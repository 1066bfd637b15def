"""A digest tells whether values are the same to the bit."""

from __future__ import annotations

import pytest
import torch

from lightning_gammabo.trainer.snapshot.digest import _weights, digest


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(digest(a) == digest(b))


FORMS = [
    torch.zeros(0),
    torch.tensor(1.5),
    torch.tensor([True, False, True]),
    torch.arange(5, dtype=torch.bfloat16)[1:],
    torch.arange(16.0).reshape(4, 4)[:, 1:3],
    torch.complex(torch.ones(3), torch.ones(3)).conj(),
    torch.tensor([1, 2, 3], dtype=torch.uint8),
    torch.eye(3).to_sparse(),
]


@pytest.mark.parametrize("value", FORMS, ids=lambda value: f"{value.dtype}-{tuple(value.shape)}-{value.layout}")
def test_a_copy_has_the_same_digest(value: torch.Tensor) -> None:
    assert same(value, value.clone())


def test_a_last_bit_is_seen() -> None:
    value = torch.ones(1000)
    for index in (0, 1, 500, 999):
        other = value.clone()
        other[index] = torch.nextafter(other[index], torch.tensor(2.0))
        assert not same(value, other)


def test_changes_that_a_sum_does_not_see_are_seen() -> None:
    value = torch.tensor([1.0, 2.0, 3.0])
    assert not same(value, torch.tensor([2.0, 1.0, 3.0]))
    assert not same(value, torch.tensor([0.5, 2.5, 3.0]))
    assert not same(torch.tensor([0.0]), torch.tensor([-0.0]))
    large = torch.arange(2.0 * (1 << 20) * 2)
    assert not same(large, large.roll(2 * (1 << 20)))  # whole chunks change places


def test_nan_equals_itself() -> None:
    value = torch.tensor([float("nan"), 1.0])
    assert same(value, value.clone())


def test_the_global_generator_is_not_drawn_from() -> None:
    before = torch.get_rng_state()
    digest(torch.ones(3))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("size", [8, 1 << 21, (1 << 21) + 16, 3 << 20])
def test_the_digest_is_the_weighted_sum_of_the_bits(size: int) -> None:
    """As of the slow way: chunk by chunk, of 8 MiB each."""
    value = torch.randn(size)
    weights = _weights(value.device)
    total = 0
    for chunk in torch.split(value.view(torch.int64), len(weights)):
        total = (3 * total + int((chunk * weights[: len(chunk)]).sum())) % 2**64
    assert int(digest(value)) % 2**64 == total
