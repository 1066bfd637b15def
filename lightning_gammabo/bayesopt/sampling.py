"""From base samples to samples of a mixture of multivariate Student-t's.

Notation as in :mod:`lightning_gammabo.bayesopt.posterior`; ``s`` is the number of samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["collapsed", "components_of", "loc_and_white"]


def components_of(pick: Tensor, weights: Tensor) -> Tensor:
    """Which component each sample picks.

    Args:
        pick: standard normal variables whose probability is looked up in the weights, ``s x b x m``.
        weights: ``b x K x m``.

    Returns:
        Indices, ``s x b x m``.
    """
    edges = weights.cumsum(dim=-2)
    edges = edges / edges[..., -1:, :]
    index: Tensor = (torch.special.ndtr(pick).unsqueeze(-2) > edges).sum(dim=-2)
    return index.clamp_max(weights.shape[-2] - 1)


def loc_and_white(index: Tensor, z: Tensor, loc: Tensor, roots: Tensor) -> tuple[Tensor, Tensor]:
    """Location and ``root z`` of the component that each sample picks.

    Args:
        index: which component, ``s x b x m``.
        z: standard normal, ``s x b x q x m``.
        loc: ``b x K x q x m``.
        roots: lower Cholesky factors, ``b x K x m x q x q``.

    Returns:
        Two tensors ``s x b x q x m``.
    """
    if loc.shape[-3] == 1:
        return loc.squeeze(-3), _times(roots.squeeze(-4), z)
    if index[0].numel() == index.shape[-1]:
        return _pick_shared(index.reshape(index.shape[0], -1), z, loc, roots)
    return _pick_apart(index.expand(z.shape[:-2] + z.shape[-1:]), z, loc, roots)


def _pick_apart(index: Tensor, z: Tensor, loc: Tensor, roots: Tensor) -> tuple[Tensor, Tensor]:
    # every t-batch picks for itself: index s x b x m
    q, m = z.shape[-2:]
    at_loc = index[..., None, None, :].expand(*index.shape[:-1], 1, q, m)
    chosen_loc = loc.expand(z.shape[:1] + loc.shape).gather(-3, at_loc).squeeze(-3)
    at_root = index[..., None, :, None, None].expand(*index.shape[:-1], 1, m, q, q)
    chosen = roots.expand(z.shape[:1] + roots.shape).gather(-4, at_root).squeeze(-4)  # s x b x m x q x q
    white = (chosen @ z.transpose(-1, -2).unsqueeze(-1)).squeeze(-1).transpose(-1, -2)
    return chosen_loc, white


def _pick_shared(index: Tensor, z: Tensor, loc: Tensor, roots: Tensor) -> tuple[Tensor, Tensor]:
    # the usual case, weights without t-batch, index s x m: samples are grouped by component, and no root is copied
    locs, whites = [], []
    for j in range(index.shape[-1]):
        order = torch.argsort(index[:, j], stable=True)
        parts_loc, parts_white = [], []
        for k, group in zip(*_groups(index[order, j], order), strict=True):
            here = loc[..., k, :, j : j + 1]
            parts_loc.append(here.expand(group.shape + here.shape))
            parts_white.append(_times(roots[..., k, j : j + 1, :, :], z[group][..., j : j + 1]))
        back = torch.argsort(order)
        locs.append(torch.cat(parts_loc)[back])
        whites.append(torch.cat(parts_white)[back])
    return torch.cat(locs, dim=-1), torch.cat(whites, dim=-1)


def _times(root: Tensor, z: Tensor) -> Tensor:
    # root b x m x q x q times z s x b x q x m, without a copy of the root for every sample
    columns = z.movedim(0, -1).transpose(-3, -2)  # b x m x q x s
    return (root @ columns).transpose(-3, -2).movedim(-1, 0)


def collapsed(values: Tensor, batch_shape: torch.Size) -> Tensor:
    """One of each where a sampler has expanded its base samples over t-batches: what follows is computed once.

    Args:
        values: ``s x b x ...``.
        batch_shape: ``b``.

    Returns:
        ``s x b' x ...`` where ``b'`` has 1 for every expanded dimension.
    """
    for dim in range(1, 1 + len(batch_shape)):
        if values.stride(dim) == 0:
            values = values.narrow(dim, 0, 1)
    return values


def _groups(sorted_index: Tensor, order: Tensor) -> tuple[list[int], tuple[Tensor, ...]]:
    values, counts = torch.unique_consecutive(sorted_index, return_counts=True)
    return values.tolist(), torch.split(order, counts.tolist())
