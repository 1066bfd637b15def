"""A Cholesky factorisation that adds no more to the diagonal than it must."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cholesky"]

_JITTERS = (1e-12, 1e-10, 1e-8, 1e-6, 1e-4)
"""as shares of the largest diagonal element"""


def cholesky(matrix: Tensor) -> Tensor:
    """Lower Cholesky factors; a matrix that is singular to rounding gets the least jitter that helps.

    Repeated points make a joint covariance exactly singular. That is not the caller's fault: no warning is given.

    Args:
        matrix: symmetric positive semi-definite, ``... x q x q``.

    Returns:
        ``... x q x q``.

    Raises:
        ValueError: if a matrix holds NaN, or is not positive semi-definite by more than rounding explains.

    Example:
        >>> cholesky(torch.ones(2, 2, dtype=torch.float64)).round(decimals=3).tolist()
        [[1.0, 0.0], [1.0, 0.0]]
    """
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if not bool(failed.any()):
        return factor
    unit = matrix.detach().diagonal(dim1=-2, dim2=-1).abs().amax(dim=-1, keepdim=True) + 1e-300
    for jitter in _JITTERS:
        added = jitter * unit * (failed > 0).unsqueeze(-1)
        factor, still = torch.linalg.cholesky_ex(matrix + torch.diag_embed(added.expand(matrix.shape[:-1])))
        if not bool(still.any()):
            return factor
        failed = failed + still
    state = "it holds NaN" if bool(matrix.isnan().any()) else f"even with {_JITTERS[-1]:g} of its diagonal added"
    raise ValueError(f"a {matrix.shape[-1]} x {matrix.shape[-1]} shape matrix is not positive semi-definite: {state}")
