"""The thesis's own acquisition for BoTorch models: against the arithmetic on arrays, and BoTorch's contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.models.gp_regression import SingleTaskGP
from botorch.optim.optimize import optimize_acqf
from torch import Tensor

from lightning_gammabo.bayesopt import GammaPrecisionGP, LogThesisExpectedImprovement
from lightning_gammabo.bayesopt.precision import thesis_estimate


def data(n: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(n, 1, dtype=torch.float64, generator=generator)
    values = torch.sin(6.0 * points)
    return points, (values - values.mean()) / values.std()


def gaussian() -> SingleTaskGP:
    return SingleTaskGP(*data(), outcome_transform=None)


@pytest.mark.parametrize("reading", ["L1", "L2", "L3"])
def test_the_estimate_is_that_of_the_arrays(reading: Any) -> None:
    points, values = data()
    model = gaussian()
    acquisition = LogThesisExpectedImprovement(model, 1.0, points, values, reading=reading)
    X = torch.linspace(0.0, 1.0, 7, dtype=torch.float64).view(-1, 1, 1)
    with torch.no_grad():
        mean, variance = acquisition.estimate(X)
        posterior = model.posterior(X.view(-1, 1))
        at_y = model.posterior(points).mean.squeeze(-1).numpy()
    m, v = posterior.mean.squeeze(-1).numpy(), posterior.variance.squeeze(-1).numpy()
    expected = thesis_estimate(m, v, values.squeeze(-1).numpy(), mean_at_y=at_y, reading=reading)
    np.testing.assert_allclose(mean.numpy(), expected[0], rtol=1e-7)
    np.testing.assert_allclose(variance.numpy(), expected[1], rtol=1e-7)


def test_without_weight_of_the_observations_it_is_botorchs_ei() -> None:
    """A Gamma prior that says an infinite variance leaves mean and variance of the surrogate as they were."""
    points, values = data()
    model = gaussian()
    ours = LogThesisExpectedImprovement(model, 0.4, points, values, xi=0.0, rate=1e14)
    X = torch.rand(6, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours(X), LogExpectedImprovement(model, best_f=0.4)(X), rtol=1e-6, atol=1e-6)


def test_minimising_is_maximising_the_negative() -> None:
    points, values = data()
    up = LogThesisExpectedImprovement(SingleTaskGP(points, values, outcome_transform=None), 0.3, points, values)
    down = LogThesisExpectedImprovement(
        SingleTaskGP(points, -values, outcome_transform=None), -0.3, points, -values, maximize=False
    )
    X = torch.linspace(0.0, 1.0, 5, dtype=torch.float64).view(-1, 1, 1)
    torch.testing.assert_close(up(X), down(X))


@pytest.mark.filterwarnings("ignore:The model inputs are of type torch.float32")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reading", ["L1", "L2", "L3"])
def test_batches_of_any_model(dtype: torch.dtype, reading: Any) -> None:
    points, values = (tensor.to(dtype) for tensor in data())
    for model in (GammaPrecisionGP(points, values), SingleTaskGP(points, values)):
        acquisition = LogThesisExpectedImprovement(model, 0.5, points, values, reading=reading)
        for batch in ((), (4,), (2, 3)):
            value = acquisition(torch.rand(*batch, 1, 1, dtype=dtype))
            assert (value.shape, value.dtype) == (batch or (1,), dtype)
            assert torch.isfinite(value).all()
        with pytest.raises(AssertionError, match="q=1"):
            acquisition(torch.rand(3, 2, 1, dtype=dtype))


def test_gradients_and_optimisation() -> None:
    points, values = data()
    acquisition = LogThesisExpectedImprovement(gaussian(), 1.0, points, values)
    X = torch.tensor([[[0.3]], [[0.7]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(acquisition, (X,), atol=1e-5)
    torch.manual_seed(0)
    bounds = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    _, value = optimize_acqf(acquisition, bounds, q=1, num_restarts=4, raw_samples=64)
    with torch.no_grad():
        grid = acquisition(torch.linspace(0.0, 1.0, 1025, dtype=torch.float64).view(-1, 1, 1))
    assert value.item() == pytest.approx(grid.max().item(), abs=1e-3)


def test_what_does_not_fit_is_refused() -> None:
    points, values = data()
    with pytest.raises(ValueError, match="'L1', 'L2' and 'L3'"):
        LogThesisExpectedImprovement(gaussian(), 0.0, points, values, reading="L4")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"n x 1, got \(5, 1\) and \(5,\)"):
        LogThesisExpectedImprovement(gaussian(), 0.0, points, values.squeeze(-1))
