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
from botorch.utils.testing import MockModel
from scipy import stats
from torch import Tensor

from lightning_gammabo.bayesopt import (
    GammaPrecisionGP,
    LogStudentTExpectedImprovement,
    StudentTExpectedImprovement,
    StudentTPosterior,
    StudentTProbabilityOfImprovement,
)
from tests.bayesopt import reference

ALL = [LogStudentTExpectedImprovement, StudentTExpectedImprovement, StudentTProbabilityOfImprovement]


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
    with pytest.raises(TypeError, match="got ScalarizedStudentT"):
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
