"""Trials side by side by qEI, greedily: the next place is best on average over what the pending ones may score.

With ``P`` the pending places, ``E[max(f(u), f_P, best)]`` grows with ``u`` by ``E[EI(u | y_P)]``: the expected
improvement after ``y_P`` was seen, averaged over ``y_P``. Given ``y_P`` it is exact (a mixture of Student-t's, the
hyperparameters weighed anew); only the average over ``y_P`` is by Monte Carlo, and each draw of the joint distribution
is made place by place, each conditional on those before. Greedy qEI is within 1 - 1/e of the best batch
[Wilson2018maximizing].

References:
    [Wilson2018maximizing] J. Wilson, F. Hutter, M. Deisenroth. Maximizing acquisition functions for Bayesian
    optimization. NeurIPS 2018.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import special

from lightning_gammabo.bayesopt._process import Fit, Mixture, predict

__all__ = ["draw", "fantasies"]

Array = npt.NDArray[np.float64]


def draw(mixture: Mixture, pick: float, level: float) -> float:
    """A draw from the marginal at the first place.

    Args:
        mixture: the surrogate.
        pick: uniform number that picks the component.
        level: uniform number, its quantile in the component.

    Returns:
        The draw.
    """
    k = min(int(np.searchsorted(np.cumsum(mixture.weights), pick)), mixture.weights.size - 1)
    z = special.ndtri(level) if math.isinf(mixture.df) else special.stdtrit(mixture.df, level)
    return float(mixture.loc[k, 0] + mixture.scale[k, 0] * z)


def fantasies(
    rng: np.random.Generator, fitted: Fit, refit: Callable[[Array, Array], Fit], y: Array, pending: Array, count: int
) -> list[tuple[Fit, Array]]:
    """Draws of what the pending trials score, and the surrogate after each.

    The quantile of the first place is stratified, the rest is independent.

    Args:
        rng: where the draws come from.
        fitted: the surrogate without the pending trials.
        refit: makes a surrogate of places and scores.
        y: standardised scores that ``fitted`` was made of, ``n``.
        pending: places of the pending trials, ``p``.
        count: number of draws.

    Returns:
        For each draw the surrogate and the scores of the pending trials, ``p``.
    """
    first = (rng.permutation(count) + rng.uniform(size=count)) / count
    found = []
    for number in range(count):
        believed, x, scores = fitted, fitted.x, y
        for i, place in enumerate(pending):
            level = float(first[number] if i == 0 else rng.uniform())
            mixture = predict(believed, np.asarray([place]), observation_noise=True)
            x, scores = np.append(x, place), np.append(scores, draw(mixture, float(rng.uniform()), level))
            believed = refit(x, scores)
        found.append((believed, scores[y.size :]))
    return found
