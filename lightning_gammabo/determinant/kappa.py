"""Kappa (thesis ch. 3.2, eqs. 11 and 12): validation accuracy and loss in one number.

It is neither Cohen's kappa nor that of an upper confidence bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["Kappa", "kappa", "kappa_original"]

LOSS_FLOOR = 1e-12
"""the logarithm of a loss of zero"""


def kappa(accuracy: float, loss: float, kappa_lambda: float = 1.0) -> float:
    """The improved kappa, ``Ma**2 - log(Ml) / lambda``, unclipped.

    Args:
        accuracy: ``Ma``, a fraction.
        loss: ``Ml``, above zero.
        kappa_lambda: ``lambda``.

    Returns:
        Kappa; greater is better.

    Source: thesis ch. 3.2, eq. 12.

    Example:
        >>> round(kappa(0.9, 0.5), 4)
        1.5031
    """
    return accuracy**2 - math.log(max(loss, LOSS_FLOOR)) / kappa_lambda


def kappa_original(accuracy: float, loss: float, kappa_lambda: float = 1.0) -> float:
    """The original kappa, ``Ma - lambda * log(Ml)``, unclipped.

    Args:
        accuracy: ``Ma``, a fraction.
        loss: ``Ml``, above zero.
        kappa_lambda: ``lambda``.

    Returns:
        Kappa; greater is better.

    Source: thesis ch. 3.2, eq. 11.

    Example:
        >>> round(kappa_original(0.9, 0.5), 4)
        1.5931
    """
    return accuracy - kappa_lambda * math.log(max(loss, LOSS_FLOOR))


@dataclass(frozen=True, slots=True)
class Kappa:
    """The thesis's objective with another weight of the loss.

    Args:
        lambda_: ``lambda`` of eqs. 11 and 12, in (0, 1]; the smaller, the more the loss counts in eq. 12, and the less
            in eq. 11.
        form: ``kappa`` (eq. 12), ``kappa_original`` (eq. 11), or ``kappa_thesis`` (eq. 12, clipped at 0).

    Raises:
        ValueError: if a value is out of its domain.

    Example:
        >>> Kappa(0.5).form
        'kappa'
    """

    lambda_: float = 1.0
    form: Literal["kappa", "kappa_original", "kappa_thesis"] = "kappa"

    def __post_init__(self) -> None:
        if (
            isinstance(self.lambda_, bool)
            or not isinstance(self.lambda_, (int, float))
            or not 0.0 < self.lambda_ <= 1.0
        ):
            raise ValueError(f"Kappa(lambda_={self.lambda_!r}): lambda of eqs. 11 and 12 lies in (0, 1]")
        if self.form not in ("kappa", "kappa_original", "kappa_thesis"):
            raise ValueError(f"Kappa(form={self.form!r}): choose 'kappa', 'kappa_original' or 'kappa_thesis'")
