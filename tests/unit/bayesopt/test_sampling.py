from __future__ import annotations

import torch

from lightning_gammabo.bayesopt.sampling import collapsed, components_of, loc_and_white


def test_components_are_picked_as_often_as_they_weigh() -> None:
    torch.manual_seed(0)
    pick = torch.randn(20_000, 1)
    index = components_of(pick, torch.tensor([[0.5], [0.2], [0.3]]))
    shares = torch.bincount(index.flatten(), minlength=3) / 20_000
    assert torch.allclose(shares, torch.tensor([0.5, 0.2, 0.3]), atol=0.02)


def test_a_pick_beyond_the_last_edge_is_the_last_component() -> None:
    weights = torch.tensor([[0.1], [0.9]])
    assert components_of(torch.tensor([[40.0], [-40.0]]), weights).flatten().tolist() == [1, 0]


def slow(index: torch.Tensor, z: torch.Tensor, loc: torch.Tensor, roots: torch.Tensor) -> tuple[torch.Tensor, ...]:
    locs, whites = torch.zeros_like(z), torch.zeros_like(z)
    for s, b, j in torch.cartesian_prod(*(torch.arange(n) for n in (z.shape[0], z.shape[1], z.shape[-1]))).tolist():
        k = int(index.expand(z.shape[0], z.shape[1], z.shape[-1])[s, b, j])
        locs[s, b, :, j] = loc[b, k, :, j]
        whites[s, b, :, j] = roots[b, k, j] @ z[s, b, :, j]
    return locs, whites


def test_each_sample_has_location_and_root_of_its_component() -> None:
    torch.manual_seed(0)
    s, b, k, q, m = 5, 2, 3, 4, 2
    z = torch.randn(s, b, q, m, dtype=torch.float64)
    loc, roots = torch.randn(b, k, q, m, dtype=z.dtype), torch.randn(b, k, m, q, q, dtype=z.dtype).tril()
    apart, shared = torch.randint(k, (s, b, m)), torch.randint(k, (s, 1, m))
    for index in (apart, shared):
        for found, wanted in zip(loc_and_white(index, z, loc, roots), slow(index, z, loc, roots), strict=True):
            assert torch.allclose(found, wanted)
    one = loc_and_white(torch.zeros(s, b, m, dtype=torch.long), z, loc[:, :1], roots[:, :1])
    for found, wanted in zip(one, slow(torch.zeros(s, b, m), z, loc, roots), strict=True):
        assert torch.allclose(found.expand_as(wanted), wanted)


def test_of_expanded_samples_one_is_kept() -> None:
    values = torch.randn(3, 1, 2).expand(3, 4, 2)
    assert torch.equal(collapsed(values, torch.Size([4])), values[:, :1])
    whole = torch.randn(3, 4, 2)
    assert collapsed(whole, torch.Size([4])) is whole
