"""Acquisitions under Student-t posteriors, after BoTorch's contract for analytic acquisitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.acquisition.objective import ScalarizedPosteriorTransform
from botorch.exceptions.errors import UnsupportedError
from botorch.models.gp_regression import SingleTaskGP
from botorch.optim.optimize import optimize_acqf
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.testing import MockModel
from scipy import stats
from torch import Tensor

from lightning_gammabo.bayesopt import (
    GammaPrecisionGP,
    LogStudentTExpectedImprovement,
    LogStudentTProbabilityOfImprovement,
    LogThesisExpectedImprovement,
    StudentTExpectedImprovement,
    StudentTPosterior,
    StudentTProbabilityOfImprovement,
)
from lightning_gammabo.bayesopt.acquisition import FantasyAverage
from tests.unit.bayesopt import reference

ALL = [
    LogStudentTExpectedImprovement,
    StudentTExpectedImprovement,
    LogStudentTProbabilityOfImprovement,
    StudentTProbabilityOfImprovement,
]


def believing(df: float, loc: Tensor, scale: Tensor, weights: Tensor | None = None) -> Any:
    """A model whose posterior is this one wherever it is asked."""
    return MockModel(StudentTPosterior(df, loc, scale, weights))


ONE = torch.ones(1, 1, 1, dtype=torch.float64)
X = torch.zeros(1, 1, 1, dtype=torch.float64)


def test_ei_is_the_students_and_not_the_gaussians() -> None:
    model = believing(3.0, -0.5 * ONE, ONE)
    assert StudentTExpectedImprovement(model, best_f=0.0)(X).item() == pytest.approx(0.34606, abs=1e-5)
    assert LogStudentTExpectedImprovement(model, best_f=0.0)(X).item() == pytest.approx(math.log(0.34606), abs=1e-5)
    assert LogExpectedImprovement(model, best_f=0.0)(X).exp().item() == pytest.approx(
        0.4696, abs=1e-4
    )  # what BoTorch says


@pytest.mark.parametrize("xi", [0.0, 0.3])
def test_a_mixture_is_the_sum_of_its_parts(xi: float) -> None:
    weights, locs, scales = [0.2, 0.5, 0.3], [0.1, -1.0, 2.0], [1.0, 0.2, 0.5]
    loc, scale = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (locs, scales))
    model = believing(4.0, loc, scale, torch.tensor(weights, dtype=torch.float64).view(3, 1))
    parts = list(zip(weights, locs, scales, strict=True))
    ei = sum(w * reference.expected_improvement(4.0, m, s, 0.7 + xi) for w, m, s in parts)
    pi = sum(w * stats.t(4.0, m, s).sf(0.7 + xi) for w, m, s in parts)
    assert StudentTExpectedImprovement(model, 0.7, xi=xi)(X).item() == pytest.approx(ei, rel=1e-9)
    assert LogStudentTExpectedImprovement(model, 0.7, xi=xi)(X).item() == pytest.approx(math.log(ei), rel=1e-9)
    assert StudentTProbabilityOfImprovement(model, 0.7, xi=xi)(X).item() == pytest.approx(pi, rel=1e-12)
    assert LogStudentTProbabilityOfImprovement(model, 0.7, xi=xi)(X).item() == pytest.approx(math.log(pi), rel=1e-12)


@pytest.mark.parametrize("kind", ALL)
def test_minimising_is_maximising_the_negative(kind: Any) -> None:
    down = kind(believing(4.0, 0.4 * ONE, ONE), 0.1, maximize=False)(X)
    torch.testing.assert_close(down, kind(believing(4.0, -0.4 * ONE, ONE), -0.1)(X))


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches(kind: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    train_X = torch.rand(6, 2, dtype=dtype)
    model = GammaPrecisionGP(train_X, train_X.sum(-1, keepdim=True).sin())
    acquisition = kind(model, best_f=0.5)
    for batch in ((), (4,), (2, 3)):
        points = torch.rand(*batch, 1, 2, dtype=dtype)
        value = acquisition(points)
        assert (value.shape, value.dtype) == (batch or (1,), dtype)
        assert torch.isfinite(value).all()
    with pytest.raises(AssertionError, match="q=1"):
        acquisition(torch.rand(3, 2, 2, dtype=dtype))
    bests = kind(model, best_f=torch.tensor([0.1, 0.5], dtype=dtype))(
        points[:, :1].expand(2, 1, 2) if points.ndim == 3 else torch.rand(2, 1, 2, dtype=dtype)
    )
    assert bests.shape == (2,)


@pytest.mark.parametrize("kind", ALL)
def test_batches_of_models(kind: Any) -> None:
    torch.manual_seed(0)
    train_X = torch.rand(3, 5, 2, dtype=torch.float64)
    model = GammaPrecisionGP(train_X, train_X.sum(-1, keepdim=True).sin())
    assert kind(model, best_f=0.5)(torch.rand(3, 1, 2, dtype=torch.float64)).shape == (3,)
    assert kind(model, best_f=0.5)(torch.rand(4, 1, 1, 2, dtype=torch.float64)).shape == (4, 3)


@pytest.mark.parametrize("kind", ALL)
def test_gradients(kind: Any) -> None:
    torch.manual_seed(0)
    train_X = torch.rand(5, 2, dtype=torch.float64)
    acquisition = kind(GammaPrecisionGP(train_X, train_X.sum(-1, keepdim=True).sin()), best_f=0.9)
    points = torch.rand(3, 1, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(acquisition, (points,), atol=1e-5)


def test_log_ei_has_gradients_where_ei_is_nothing() -> None:
    loc = torch.full((1, 1, 1), -1e9, dtype=torch.float64, requires_grad=True)
    value = LogStudentTExpectedImprovement(believing(60.0, loc, ONE), best_f=0.0)(X)
    value.backward()
    assert loc.grad is not None
    assert loc.grad.item() == pytest.approx(59e-9, rel=1e-6)  # h ~ |z|^(1 - df)


@pytest.mark.parametrize("kind", ALL)
def test_other_posteriors_are_refused(kind: Any) -> None:
    points = torch.rand(5, 1, dtype=torch.float64)
    model = SingleTaskGP(points, points.sin())
    with pytest.raises(TypeError, match="needs a StudentTPosterior, got GPyTorchPosterior"):
        kind(model, best_f=0.0)(X)


@pytest.mark.parametrize("kind", ALL)
def test_several_outputs_need_a_transform_that_stays_student_t(kind: Any) -> None:
    points = torch.rand(5, 1, dtype=torch.float64)
    model = GammaPrecisionGP(points, torch.cat([points, points.sin()], dim=-1))
    with pytest.raises(UnsupportedError, match="posterior transform"):
        kind(model, best_f=0.0)
    total = ScalarizedPosteriorTransform(torch.ones(2, dtype=torch.float64))
    with pytest.raises(UnsupportedError, match="weighted sum of 2 Student-t outputs is no Student-t"):
        kind(model, best_f=0.0, posterior_transform=total)(X)
    flipped = ScalarizedPosteriorTransform(-torch.ones(1, dtype=torch.float64))
    single = model.subset_output([0])
    torch.testing.assert_close(
        kind(single, best_f=-0.2, posterior_transform=flipped)(X), kind(single, best_f=0.2, maximize=False)(X)
    )


def test_optimising_finds_the_best_of_a_fine_grid() -> None:
    torch.manual_seed(0)
    points = torch.rand(6, 1, dtype=torch.float64)
    values = torch.sin(6.0 * points)
    acquisition = LogStudentTExpectedImprovement(GammaPrecisionGP(points, values), best_f=values.max())
    bounds = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    _, value = optimize_acqf(acquisition, bounds, q=1, num_restarts=4, raw_samples=64)
    with torch.no_grad():
        grid = acquisition(torch.linspace(0.0, 1.0, 1025, dtype=torch.float64).view(-1, 1, 1))
    assert value.item() == pytest.approx(grid.max().item(), abs=1e-3)
    assert np.isfinite(grid.numpy()).all()


def sine(n: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(n, 1, dtype=torch.float64, generator=generator)
    values = torch.sin(6.0 * points)
    return points, (values - values.mean()) / values.std()


def gaussian() -> SingleTaskGP:
    return SingleTaskGP(*sine(), outcome_transform=None)


@pytest.mark.parametrize("reading", ["L1", "L2", "L3"])
def test_the_thesis_estimate_is_its_three_equations(reading: Any) -> None:
    points, values = sine()
    model = gaussian()
    acquisition = LogThesisExpectedImprovement(model, 1.0, points, values, reading=reading)
    X = torch.linspace(0.0, 1.0, 7, dtype=torch.float64).view(-1, 1, 1)
    with torch.no_grad():
        mean, variance = acquisition.estimate(X)
        posterior = model.posterior(X.view(-1, 1))
        at_y = model.posterior(points).mean.squeeze(-1).numpy()
    m, v = posterior.mean.squeeze(-1).numpy(), posterior.variance.squeeze(-1).numpy()
    y = values.squeeze(-1).tolist()
    for i in range(7):
        want = reference.thesis_estimate(m[i], v[i], y, at_y.tolist(), 1.0, 1.0, reading)
        assert (mean[i].item(), variance[i].item()) == pytest.approx(want, rel=1e-7)


def test_the_thesis_acquisition_without_weight_of_the_observations_is_botorchs_ei() -> None:
    """A Gamma prior that says an infinite variance leaves mean and variance of the surrogate as they were."""
    points, values = sine()
    model = gaussian()
    ours = LogThesisExpectedImprovement(model, 0.4, points, values, xi=0.0, rate=1e14)
    X = torch.rand(6, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours(X), LogExpectedImprovement(model, best_f=0.4)(X), rtol=1e-6, atol=1e-6)


def test_minimising_the_thesis_acquisition_is_maximising_the_negative() -> None:
    points, values = sine()
    up = LogThesisExpectedImprovement(SingleTaskGP(points, values, outcome_transform=None), 0.3, points, values)
    down = LogThesisExpectedImprovement(
        SingleTaskGP(points, -values, outcome_transform=None), -0.3, points, -values, maximize=False
    )
    X = torch.linspace(0.0, 1.0, 5, dtype=torch.float64).view(-1, 1, 1)
    torch.testing.assert_close(up(X), down(X))


@pytest.mark.filterwarnings("ignore:The model inputs are of type torch.float32")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reading", ["L1", "L2", "L3"])
def test_the_thesis_acquisition_takes_batches_of_any_model(dtype: torch.dtype, reading: Any) -> None:
    points, values = (tensor.to(dtype) for tensor in sine())
    for model in (GammaPrecisionGP(points, values), SingleTaskGP(points, values)):
        acquisition = LogThesisExpectedImprovement(model, 0.5, points, values, reading=reading)
        for batch in ((), (4,), (2, 3)):
            value = acquisition(torch.rand(*batch, 1, 1, dtype=dtype))
            assert (value.shape, value.dtype) == (batch or (1,), dtype)
            assert torch.isfinite(value).all()
        with pytest.raises(AssertionError, match="q=1"):
            acquisition(torch.rand(3, 2, 1, dtype=dtype))


def test_the_thesis_acquisition_has_gradients_and_a_maximum() -> None:
    points, values = sine()
    acquisition = LogThesisExpectedImprovement(gaussian(), 1.0, points, values)
    X = torch.tensor([[[0.3]], [[0.7]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(acquisition, (X,), atol=1e-5)
    torch.manual_seed(0)
    bounds = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    _, value = optimize_acqf(acquisition, bounds, q=1, num_restarts=4, raw_samples=64)
    with torch.no_grad():
        grid = acquisition(torch.linspace(0.0, 1.0, 1025, dtype=torch.float64).view(-1, 1, 1))
    assert value.item() == pytest.approx(grid.max().item(), abs=1e-3)


def test_a_thesis_acquisition_that_does_not_fit_is_refused() -> None:
    points, values = sine()
    with pytest.raises(ValueError, match="'L1', 'L2' and 'L3'"):
        LogThesisExpectedImprovement(gaussian(), 0.0, points, values, reading="L4")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"n x 1, got \(5, 1\) and \(5,\)"):
        LogThesisExpectedImprovement(gaussian(), 0.0, points, values.squeeze(-1))


def test_the_thesis_variance_runs_towards_zero_but_never_reaches_it() -> None:
    model = believing(math.inf, torch.zeros(1, 1, 1).double(), ONE)
    widths = []
    for n in (2, 20, 200):
        points, values = torch.zeros(n, 1).double(), torch.zeros(n, 1).double()
        widths.append(LogThesisExpectedImprovement(model, 0.0, points, values, rate=1e-30).estimate(X)[1].item())
    assert all(width >= 1e-12 for width in widths)


@pytest.mark.parametrize("log", [True, False])
def test_the_average_over_fantasies_is_that_of_their_values(log: bool) -> None:
    points, values = sine()
    model = GammaPrecisionGP(points, values, outcome_transform=None)
    fantasies = model.fantasize(torch.tensor([[0.9]]).double(), SobolQMCNormalSampler(torch.Size([8]), seed=0))
    best = torch.linspace(0.5, 1.5, 8).double()
    kind = LogStudentTExpectedImprovement if log else StudentTExpectedImprovement
    X = torch.rand(5, 1, 1, dtype=torch.float64)
    with torch.no_grad():
        got = FantasyAverage(kind(fantasies, best), log)(X)
        one_by_one = [
            kind(model.condition_on_observations(torch.tensor([[0.9]]).double(), fantasies.transformed_Y[i, -1:]), b)(X)
            for i, b in enumerate(best)
        ]
    assert got.shape == (5,)
    stacked = torch.stack(one_by_one)
    want = stacked.exp().mean(dim=0).log() if log else stacked.mean(dim=0)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
