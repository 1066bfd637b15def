"""The posterior of a weighted sum of Student-t outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from botorch.posteriors.posterior import Posterior
from torch import Tensor

if TYPE_CHECKING:
    from lightning_gammabo.bayesopt.posterior import StudentTPosterior

__all__ = ["ScalarizedStudentT"]


class ScalarizedStudentT(Posterior):
    """A weighted sum of independent Student-t outputs: known by its moments and its samples, no Student-t itself.

    Args:
        posterior: the posterior of ``m`` outputs.
        weights: ``m``.
        offset: a number.
    """

    def __init__(self, posterior: StudentTPosterior, weights: Tensor, offset: float = 0.0) -> None:
        self._posterior = posterior
        self._weights = weights
        self._offset = offset

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self._posterior.device

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the parameters and samples."""
        return self._posterior.dtype

    @property
    def batch_shape(self) -> torch.Size:
        """The t-batch shape ``b``."""
        return self._posterior.batch_shape

    @property
    def base_sample_shape(self) -> torch.Size:
        """Shape of the base samples: those of all ``m`` outputs."""
        return self._posterior.base_sample_shape

    @property
    def batch_range(self) -> tuple[int, int]:
        """The dimensions of the base samples that are t-batches."""
        return self._posterior.batch_range

    def _extended_shape(self, sample_shape: torch.Size = torch.Size()) -> torch.Size:  # noqa: B008 (BoTorch's own)
        return torch.Size(sample_shape) + self.batch_shape + torch.Size([self._posterior.event_shape[0], 1])

    @property
    def mean(self) -> Tensor:
        """Mean, ``b x q x 1``."""
        return self._offset + (self._posterior.mean * self._weights).sum(dim=-1, keepdim=True)

    @property
    def variance(self) -> Tensor:
        """Variance, ``b x q x 1``: the outputs are independent."""
        return (self._posterior.variance * self._weights.square()).sum(dim=-1, keepdim=True)

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """Samples with gradients, from torch's global generator.

        Args:
            sample_shape: shape of the samples; None for a single one.

        Returns:
            ``sample_shape x b x q x 1``.
        """
        return self._scalarize(self._posterior.rsample(sample_shape))

    def rsample_from_base_samples(self, sample_shape: torch.Size, base_samples: Tensor) -> Tensor:
        """Samples as a function of base samples.

        Args:
            sample_shape: shape of the samples.
            base_samples: standard normal, ``sample_shape x base_sample_shape``.

        Returns:
            ``sample_shape x b x q x 1``.
        """
        return self._scalarize(self._posterior.rsample_from_base_samples(sample_shape, base_samples))

    def _scalarize(self, samples: Tensor) -> Tensor:
        return self._offset + (samples * self._weights).sum(dim=-1, keepdim=True)
