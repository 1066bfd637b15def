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
    with torch.no_grad():
        if tensor.layout is not torch.strided:
            return functools.reduce(lambda total, part: 3 * total + digest(part), _parts(tensor), _zero(tensor))
        flat = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
        whole = flat.numel() // _BYTES * _BYTES
        words = flat[:whole] if flat.storage_offset() % _BYTES == 0 else flat[:whole].clone()
        return _weighted(words.view(torch.int64)) + 5 * _weighted(flat[whole:].to(torch.int64))


def _weighted(values: Tensor) -> Tensor:
    total = _zero(values)
    weights = _weights(values.device)
    for chunk in torch.split(values, _CHUNK):
        # each chunk counts with another power of three, so that chunks that change places are told apart
        total = total * 3 + (chunk * weights[: len(chunk)]).sum()
    return total


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
