"""A BoTorch posterior with Student-t outputs, and its sampler.

| symbol | meaning | shape |
| --- | --- | --- |
| ``b`` | t-batch | any |
| ``q``, ``m`` | points considered jointly, outputs | |
| ``K`` | components of the mixture (hyperparameter nodes) | 1 without averaging |
| ``w`` | weights of the components | ``b x K x m`` |
| ``loc``, ``scale`` | of the components' marginals | ``b x K x q x m`` |
| ``shape`` | shape matrix of the components' joint Student-t | ``b x K x m x q x q`` |

Outputs are independent of one another. Within one output, the ``q`` points share one precision and one component: that
is what makes them jointly Student-t, and what one chi-square and one uniform variable more in the base samples are for.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from botorch.exceptions.errors import UnsupportedError
from botorch.posteriors.posterior import Posterior
from botorch.sampling.get_sampler import GetSampler
from botorch.sampling.normal import IIDNormalSampler, NormalMCSampler, SobolQMCNormalSampler
from torch import Tensor
from torch.quasirandom import SobolEngine

from lightning_gammabo.bayesopt import student_t
from lightning_gammabo.bayesopt.cholesky import cholesky
from lightning_gammabo.bayesopt.sampling import collapsed, components_of, loc_and_white

__all__ = ["StudentTPosterior"]

_EXTRA = 2
"""base samples beside the ``q`` normal ones: one gives the chi-square of the precision, one picks the component"""
_BISECTIONS = 80


class StudentTPosterior(Posterior):
    """Student-t marginals, jointly Student-t over the ``q`` points; a mixture of such where ``weights`` are given.

    Args:
        df: degrees of freedom, the same everywhere; > 0.
        loc: ``b x q x m``, or ``b x K x q x m`` with weights.
        scale: scale of each marginal (not its standard deviation), shape of ``loc``.
        weights: ``b x K x m``, summing to 1 over K; ``b`` may be broadcast. None for a single component.
        shape_matrix: joint shape matrices ``b x m x q x q`` (``b x K x m x q x q`` with weights) whose diagonal is
            ``scale**2``; or a function that makes those of the components whose indices it is given, for the ones that
            samples pick. May be left out for ``q = 1``.

    Raises:
        ValueError: if the shapes do not fit or ``df`` is not positive.

    Example:
        >>> import torch
        >>> one = torch.ones(1, 1)
        >>> posterior = StudentTPosterior(df=3.0, loc=-0.5 * one, scale=one)
        >>> posterior.mean.item(), posterior.variance.item()
        (-0.5, 3.0)
    """

    def __init__(
        self,
        df: float,
        loc: Tensor,
        scale: Tensor,
        weights: Tensor | None = None,
        *,
        shape_matrix: Tensor | Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if not df > 0.0:
            raise ValueError(f"StudentTPosterior(df={df!r}): degrees of freedom are positive")
        if loc.ndim < 2 + (weights is not None) or loc.shape != scale.shape:
            raise ValueError(
                "need loc and scale of equal shape b x q x m (b x K x q x m with weights), "
                f"got {tuple(loc.shape)} and {tuple(scale.shape)}"
            )
        if weights is None:
            loc, scale = loc.unsqueeze(-3), scale.unsqueeze(-3)
            weights = torch.ones(1, loc.shape[-1], dtype=loc.dtype, device=loc.device)
            if isinstance(shape_matrix, Tensor):
                shape_matrix = shape_matrix.unsqueeze(-4)
        if weights.ndim < 2 or weights.shape[-2:] != (loc.shape[-3], loc.shape[-1]):
            raise ValueError(
                f"need weights b x K x m for loc b x K x q x m, got {tuple(weights.shape)} and {tuple(loc.shape)}"
            )
        self.df = float(df)
        self.component_loc = loc
        self.component_scale = scale
        self.weights = weights
        self._shape_matrix = shape_matrix

    # ------------------------------------------------------------------ shapes

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.component_loc.device

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the parameters and samples."""
        return self.component_loc.dtype

    @property
    def batch_shape(self) -> torch.Size:
        """The t-batch shape ``b``."""
        return self.component_loc.shape[:-3]

    @property
    def event_shape(self) -> torch.Size:
        """``q x m``."""
        return self.component_loc.shape[-2:]

    @property
    def num_components(self) -> int:
        """``K``."""
        return self.component_loc.shape[-3]

    @property
    def base_sample_shape(self) -> torch.Size:
        """``b x (q + 2) x m`` standard normal variables: ``q`` for the points, two for the precision and component."""
        q, m = self.event_shape
        return self.batch_shape + torch.Size([q + _EXTRA, m])

    @property
    def batch_range(self) -> tuple[int, int]:
        """The dimensions of the base samples that are t-batches."""
        return (0, -2)

    def _extended_shape(self, sample_shape: torch.Size = torch.Size()) -> torch.Size:  # noqa: B008 (BoTorch's own)
        return torch.Size(sample_shape) + self.batch_shape + self.event_shape

    # ------------------------------------------------------------------ moments and marginals

    @property
    def loc(self) -> Tensor:
        """Location of the marginals, ``b x q x m``; of a mixture, the weighted mean of the locations."""
        return self._average(self.component_loc)

    @property
    def scale(self) -> Tensor:
        """Scale of the marginals, ``b x q x m``; of a mixture, of the Student-t of equal df that has its variance.

        With ``df <= 2`` there is no variance to match, and it is the root mean square of the components' scales.
        """
        if self.num_components == 1:
            return self.component_scale.squeeze(-3)
        square = self._average(self.component_scale.square())
        if self.df > 2.0:
            square = square + self._between() / _inflation(self.df)
        return square.sqrt()

    @property
    def mean(self) -> Tensor:
        """Mean, ``b x q x m``; NaN for ``df <= 1``, where there is none."""
        return self.loc if self.df > 1.0 else torch.full_like(self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        """Variance, ``b x q x m``: ``scale^2 df / (df - 2)``; infinite for ``1 < df <= 2``, NaN for ``df <= 1``."""
        if self.df <= 2.0:
            return torch.full_like(self.loc, math.inf if self.df > 1.0 else math.nan)
        return self._average(self.component_scale.square()) * _inflation(self.df) + self._between()

    def _average(self, values: Tensor) -> Tensor:
        return (self.weights.unsqueeze(-2) * values).sum(dim=-3)

    def _between(self) -> Tensor:
        return self._average((self.component_loc - self.loc.unsqueeze(-3)).square())

    def quantile(self, value: Tensor) -> Tensor:
        """Quantiles of the marginals, by bisection between the components' quantiles; no gradient.

        Args:
            value: probabilities between 0 and 1: one, or a vector of ``r``.

        Returns:
            ``b x q x m`` for one probability, ``r x b x q x m`` for a vector.
        """
        if value.ndim > 0 and value.numel() > 1:
            return torch.stack([self.quantile(v) for v in value.reshape(-1)], dim=0)
        p = float(value)
        with torch.no_grad():
            ends = self.component_loc + student_t.quantile(p, self.df) * self.component_scale
            low, high = ends.amin(dim=-3), ends.amax(dim=-3)
            for _ in range(_BISECTIONS if self.num_components > 1 else 0):
                middle = 0.5 * (low + high)
                below = self.cdf(middle) < p
                low, high = torch.where(below, middle, low), torch.where(below, high, middle)
            return 0.5 * (low + high)

    def cdf(self, value: Tensor) -> Tensor:
        """Distribution function of the marginals; no gradient.

        Args:
            value: where, broadcastable to ``b x q x m``.

        Returns:
            ``b x q x m``.
        """
        return self._average(student_t.cdf(self._standardise(value), self.df))

    def log_density(self, value: Tensor) -> Tensor:
        """Log density of the marginals.

        Args:
            value: where, broadcastable to ``b x q x m``.

        Returns:
            ``b x q x m``.
        """
        terms = student_t.log_pdf(self._standardise(value), self.df) - self.component_scale.log()
        return torch.logsumexp(terms + self.weights.log().unsqueeze(-2), dim=-3)

    def density(self, value: Tensor) -> Tensor:
        """Density of the marginals.

        Args:
            value: where: one number, or a vector of ``r``.

        Returns:
            ``b x q x m`` for one number, ``r x b x q x m`` for a vector.
        """
        if value.ndim > 0 and value.numel() > 1:
            return torch.stack([self.density(v) for v in value.reshape(-1)], dim=0)
        return self.log_density(value.reshape(())).exp()

    def _standardise(self, value: Tensor) -> Tensor:
        value = value.expand(self.batch_shape + self.event_shape)
        return (value.unsqueeze(-3) - self.component_loc) / self.component_scale

    # ------------------------------------------------------------------ samples

    def _roots(self, components: Tensor) -> Tensor:
        # lower Cholesky factors of some components, b x k x m x q x q
        if self.event_shape[0] == 1:
            return self.component_scale.index_select(-3, components).transpose(-1, -2).unsqueeze(-1)
        if self._shape_matrix is None:
            raise UnsupportedError("joint samples of q > 1 points need the shape_matrix; it was left out")
        return cholesky(self._shape_matrices(components).double()).to(self.dtype)

    def _shape_matrices(self, components: Tensor) -> Tensor:
        matrix = self._shape_matrix
        assert matrix is not None
        return matrix.index_select(-4, components) if isinstance(matrix, Tensor) else matrix(components)

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """Samples with gradients, from torch's global generator as in every BoTorch posterior.

        Args:
            sample_shape: shape of the samples; None for a single one.

        Returns:
            ``sample_shape x b x q x m``.
        """
        sample_shape = torch.Size() if sample_shape is None else torch.Size(sample_shape)
        base = torch.randn(sample_shape + self.base_sample_shape, dtype=self.dtype, device=self.device)
        return self.rsample_from_base_samples(sample_shape, base)

    def rsample_from_base_samples(self, sample_shape: torch.Size, base_samples: Tensor) -> Tensor:
        """Samples as a function of base samples: ``loc + root z / sqrt(chi2 / df)`` of the component that was picked.

        Args:
            sample_shape: shape of the samples.
            base_samples: standard normal, ``sample_shape x b x (q + 2) x m``.

        Returns:
            ``sample_shape x b x q x m``, differentiable in the parameters. (Not in the weights: the pick is a step
            function of them; they depend on the data alone, not on the points asked about.)

        Raises:
            ValueError: if the base samples have another shape.
        """
        sample_shape = torch.Size(sample_shape)
        expected = sample_shape + self.base_sample_shape
        if base_samples.shape != expected:
            raise ValueError(f"need base_samples of shape {tuple(expected)}, got {tuple(base_samples.shape)}")
        q = self.event_shape[0]
        base = base_samples.reshape(sample_shape.numel(), *self.base_sample_shape)
        radius = student_t.inverse_root_chi2(collapsed(base[..., q : q + 1, :], self.batch_shape), self.df)
        index = components_of(collapsed(base[..., q + 1, :], self.batch_shape), self.weights)
        # a q x q factor is made for the components that are picked, and no others
        picked, index = index.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        loc = self.component_loc.index_select(-3, picked)
        loc, white = loc_and_white(index, base[..., :q, :], loc, self._roots(picked))
        return (loc + radius * white).reshape(self._extended_shape(sample_shape))

    # ------------------------------------------------------------------ transforms

    def affine(self, offset: Tensor, factor: Tensor) -> StudentTPosterior:
        """The posterior of ``offset + factor * f``, exactly.

        Args:
            offset: broadcastable to ``b x 1 x m``.
            factor: broadcastable to ``b x 1 x m``.

        Returns:
            A Student-t posterior of the same df and weights.
        """
        offset, factor = offset.unsqueeze(-3), factor.unsqueeze(-3)
        square = factor.square().transpose(-1, -2).unsqueeze(-1)  # b x 1 x m x 1 x 1

        def scaled(components: Tensor) -> Tensor:
            return self._shape_matrices(components) * square

        return StudentTPosterior(
            self.df,
            offset + factor * self.component_loc,
            factor.abs() * self.component_scale,
            self.weights,
            shape_matrix=None if self._shape_matrix is None else scaled,
        )


def _inflation(df: float) -> float:
    return 1.0 if math.isinf(df) else df / (df - 2.0)


def _get_sampler_student_t(
    posterior: Posterior, sample_shape: torch.Size, *, seed: int | None = None
) -> NormalMCSampler:
    # base samples are standard normal: BoTorch's own samplers fit; Sobol' while it has the dimensions
    needed = posterior.base_sample_shape[-2:].numel()
    kind = SobolQMCNormalSampler if needed <= SobolEngine.MAXDIM else IIDNormalSampler
    return kind(sample_shape=sample_shape, seed=seed)


GetSampler.register(StudentTPosterior)(_get_sampler_student_t)
