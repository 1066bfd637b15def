"""A short number that tells whether a tensor's values are still the same, to the bit.

A sum of floats does not see their last bits, and a copy costs as much memory as the tensor. Here the bits are read as
integers ``b_i``, and with fixed odd random weights ``w_i`` the digest is ``sum(b_i * w_i) mod 2**64``: a change of one
entry always changes it, and changes of several cancel with a probability of about ``2**-60``.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

__all__ = ["digest"]

_CHUNK = 1 << 20
"""entries that are weighted at a time: 8 MiB"""
_BYTES = 8
_SEED = 1


def digest(tensor: Tensor) -> Tensor:
    """The digest of a tensor's values.

    Args:
        tensor: any tensor with a memory of its own; strided or sparse.

    Returns:
        One integer on the tensor's device; nothing is waited for.

    Example:
        >>> value = torch.ones(3)
        >>> before = digest(value)
        >>> value[1] = torch.nextafter(value[1], torch.tensor(2.0))
        >>> bool(digest(value) == before)
        False
    """
    tensor = tensor.detach()
    if tensor.layout is not torch.strided:
        return functools.reduce(lambda total, part: 3 * total + digest(part), _parts(tensor), _zero(tensor))
    flat = tensor.resolve_conj().resolve_neg().contiguous().reshape(-1)
    if flat.nbytes % _BYTES == 0 and flat.storage_offset() * flat.itemsize % _BYTES == 0:
        return _weighted(flat.view(torch.int64))
    flat = flat.view(torch.uint8)
    whole = flat.numel() // _BYTES * _BYTES
    words = flat[:whole] if flat.storage_offset() % _BYTES == 0 else flat[:whole].clone()
    return _weighted(words.view(torch.int64)) + 5 * _weighted(flat[whole:].to(torch.int64))


def _weighted(values: Tensor) -> Tensor:
    weights = _weights(values.device)
    if values.numel() <= _CHUNK:
        return _product(values, weights[: values.numel()])
    # each chunk counts with another power of three, so that chunks that change places are told apart
    products = (_product(chunk, weights[: chunk.numel()]) for chunk in torch.split(values, _CHUNK))
    return functools.reduce(lambda total, product: total * 3 + product, products)


def _product(values: Tensor, weights: Tensor) -> Tensor:
    # without a tensor in between where there is such a product of integers
    return torch.dot(values, weights) if values.device.type == "cpu" else (values * weights).sum()


@functools.lru_cache(maxsize=8)
def _weights(device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(_SEED)
    most = torch.iinfo(torch.int64).max
    drawn = torch.randint(-most, most, (_CHUNK,), generator=generator, dtype=torch.int64)
    return (drawn | 1).to(device)


def _zero(tensor: Tensor) -> Tensor:
    return torch.zeros((), dtype=torch.int64, device=tensor.device)


def _parts(tensor: Tensor) -> list[Tensor]:
    if tensor.layout is torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
