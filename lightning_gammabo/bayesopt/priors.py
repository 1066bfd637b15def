"""Priors of the optimum's place: weak beliefs, stated before a score is seen, that the scores outvote.

A prior ``pi`` multiplies the acquisition as ``pi ** power``, by BoTorch's ``PriorGuidedAcquisitionFunction``
[Hvarfner2022pibo]. There a prior fades with the number of scores; these yield to what the scores say.

References:
    [Hvarfner2022pibo] C. Hvarfner et al. piBO: Augmenting Acquisition Functions with User Beliefs for Bayesian
    Optimization. ICLR 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["PlacePrior", "PriorModule", "WarmStart", "inside_log_prior"]

_NEAR_END = 0.3
"""a best place so near to an end that the optimum may lie at it"""
_MOVE, _MOVE_SCALE = -0.5, 0.7
"""by how much ``ln`` of the best rate moves from epoch to epoch, and how far from that it strays"""


@dataclass(frozen=True)
class PlacePrior:
    """The best rate is believed to lie near a rate: ``log10 lr`` is Student-t about it.

    Args:
        centre: ``log10`` of the rate.
        scale: scale of the Student-t, in decades.
        df: degrees of freedom; 1 is the Cauchy, ``inf`` the normal. The fewer, the less far rates are ruled out.

    Raises:
        ValueError: if a number is not finite (``df`` may be ``inf``), or ``scale`` or ``df`` is not positive.

    Example:
        >>> prior = PlacePrior(centre=-2.0, scale=0.5, df=1.0)
        >>> [round(value, 3) for value in prior.log_density(torch.tensor([-2.0, -1.5])).tolist()]
        [-0.0, -0.693]
    """

    centre: float
    scale: float
    df: float = 3.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.centre) and 0.0 < self.scale < math.inf and self.df > 0.0):
            raise ValueError(f"{self}: give a finite centre (log10 of a rate), a scale > 0 in decades and df > 0")

    def log_density(self, log10_rates: Tensor) -> Tensor:
        """Log density up to a constant, 0 at the centre.

        Args:
            log10_rates: ``log10`` of learning rates, any shape.

        Returns:
            Shape of ``log10_rates``; finite.
        """
        square = ((log10_rates - self.centre) / self.scale).square()
        return -0.5 * square if math.isinf(self.df) else -0.5 * (self.df + 1.0) * torch.log1p(square / self.df)


def inside_log_prior(places: Tensor, best: float | None = None, tried: Tensor | None = None) -> Tensor:
    """A range is chosen around the optimum: ``ln(0.05 + 0.95 * 4 u (1 - u))``, 0 in the middle and -3 at the ends.

    Without it, expected improvement spends its first proposals on the ends of the range, where the surrogate knows
    least. What scores say against it counts more: where the best place lies near an end (within 0.3) and nothing was
    tried between them, the places between are believed in no less than the best one. So an optimum at the end is
    reached step by step, and one bad or diverged score beyond the best place brings the belief back.

    Args:
        places: on the unit interval, any shape.
        best: place of the best score so far, in [0, 1] or beyond; None for the belief before any score.
        tried: all places tried, diverged ones too, ``n``.

    Returns:
        Shape of ``places``.

    Example:
        >>> [round(value, 3) for value in inside_log_prior(torch.tensor([0.0, 0.5])).tolist()]
        [-2.996, 0.0]
        >>> lifted = inside_log_prior(torch.tensor([0.0, 0.9]), best=0.8, tried=torch.tensor([0.4, 0.8]))
        >>> [round(value, 3) for value in lifted.tolist()]
        [-2.996, -0.419]
    """
    prior = torch.log(0.05 + 0.95 * 4.0 * (places * (1.0 - places)).clamp(0.0, 0.25))
    if best is None or tried is None:
        return prior
    level = float(inside_log_prior(torch.tensor(best, dtype=torch.float64))) if 0.0 <= best <= 1.0 else 0.0
    if best <= _NEAR_END and not bool((tried < best).any()):
        prior = torch.where(places <= best, prior.clamp_min(level), prior)
    if best >= 1.0 - _NEAR_END and not bool((tried > best).any()):
        prior = torch.where(places >= best, prior.clamp_min(level), prior)
    return prior


@dataclass(frozen=True)
class WarmStart:
    """What an epoch that was won by ``winner`` says of the next one's best rate: near it, rather lower, seldom far.

    ``ln lr ~ Cauchy(ln winner - 0.5, 0.7)``: median and half the interquartile range of the moves of the best rate from
    one recorded epoch to the next. Scores are not carried over: the best rate and the edge of divergence both move. A
    joint process over rates and epochs, and the last epoch's posterior mean as prior mean, did worse than nothing.

    The prior misleads where the landscape has jumped, which shows in the scores: training goes on from the winner's
    weights, so as long as no score reaches the winner's own the prior is not used.

    Args:
        winner: the rate that won, > 0.
        reached: its score.
        strength: power of the prior; 0 for none.
    """

    winner: float
    reached: float
    strength: float

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, float | None]], strength: float) -> WarmStart | None:
        """What rates and scores of an epoch say of the next one.

        Args:
            pairs: rates and scores.
            strength: power of the prior.

        Returns:
            The warm start; None where no rate has a finite score.
        """
        finite = [(lr, s) for lr, s in pairs if s is not None and math.isfinite(s) and lr > 0.0]
        if not finite:
            return None
        winner, reached = max(finite, key=lambda pair: pair[1])
        return cls(winner=float(winner), reached=float(reached), strength=strength)

    @property
    def prior(self) -> PlacePrior:
        """Where the next best rate is believed to lie."""
        return PlacePrior(
            centre=math.log10(self.winner) + _MOVE / math.log(10.0), scale=_MOVE_SCALE / math.log(10.0), df=1.0
        )

    def starts(self) -> tuple[float, float]:
        """The rates to try first.

        Returns:
            The winner, and half of it: keeping a rate for another epoch is often too much.
        """
        return self.winner, 0.5 * self.winner

    def misleads(self, best: float) -> bool:
        """Whether this epoch's scores contradict it.

        Args:
            best: the best score so far.

        Returns:
            True if it is worse than the best score of the epoch before.
        """
        return best < self.reached


class PriorModule(torch.nn.Module):
    """A log prior of places in the form that ``PriorGuidedAcquisitionFunction`` takes.

    Args:
        log_prior: log density of places on the unit interval, any shape, up to a constant.
        log: whether the acquisition is a log, and the prior to be one.
    """

    def __init__(self, log_prior: Callable[[Tensor], Tensor], log: bool) -> None:
        super().__init__()
        self.log_prior, self.log = log_prior, log

    def forward(self, X: Tensor) -> Tensor:
        """Evaluate.

        Args:
            X: ``b x q x 1``.

        Returns:
            ``b x q``.
        """
        values = self.log_prior(X.squeeze(-1))
        return values if self.log else values.exp()
