"""Kappa by hand, and what it refuses."""

from __future__ import annotations

import math

import pytest

from lightning_gammabo.determinant.kappa import LOSS_FLOOR, Kappa, kappa, kappa_original

NAN = math.nan


@pytest.mark.parametrize(
    ("accuracy", "loss", "weight", "eq11", "eq12"),
    [
        (0.9, 1.0, 1.0, 0.9, 0.81),  # log 1 = 0
        (0.5, math.e, 1.0, -0.5, -0.75),
        (0.5, 1 / math.e, 0.5, 1.0, 2.25),  # 0.5 + 0.5; 0.25 + 1 / 0.5
        (1.0, math.e**2, 0.25, 0.5, -7.0),  # 1 - 0.25 * 2; 1 - 2 / 0.25
        (0.0, 0.5, 1.0, 0.6931471805599453, 0.6931471805599453),  # ln 2
        (0.98, 0.0631, 1.0, 3.743035, 3.723435),  # ln 0.0631 = -2.763035
    ],
)
def test_kappa_by_hand(accuracy: float, loss: float, weight: float, eq11: float, eq12: float) -> None:
    assert kappa_original(accuracy, loss, weight) == pytest.approx(eq11, abs=1e-6)
    assert kappa(accuracy, loss, weight) == pytest.approx(eq12, abs=1e-6)


@pytest.mark.parametrize("loss", [0.0, -0.5, 1e-30])
def test_a_loss_without_logarithm_counts_as_the_smallest(loss: float) -> None:
    assert kappa(0.5, loss) == 0.25 - math.log(LOSS_FLOOR) == pytest.approx(27.881021)
    assert kappa_original(0.5, loss, 0.5) == 0.5 - 0.5 * math.log(LOSS_FLOOR)


@pytest.mark.parametrize("weight", [0.0, -0.5, 1.5, NAN, True, "1"])
def test_a_lambda_outside_its_domain_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=r"Kappa\(lambda_=.*\): lambda of eqs. 11 and 12 lies in \(0, 1\]"):
        Kappa(weight)


def test_an_unknown_form_of_kappa_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Kappa\(form='cohen'\): choose 'kappa', 'kappa_original' or 'kappa_thesis'"):
        Kappa(form="cohen")  # type: ignore[arg-type]
