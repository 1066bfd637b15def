"""BoTorch acquisitions for Student-t posteriors, and the thesis's own.

BoTorch's analytic acquisitions read only the mean and the variance of a posterior and then apply the Gaussian's
formula: for df 3, loc -0.5, scale 1, best 0 they give 0.4696 where 0.3461 is true. The ones here take the marginal as
it is, and refuse other posteriors. The thesis's acquisition re-estimates the mean and the variance of any posterior by
eqs. 13-15 and then applies the Gaussian's formula.
"""

from __future__ import annotations

import math

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.analytic import AnalyticAcquisitionFunction
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import Model
from botorch.posteriors.posterior import Posterior
from botorch.utils.transforms import t_batch_mode_transform
from torch import Tensor

from lightning_gammabo.bayesopt import student_t
from lightning_gammabo.bayesopt.posterior import StudentTPosterior
from lightning_gammabo.bayesopt.precision import ThesisReading, mean_posterior, precision_posterior

__all__ = [
    "FantasyAverage",
    "LogStudentTExpectedImprovement",
    "LogStudentTProbabilityOfImprovement",
    "LogThesisExpectedImprovement",
    "StudentTExpectedImprovement",
    "StudentTProbabilityOfImprovement",
]


class _StudentTAcquisition(AnalyticAcquisitionFunction):
    # what they share: best_f, xi, and the standardised improvement of each component

    best_f: Tensor

    def __init__(
        self,
        model: Model,
        best_f: float | Tensor,
        *,
        xi: float = 0.0,
        posterior_transform: PosteriorTransform | None = None,
        maximize: bool = True,
    ) -> None:
        super().__init__(model=model, posterior_transform=posterior_transform)
        # a number is kept in double: torch would round it to single precision
        best = best_f if isinstance(best_f, Tensor) else torch.tensor(best_f, dtype=torch.float64)
        self.register_buffer("best_f", best)
        self.xi = xi
        self.maximize = maximize

    def _improvement(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
        # z, scale and log weights, each b x K, and df
        self.to(X)
        posterior = self.model.posterior(X, posterior_transform=self.posterior_transform)
        if not isinstance(posterior, StudentTPosterior):
            raise TypeError(
                f"{type(self).__name__} needs a StudentTPosterior, got {type(posterior).__name__}: its formula holds "
                "for Student-t marginals only; use an acquisition made for that posterior"
            )
        loc, scale = (values.squeeze(-1).squeeze(-1) for values in (posterior.component_loc, posterior.component_scale))
        gain = (loc - self.best_f.unsqueeze(-1)) * (1.0 if self.maximize else -1.0)
        # a node that weighs nothing has no gradient either
        log_weights = posterior.weights.squeeze(-1).clamp_min(torch.finfo(loc.dtype).tiny).log()
        return (gain - self.xi) / scale, scale, log_weights, posterior.df

    def _log_value(self, X: Tensor) -> Tensor:
        raise NotImplementedError

    @t_batch_mode_transform(expected_q=1)  # type: ignore[arg-type]
    def forward(self, X: Tensor) -> Tensor:
        """Evaluate.

        Args:
            X: ``b x 1 x d``.

        Returns:
            ``b``.
        """
        value = self._log_value(X)
        return value if self._log else value.exp()


class _ExpectedImprovement(_StudentTAcquisition):
    def _log_value(self, X: Tensor) -> Tensor:
        z, scale, log_weights, df = self._improvement(X)
        return torch.logsumexp(student_t.log_h(z, df) + scale.log() + log_weights, dim=-1)


class _ProbabilityOfImprovement(_StudentTAcquisition):
    def _log_value(self, X: Tensor) -> Tensor:
        z, _, log_weights, df = self._improvement(X)
        return torch.logsumexp(student_t.log_cdf(z, df) + log_weights, dim=-1)


class LogStudentTExpectedImprovement(_ExpectedImprovement):
    """``ln E[max(f - best_f - xi, 0)]`` under a (mixture of) Student-t marginal(s), q = 1.

    ``ln sum_k w_k s_k h(z_k)`` with ``z_k = (loc_k - best_f - xi) / s_k``: see
    :mod:`lightning_gammabo.bayesopt.student_t` for h. It has gradients wherever EI itself is tiny.

    Args:
        model: a model whose posterior is a :class:`StudentTPosterior` with one output and df > 1.
        best_f: best value so far: a number or ``b``.
        xi: margin to be improved by, in units of the outcome.
        posterior_transform: applied to the posterior; it has to stay Student-t.
        maximize: False if smaller values are better.
    """

    _log: bool = True


class StudentTExpectedImprovement(_ExpectedImprovement):
    """``E[max(f - best_f - xi, 0)]`` under a (mixture of) Student-t marginal(s), q = 1.

    Args:
        model: a model whose posterior is a :class:`StudentTPosterior` with one output and df > 1.
        best_f: best value so far: a number or ``b``.
        xi: margin to be improved by, in units of the outcome.
        posterior_transform: applied to the posterior; it has to stay Student-t.
        maximize: False if smaller values are better.
    """


class LogStudentTProbabilityOfImprovement(_ProbabilityOfImprovement):
    """``ln P(f > best_f + xi)`` under a (mixture of) Student-t marginal(s), q = 1.

    Args:
        model: a model whose posterior is a :class:`StudentTPosterior` with one output and df > 1.
        best_f: best value so far: a number or ``b``.
        xi: margin to be improved by, in units of the outcome.
        posterior_transform: applied to the posterior; it has to stay Student-t.
        maximize: False if smaller values are better.
    """

    _log: bool = True


class StudentTProbabilityOfImprovement(_ProbabilityOfImprovement):
    """``P(f > best_f + xi)`` under a (mixture of) Student-t marginal(s), q = 1.

    Args:
        model: a model whose posterior is a :class:`StudentTPosterior` with one output and df > 1.
        best_f: best value so far: a number or ``b``.
        xi: margin to be improved by, in units of the outcome.
        posterior_transform: applied to the posterior; it has to stay Student-t.
        maximize: False if smaller values are better.
    """


def _of(posterior: Posterior, name: str) -> Tensor:
    # BoTorch's base class has neither a mean nor a variance; every posterior that analytic acquisitions take has both
    values: Tensor = getattr(posterior, name)
    return values


class LogThesisExpectedImprovement(AnalyticAcquisitionFunction):
    """Log of the thesis's own acquisition (ch. 3.3): the Gaussian's EI with mean and variance estimated anew, q = 1.

    Surrogate mean -> Gamma posterior of the precision (eqs. 14, 15) -> variance -> mean again (eq. 13) -> EI (eq. 10).
    The surrogate's mean is taken as known; the precision gets its Gamma posterior from the observations; the variance
    is estimated as ``1 / E[tau] = b_n / a_n``; the mean is estimated again with that variance, the surrogate's mean and
    variance being the prior. The text leaves open which mean and which variance; the readings are

    - ``"L2"`` (default): residuals ``y_i - m(x)`` about the candidate's own mean; EI from ``M(x)`` and ``V(x)``;
    - ``"L1"``: as L2, but EI from ``M(x)`` and the estimated variance of one observation;
    - ``"L3"``: residuals ``y_i - m(x_i)`` about the means at the data; EI from ``M(x)`` and ``V(x)``.

    All three treat the observations as ``n`` draws of one mean. So ``M`` is drawn to their average where the surrogate
    is unsure, and ``V`` shrinks everywhere as ``n`` grows.

    Args:
        model: any model of one output; only the mean and the variance of its posterior are used.
        best_f: best value so far: a number or ``b``.
        X_observed: where the outcomes were observed, ``n x d``; only ``"L3"`` asks the model there.
        Y_observed: the outcomes, ``n x 1``, in the units of the model's posterior; standardised, or give ``rate``.
        xi: margin to be improved by.
        concentration: ``a0`` of the Gamma prior.
        rate: ``b0`` of the Gamma prior, in squared units of the outcome; near 0 the variance of L3 collapses.
        reading: ``"L1"``, ``"L2"`` or ``"L3"``.
        posterior_transform: applied to the posterior.
        maximize: False if smaller values are better.

    Raises:
        ValueError: if the reading is unknown or ``Y_observed`` is not ``n x 1`` for ``n`` points.
    """

    _log: bool = True
    best_f: Tensor
    X_observed: Tensor
    Y_observed: Tensor

    def __init__(
        self,
        model: Model,
        best_f: float | Tensor,
        X_observed: Tensor,
        Y_observed: Tensor,
        *,
        xi: float = 0.01,
        concentration: float = 1.0,
        rate: float = 1.0,
        reading: ThesisReading = "L2",
        posterior_transform: PosteriorTransform | None = None,
        maximize: bool = True,
    ) -> None:
        super().__init__(model=model, posterior_transform=posterior_transform)
        if reading not in ("L1", "L2", "L3"):
            raise ValueError(f"reading={reading!r}: the readings are 'L1', 'L2' and 'L3'")
        if X_observed.ndim != 2 or Y_observed.shape != (len(X_observed), 1):
            shapes = f"{tuple(X_observed.shape)} and {tuple(Y_observed.shape)}"
            raise ValueError(f"need X_observed n x d and Y_observed n x 1, got {shapes}")
        best = best_f if isinstance(best_f, Tensor) else torch.tensor(best_f, dtype=torch.float64)
        for name, value in (("best_f", best), ("X_observed", X_observed), ("Y_observed", Y_observed)):
            self.register_buffer(name, value)
        self.xi, self.concentration, self.rate = xi, concentration, rate
        self.reading, self.maximize = reading, maximize

    def estimate(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """The estimated mean and variance that EI is taken of.

        Args:
            X: ``b x 1 x d``.

        Returns:
            Mean and variance, ``b`` each.
        """
        self.to(X)
        posterior = self.model.posterior(X, posterior_transform=self.posterior_transform)
        mean, variance = (_of(posterior, name).squeeze(-1).squeeze(-1) for name in ("mean", "variance"))
        y = self.Y_observed.squeeze(-1)
        if self.reading == "L3":
            at_y = self.model.posterior(self.X_observed, posterior_transform=self.posterior_transform)
            squares = (y - _of(at_y, "mean").squeeze(-1)).square().sum(dim=-1).expand_as(mean)
        else:
            squares = (y - mean.unsqueeze(-1)).square().sum(dim=-1)
        a_n, b_n = precision_posterior(self.concentration, self.rate, len(y), squares)
        noise = (b_n / a_n).clamp_min(1e-12)
        again, again_variance = mean_posterior(mean, variance.clamp_min(1e-12), float(y.sum()), len(y), noise)
        return again, (noise if self.reading == "L1" else again_variance).clamp_min(1e-12)

    @t_batch_mode_transform(expected_q=1)  # type: ignore[arg-type]
    def forward(self, X: Tensor) -> Tensor:
        """Evaluate.

        Args:
            X: ``b x 1 x d``.

        Returns:
            ``b``.
        """
        mean, variance = self.estimate(X)
        scale = variance.sqrt()
        gain = (mean - self.best_f) * (1.0 if self.maximize else -1.0) - self.xi
        return student_t.log_h(gain / scale, math.inf) + scale.log()


class FantasyAverage(AcquisitionFunction):
    """An acquisition averaged over fantasies: what it is worth to try a point while other trials are pending.

    Expected improvement averaged over what the pending trials may score is greedy qEI: with ``P`` the pending points,
    ``E[max(f(x), f_P, best_f)]`` grows with ``x`` by ``E[EI(x | y_P)]``. The greedy batch is within 1 - 1/e of the best
    one (Wilson, Hutter, Deisenroth: Maximizing acquisition functions for Bayesian optimization, NeurIPS 2018).

    Args:
        acq_function: an analytic acquisition of a fantasy model, whose last batch dimension are the fantasies.
        log: whether its values are logs; the average then is the log of the mean.
    """

    def __init__(self, acq_function: AcquisitionFunction, log: bool = True) -> None:
        super().__init__(model=acq_function.model)
        self.acq_function = acq_function
        self._log = log

    @t_batch_mode_transform(expected_q=1)  # type: ignore[arg-type]
    def forward(self, X: Tensor) -> Tensor:
        """Evaluate.

        Args:
            X: ``b x 1 x d``.

        Returns:
            ``b``.
        """
        values: Tensor = self.acq_function(X.unsqueeze(-3))  # b x s
        if self._log:
            return torch.logsumexp(values, dim=-1) - math.log(values.shape[-1])
        return values.mean(dim=-1)
