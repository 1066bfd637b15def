"""Two tensors have one digest if, and but for chance only if, their bits are the same."""

from __future__ import annotations

import pytest
import torch

from lightning_gammabo.trainer.snapshot.digest import digest

DTYPES = [
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.int8,
    torch.int64,
    torch.bool,
    torch.complex64,
]


def values(dtype: torch.dtype, size: int) -> torch.Tensor:
    drawn = torch.randint(0, 2, (size,), generator=torch.Generator().manual_seed(0))
    return drawn.to(dtype)


@pytest.mark.parametrize("size", [1, 3, 8, 17, 1000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_change_of_any_entry_is_seen_and_its_return_too(dtype: torch.dtype, size: int) -> None:
    tensor = values(dtype, size)
    before = digest(tensor)
    for index in {0, size // 2, size - 1}:
        kept = tensor[index].clone()
        tensor[index] = 1 - kept.int() if dtype is torch.bool else kept + 1
        assert not torch.equal(digest(tensor), before)
        tensor[index] = kept
        assert torch.equal(digest(tensor), before)


def test_the_last_bit_is_seen() -> None:
    tensor = torch.full((1000,), 1e20)
    before = digest(tensor)
    tensor[500] = torch.nextafter(tensor[500], torch.tensor(torch.inf))
    assert not torch.equal(digest(tensor), before)


def test_zeros_of_either_sign_and_numbers_that_are_none_are_bits() -> None:
    assert not torch.equal(digest(torch.tensor([0.0])), digest(torch.tensor([-0.0])))
    assert torch.equal(digest(torch.tensor([torch.nan])), digest(torch.tensor([torch.nan])))


def test_entries_and_chunks_that_change_places_are_seen() -> None:
    assert not torch.equal(digest(torch.tensor([1.0, 2.0])), digest(torch.tensor([2.0, 1.0])))
    tensor = torch.zeros(5 << 20, dtype=torch.uint8)
    tensor[: 1 << 20] = 1
    assert not torch.equal(digest(tensor), digest(tensor.flip(0)))


def test_a_view_is_its_values() -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    for view in (whole[1:, 1:], whole.t(), whole[0, 1:], whole[:, ::2]):
        assert torch.equal(digest(view), digest(view.clone()))
    bits = torch.arange(33, dtype=torch.uint8)
    assert torch.equal(digest(bits[1:]), digest(bits[1:].clone()))  # begins amid a word


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
def test_of_a_sparse_tensor_places_and_values_count(layout: torch.layout) -> None:
    def sparse(*rows: list[float]) -> torch.Tensor:
        return digest(torch.tensor(rows).to_sparse(layout=layout))

    first = sparse([0.0, 1.0], [2.0, 0.0])
    assert torch.equal(first, sparse([0.0, 1.0], [2.0, 0.0]))
    assert not torch.equal(first, sparse([1.0, 0.0], [2.0, 0.0]))
    assert not torch.equal(first, sparse([0.0, 1.0], [3.0, 0.0]))


def test_an_empty_tensor_has_a_digest() -> None:
    assert int(digest(torch.empty(0))) == 0
