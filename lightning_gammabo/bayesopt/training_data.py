"""The training data of a BoTorch model: checked when it is made, joined when it is conditioned on more."""

from __future__ import annotations

import torch
from botorch.exceptions.errors import BotorchTensorDimensionError, InputDataError
from torch import Tensor

__all__ = ["appended", "broadcast", "validate"]


def validate(X: Tensor, Y: Tensor) -> None:
    """Refuse inputs and outcomes that do not fit.

    Args:
        X: inputs, to be ``b x n x d``.
        Y: outcomes, to be ``b x n x m``.

    Raises:
        BotorchTensorDimensionError: if the shapes do not fit, or there is no observation.
        InputDataError: if the data types differ or a value is not finite.
    """
    if X.ndim < 2 or X.ndim != Y.ndim or X.shape[:-1] != Y.shape[:-1] or X.shape[-2] == 0:
        raise BotorchTensorDimensionError(
            "GammaPrecisionGP needs train_X b x n x d and train_Y b x n x m with an explicit output dimension and "
            f"n >= 1, got {tuple(X.shape)} and {tuple(Y.shape)}"
        )
    if X.dtype != Y.dtype:
        raise InputDataError(f"train_X and train_Y need one data type, got {X.dtype} and {Y.dtype}")
    if not (bool(X.isfinite().all()) and bool(Y.isfinite().all())):
        raise InputDataError("train_X or train_Y holds a value that is not finite; leave such observations out")


def broadcast(*shapes: torch.Size) -> torch.Size:
    """The shape that batches of several shapes have together.

    Args:
        *shapes: batch shapes.

    Returns:
        Their common shape.
    """
    return torch.Size(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


def appended(old: Tensor, new: Tensor) -> Tensor:
    """Observations and more of them, whose batches broadcast.

    Args:
        old: ``b x n x d``.
        new: ``b' x n' x d``.

    Returns:
        ``b'' x (n + n') x d``.
    """
    batch = broadcast(old.shape[:-2], new.shape[:-2])
    return torch.cat([old.expand(*batch, *old.shape[-2:]), new.to(old).expand(*batch, *new.shape[-2:])], dim=-2)
