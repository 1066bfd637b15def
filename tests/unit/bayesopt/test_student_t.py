"""The Student-t helpers against many digits, quadrature and finite differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from lightning_gammabo.bayesopt import student_t
from tests.unit.bayesopt import reference


def at(function: Any, z: Any, df: float) -> np.ndarray:
    """A function of tensors on arrays."""
    return np.asarray(function(torch.as_tensor(np.asarray(z, dtype=float)), df).numpy())


def h(z: Any, df: float) -> np.ndarray:
    return np.exp(at(student_t.log_h, z, df))


PLACES = np.array(
    [-1e8, -1e4, -300.0, -111.0, -40.0, -15.0, -7.0, -4.0, -2.5, -2.0001, -1.9, -0.5, 0.0, 1.0, 3.0, 40.0]
)


@pytest.mark.parametrize("df", [1.5, 3.0, 4.0, 7.5, 13.0, 60.0, 263.0, 5000.0])
def test_logs_have_all_their_digits_far_in_the_tails(df: float) -> None:
    log_h, log_cdf = at(student_t.log_h, PLACES, df), at(student_t.log_cdf, PLACES, df)
    for z, got_h, got_cdf in zip(PLACES, log_h, log_cdf, strict=True):
        want_h, want_cdf = reference.log_h_and_log_cdf(float(z), df)
        # the loss of digits by cancellation grows with df, z^2 / df staying moderate: 2e-12 at 5000, 1e-15 below 60
        assert got_h == pytest.approx(want_h, rel=1e-15 * max(8.0, df), abs=1e-15)
        assert got_cdf == pytest.approx(want_cdf, rel=1e-15 * max(8.0, df), abs=1e-15)


@pytest.mark.parametrize("z", [-61.0, -59.0, -30.0, -8.0, -1.0001, -0.9999, 0.0, 5.0])
def test_gaussian_limit(z: float) -> None:
    want = reference.gaussian_log_h(z)
    assert float(at(student_t.log_h, z, math.inf)) == pytest.approx(want, rel=1e-11, abs=1e-14)
    # the tails differ by about z^4 / (4 df) in the log: 0.35 of 1870 at z = -61
    assert float(at(student_t.log_h, z, 1e7)) == pytest.approx(want, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(
    ("df", "loc", "scale", "best"), [(3.0, -0.5, 1.0, 0.0), (2.1, 1.0, 0.3, 2.0), (9.0, 0.0, 2.0, -1.0)]
)
def test_ei_is_the_integral(df: float, loc: float, scale: float, best: float) -> None:
    got = scale * float(h((loc - best) / scale, df))
    assert got == pytest.approx(reference.expected_improvement(df, loc, scale, best), rel=1e-9)


def test_ei_is_not_the_gaussians() -> None:
    assert float(h(-0.5, 3.0)) == pytest.approx(0.34606, abs=1e-5)  # by hand; the Gaussian gives 0.19780


@pytest.mark.parametrize("df", [1.2, 3.0, 50.0, math.inf])
def test_derivative_of_h_is_the_distribution_function(df: float) -> None:
    z, step = np.linspace(-6.0, 6.0, 49), 1e-5
    slope = (h(z + step, df) - h(z - step, df)) / (2 * step)
    np.testing.assert_allclose(slope, at(student_t.cdf, z, df), atol=1e-9)  # central differences: step^2 and eps / step


@pytest.mark.parametrize("df", [0.7, 1.5, 4.0, 1e9])
def test_density_and_distribution_are_scipys(df: float) -> None:
    z = np.linspace(-30.0, 30.0, 61)
    law = stats.norm if df > 1e8 else stats.t(df)
    np.testing.assert_allclose(at(student_t.log_pdf, z, df), law.logpdf(z), rtol=1e-12)
    np.testing.assert_allclose(at(student_t.cdf, z, df), law.cdf(z), rtol=1e-12)


@pytest.mark.parametrize("df", [1.1, 4.0, 300.0, math.inf])
@pytest.mark.parametrize("z", [-1e300, -1e160, -1e150, 1e150, 1e300])
def test_nothing_overflows(z: float, df: float) -> None:
    with np.errstate(all="raise", under="ignore"):
        assert not np.isnan(at(student_t.log_h, z, df))
        assert not np.isnan(at(student_t.log_cdf, z, df))
        assert not np.isnan(at(student_t.log_pdf, z, df))


@pytest.mark.parametrize(("df", "within"), [(4.0, 1e-8), (15.0, 5e-8), (60.0, 2e-7), (263.0, 1e-6), (1e9, 1e-14)])
def test_many_values_at_once_are_those_of_few(df: float, within: float) -> None:
    """More than 4,096 come from a table, but for the Gaussian."""
    z = np.concatenate([np.random.default_rng(0).normal(size=5000) * 10.0, [-1e9, -1e4, 0.0, 1e4, 1e9]])
    apart = np.concatenate([at(student_t.log_h, part, df) for part in np.array_split(z, 5)])
    np.testing.assert_allclose(at(student_t.log_h, z, df), apart, rtol=within, atol=within)


@pytest.mark.parametrize("df", [3.0, 40.0, math.inf])
@pytest.mark.parametrize("function", [student_t.log_h, student_t.log_cdf])
def test_logs_have_derivatives_of_first_and_second_order(function: Any, df: float) -> None:
    z = torch.tensor([-30.0, -3.0, -1.0, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: function(x, df), (z,))
    assert torch.autograd.gradgradcheck(lambda x: function(x, df), (z,))


def test_chi_square_quantiles_do_not_leave_the_positive_numbers() -> None:
    normal = torch.tensor([-38.0, -8.0, 0.0, 8.0, 38.0], dtype=torch.float64)
    radius = student_t.inverse_root_chi2(normal, 3.0)
    assert torch.isfinite(radius).all()
    assert (radius > 0.0).all()
    want = math.sqrt(3.0 / stats.chi2(3.0).ppf(stats.norm.cdf(-1.2)))
    one = student_t.inverse_root_chi2(torch.tensor([-1.2], dtype=torch.float64), 3.0)
    assert one.item() == pytest.approx(want, rel=1e-6)
    assert torch.equal(student_t.inverse_root_chi2(normal, math.inf), torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize("p", [0.01, 0.5, 0.9])
def test_quantiles_are_scipys(p: float) -> None:
    assert student_t.quantile(p, 3.5) == pytest.approx(stats.t(3.5).ppf(p))
    assert student_t.quantile(p, math.inf) == pytest.approx(stats.norm.ppf(p))


@pytest.mark.parametrize("df", [1.0, 0.5, math.nan])
def test_without_a_mean_there_is_no_improvement_to_expect(df: float) -> None:
    with pytest.raises(ValueError, match="more than one degree of freedom"):
        at(student_t.log_h, 0.0, df)
