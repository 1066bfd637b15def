"""The factorisation of joint covariances, singular ones too."""

from __future__ import annotations

import math

import pytest
import torch

from lightning_gammabo.bayesopt.cholesky import cholesky


def test_cholesky_takes_repeated_points_and_refuses_what_is_none() -> None:
    repeated = torch.ones(2, 3, 3, dtype=torch.float64)
    repeated[1] = torch.eye(3)
    root = cholesky(repeated)
    torch.testing.assert_close(root @ root.transpose(-1, -2), repeated, atol=1e-6, rtol=0.0)
    torch.testing.assert_close(root[1], torch.eye(3, dtype=torch.float64))
    with pytest.raises(ValueError, match="not positive semi-definite"):
        cholesky(-torch.eye(2))
    with pytest.raises(ValueError, match="it holds NaN"):
        cholesky(torch.full((2, 2), math.nan))
