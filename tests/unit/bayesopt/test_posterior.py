"""StudentTPosterior after BoTorch's contract for posteriors, and against SciPy and Monte Carlo."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from botorch.exceptions.errors import UnsupportedError
from botorch.sampling.get_sampler import get_sampler
from botorch.sampling.normal import IIDNormalSampler, SobolQMCNormalSampler
from scipy import stats
from torch import Tensor

from lightning_gammabo.bayesopt import StudentTPosterior

DF = 5.0


def random_shape(*batch: int, q: int) -> Tensor:
    root = torch.randn(*batch, q, q, dtype=torch.float64)
    return root @ root.transpose(-1, -2) + 0.3 * torch.eye(q, dtype=torch.float64)


def posterior(
    batch: tuple[int, ...] = (),
    *,
    q: int = 2,
    m: int = 1,
    components: int | None = None,
    dtype: torch.dtype = torch.float64,
) -> StudentTPosterior:
    """A random posterior; with ``components`` a mixture whose weights have no t-batch."""
    torch.manual_seed(0)
    middle = () if components is None else (components,)
    loc = torch.randn(*batch, *middle, q, m, dtype=torch.float64)
    shape = random_shape(*batch, *middle, m, q=q)
    scale = shape.diagonal(dim1=-2, dim2=-1).sqrt().transpose(-1, -2)
    weights = None if components is None else torch.rand(components, m, dtype=torch.float64).softmax(dim=0).to(dtype)
    return StudentTPosterior(DF, loc.to(dtype), scale.to(dtype), weights, shape_matrix=shape.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("components", [None, 3])
@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_shapes_and_types(batch: tuple[int, ...], m: int, components: int | None, dtype: torch.dtype) -> None:
    p = posterior(batch, q=2, m=m, components=components, dtype=dtype)
    assert (p.dtype, p.device.type, p.batch_shape, p.event_shape) == (dtype, "cpu", batch, (2, m))
    for value in (p.mean, p.variance, p.loc, p.scale):
        assert (value.shape, value.dtype) == ((*batch, 2, m), dtype)
    assert p.base_sample_shape == (*batch, 4, m)
    assert p.batch_range == (0, -2)
    for shape in ((), (5,), (5, 2)):
        samples = p.rsample(torch.Size(shape))
        assert (samples.shape, samples.dtype) == ((*shape, *batch, 2, m), dtype)
        assert p.sample(torch.Size(shape)).shape == samples.shape
    assert p.rsample().shape == (*batch, 2, m)
    for sampler in (SobolQMCNormalSampler(torch.Size([8]), seed=1), IIDNormalSampler(torch.Size([8]), seed=1)):
        assert sampler(p).shape == (8, *batch, 2, m)
        assert torch.equal(sampler(p), sampler(p))
    assert p.quantile(torch.tensor(0.3, dtype=dtype)).shape == (*batch, 2, m)
    assert p.quantile(torch.tensor([0.3, 0.5], dtype=dtype)).shape == (2, *batch, 2, m)
    assert p.density(torch.tensor([0.3, 0.5, 1.0], dtype=dtype)).shape == (3, *batch, 2, m)


def test_marginals_are_scipys() -> None:
    p = posterior(q=3, m=2)
    law = stats.t(DF, p.loc.numpy(), p.scale.numpy())
    np.testing.assert_allclose(p.mean, law.mean())
    np.testing.assert_allclose(p.variance, law.var())
    np.testing.assert_allclose(p.density(torch.tensor(0.4)), law.pdf(0.4))
    for probability in (0.01, 0.5, 0.95):
        np.testing.assert_allclose(
            p.quantile(torch.tensor(probability, dtype=torch.float64)), law.ppf(probability), atol=1e-12
        )


def test_mixture_marginals_are_sums_over_components() -> None:
    p = posterior((2,), q=1, components=3)
    parts = stats.t(DF, p.component_loc.numpy(), p.component_scale.numpy())
    w = p.weights.numpy()[:, None, :]
    mean = (w * parts.mean()).sum(-3)
    np.testing.assert_allclose(p.mean, mean)
    np.testing.assert_allclose(p.variance, (w * (parts.var() + parts.mean() ** 2)).sum(-3) - mean**2)
    np.testing.assert_allclose(p.scale**2 * DF / (DF - 2.0), p.variance)
    np.testing.assert_allclose(p.density(torch.tensor(0.4)), (w * parts.pdf(0.4)).sum(-3))
    for probability in (0.05, 0.5, 0.9):
        quantile = p.quantile(torch.tensor(probability, dtype=torch.float64)).numpy()
        np.testing.assert_allclose((w * parts.cdf(quantile[:, None])).sum(-3), probability, atol=1e-12)
        np.testing.assert_allclose(p.cdf(torch.as_tensor(quantile)), probability, atol=1e-12)
    np.testing.assert_allclose(p.log_density(torch.tensor(0.4)), np.log((w * parts.pdf(0.4)).sum(-3)))


def test_samples_are_jointly_student_t() -> None:
    p = posterior(q=2, m=1)
    samples = get_sampler(p, torch.Size([2**15]), seed=3)(p).squeeze(-1).numpy()
    assert p._shape_matrix is not None
    matrix = p._shape_matrix.squeeze().numpy()  # type: ignore[union-attr]
    law = stats.multivariate_t(p.loc.squeeze().numpy(), matrix, df=DF)
    covariance = matrix * DF / (DF - 2.0)
    # Sobol' draws: 32,768 leave about 1 % in second moments of so heavy a tail
    np.testing.assert_allclose(samples.mean(0), p.loc.squeeze().numpy(), atol=0.01)
    np.testing.assert_allclose(np.cov(samples.T), covariance, rtol=0.05)
    # one precision for both points: squared distances over q are F(q, df)-distributed
    white = np.linalg.solve(np.linalg.cholesky(matrix), (samples - law.loc).T)
    assert stats.kstest((white**2).sum(0) / 2, stats.f(2, DF).cdf).statistic < 0.01


def test_samples_of_a_mixture_have_its_distribution() -> None:
    p = posterior(q=2, m=2, components=4)
    samples = get_sampler(p, torch.Size([2**14]), seed=3)(p).numpy()
    for i in range(2):
        for j in range(2):
            parts = stats.t(DF, p.component_loc[:, i, j].numpy(), p.component_scale[:, i, j].numpy())
            below = (p.weights[:, j].numpy() * parts.cdf(np.sort(samples[:, i, j])[:, None])).sum(-1)
            # the largest distance from the empirical distribution; 0.0136 is exceeded by 1 in 200 independent sets
            assert np.abs(below - (np.arange(2**14) + 0.5) / 2**14).max() < 0.01
    assert abs(np.corrcoef(samples[:, 0, 0], samples[:, 0, 1])[0, 1]) < 0.03  # outputs are independent


def test_weights_with_a_t_batch_give_the_same_samples_as_each_batch_alone() -> None:
    torch.manual_seed(0)
    loc, scale = torch.randn(3, 4, 2, 1).double(), torch.rand(3, 4, 2, 1).double() + 0.5
    weights = torch.rand(3, 4, 1).double().softmax(dim=1)
    matrix = torch.diag_embed(scale.squeeze(-1).square()).unsqueeze(-3)
    whole = StudentTPosterior(DF, loc, scale, weights, shape_matrix=matrix)
    base = torch.randn(50, 3, 4, 1).double()
    together = whole.rsample_from_base_samples(torch.Size([50]), base)
    for b in range(3):
        one = StudentTPosterior(DF, loc[b], scale[b], weights[b], shape_matrix=matrix[b])
        alone = one.rsample_from_base_samples(torch.Size([50]), base[:, b])
        torch.testing.assert_close(together[:, b], alone)


def test_shared_weights_pick_as_batched_ones_do() -> None:
    p = posterior((3,), q=2, m=2, components=4)
    assert isinstance(p._shape_matrix, Tensor)
    spread = StudentTPosterior(
        DF, p.component_loc, p.component_scale, p.weights.expand(3, 4, 2), shape_matrix=p._shape_matrix
    )
    base = torch.randn(20, 1, 4, 2).double().expand(20, 3, 4, 2)
    first = p.rsample_from_base_samples(torch.Size([20]), base)
    torch.testing.assert_close(first, spread.rsample_from_base_samples(torch.Size([20]), base))


@pytest.mark.parametrize("components", [None, 3])
def test_gradients_reach_the_parameters(components: int | None) -> None:
    torch.manual_seed(0)
    middle = () if components is None else (components,)
    loc = torch.randn(*middle, 1, 1, dtype=torch.float64, requires_grad=True)
    scale = (torch.rand(*middle, 1, 1, dtype=torch.float64) + 0.5).requires_grad_()
    weights = None if components is None else torch.full((components, 1), 1.0 / components, dtype=torch.float64)
    base = torch.randn(16, 3, 1, dtype=torch.float64)

    def samples(loc: Tensor, scale: Tensor) -> Tensor:
        return StudentTPosterior(DF, loc, scale, weights).rsample_from_base_samples(torch.Size([16]), base)

    assert torch.autograd.gradcheck(samples, (loc, scale))
    StudentTPosterior(DF, loc, scale, weights).variance.sum().backward()
    assert scale.grad is not None
    assert scale.grad.abs().min() > 0.0


@pytest.mark.parametrize(
    ("df", "mean", "variance"), [(0.9, math.nan, math.nan), (1.5, 0.3, math.inf), (2.0, 0.3, math.inf), (4.0, 0.3, 2.0)]
)
def test_moments_that_do_not_exist(df: float, mean: float, variance: float) -> None:
    one = torch.ones(1, 1, dtype=torch.float64)
    p = StudentTPosterior(df, 0.3 * one, one)
    reference = torch.distributions.StudentT(df, 0.3 * one, one)
    assert p.mean.item() == pytest.approx(mean, nan_ok=True)
    assert p.variance.item() == pytest.approx(variance, nan_ok=True)
    assert p.mean.item() == pytest.approx(reference.mean.item(), nan_ok=True)
    assert p.variance.item() == pytest.approx(reference.variance.item(), nan_ok=True)
    assert p.scale.item() == 1.0
    mixture = StudentTPosterior(df, torch.stack([one, -one]), torch.stack([one, one]), torch.full((2, 1), 0.5).double())
    assert math.isfinite(mixture.scale.item())


def test_an_affine_image_has_its_moments_and_samples() -> None:
    p = posterior((2,), q=2, components=3)
    offset, factor = torch.tensor([[1.0]], dtype=torch.float64), torch.tensor([[-2.0]], dtype=torch.float64)
    moved = p.affine(offset, factor)
    torch.testing.assert_close(moved.mean, 1.0 - 2.0 * p.mean)
    torch.testing.assert_close(moved.variance, 4.0 * p.variance)
    torch.manual_seed(0)
    first = p.rsample(torch.Size([3]))
    torch.manual_seed(0)
    twice = p.affine(offset, -factor).rsample(torch.Size([3]))  # 3 samples pick some of the components
    torch.testing.assert_close(twice, 1.0 + 2.0 * first)


def test_matrices_are_made_of_the_components_that_samples_pick() -> None:
    """A joint matrix of many points is large, and few samples need few of them."""
    asked: list[list[int]] = []

    def matrices(components: Tensor) -> Tensor:
        asked.append(components.tolist())
        return torch.eye(3, dtype=torch.float64).expand(len(components), 1, 3, 3)

    loc, weights = torch.zeros(40, 3, 1).double(), torch.full((40, 1), 1 / 40).double()
    p = StudentTPosterior(DF, loc, torch.ones_like(loc), weights, shape_matrix=matrices)
    assert p.rsample(torch.Size([2])).shape == (2, 3, 1)
    assert len(asked) == 1
    assert len(asked[0]) <= 2


def test_many_outputs_fall_back_to_independent_samples() -> None:
    p = StudentTPosterior(DF, torch.zeros(1, 8000), torch.ones(1, 8000))
    assert isinstance(get_sampler(p, torch.Size([2]), seed=0), IIDNormalSampler)


def test_what_does_not_fit_is_refused() -> None:
    one = torch.ones(2, 1)
    with pytest.raises(ValueError, match="are positive"):
        StudentTPosterior(0.0, one, one)
    with pytest.raises(ValueError, match=r"equal shape b x q x m .* got \(2, 1\) and \(1, 1\)"):
        StudentTPosterior(3.0, one, torch.ones(1, 1))
    with pytest.raises(ValueError, match="need weights b x K x m"):
        StudentTPosterior(3.0, one.expand(4, 2, 1), one.expand(4, 2, 1), torch.ones(3, 1))
    with pytest.raises(UnsupportedError, match="need the shape_matrix"):
        StudentTPosterior(3.0, one, one).rsample()
    with pytest.raises(ValueError, match=r"base_samples of shape \(5, 4, 1\), got \(5, 2, 1\)"):
        StudentTPosterior(3.0, one, one).rsample_from_base_samples(torch.Size([5]), torch.zeros(5, 2, 1))
