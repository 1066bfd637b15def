"""The rate that the first search ends with: in the middle of those that did well, not at the best of them.

After one epoch neighbouring rates differ by less than the batches' order makes them differ, the best of them often
lies at the edge of what is stable, and too high a rate costs a run more than one that is too low by as much. So the
scores are blurred over the rate, and the rates weighed by them. ``docs/policies_method.md`` has what that was worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lightning_gammabo.records import Result, TrialState

__all__ = ["FEWEST", "smoothed_argmax"]

BLUR = 0.35
"""standard deviation of the blur, in decades: steps that a hand-made grid of rates would take"""
WIDTH = 0.1
"""how much lower, in standard deviations of the scores, a score may be and still count for 1/e"""
LOWEST = 5.0
"""how far below the best score one counts at most, in distances of the median from it: a hopeless candidate is one"""
REACH = 1.0
"""how far from the best rate the centre may lie, in decades: between two separate peaks nothing was tried"""
FEWEST = 3
"""rates that have a centre"""
_STEP = 0.0125
_SAME = 1e-9


def smoothed_argmax(results: Sequence[Result]) -> float | None:
    """The centre of the rates that scored well, weighed by their scores.

    Scores are interpolated along the rate's logarithm ``x``, blurred to ``b(x)``, and weighed by
    ``exp((b(x) - max b) / (0.1 s))`` with ``s`` the scores' standard deviation. A diverged candidate counts as the
    lowest score, a pruned one as what the search took it for; one that failed by no rate's fault does not count. A
    score counts as at most five times as far below the best as the median is: how hopeless one is says nothing more.

    Args:
        results: of one search over a range of rates.

    Returns:
        The rate, within a decade of the best one (of equals, the lowest). None where fewer than three rates or one
        score only are known, or the rates are equal but for a few per cent.
    """
    rates, scores = _curve(results)
    spread = float(np.std(scores)) if len(rates) >= FEWEST else 0.0
    if spread == 0.0 or rates[-1] - rates[0] < 2.0 * _STEP:
        return None
    centre = float(rates[np.argmax(scores)])
    places = np.arange(rates[0] - 3.0 * BLUR, rates[-1] + 3.0 * BLUR, _STEP)
    places = places[np.abs(places - centre) <= REACH + 8.0 * BLUR]  # what is farther weighs nothing
    kernel = np.exp(-0.5 * ((places[:, None] - places[None, :]) / BLUR) ** 2)
    blurred = kernel @ np.interp(places, rates, scores) / kernel.sum(axis=1)
    near = (np.abs(places - centre) <= REACH) & (places >= rates[0]) & (places <= rates[-1])
    weights = np.exp((blurred[near] - blurred[near].max()) / (WIDTH * spread))
    return float(10.0 ** (weights @ places[near] / weights.sum()))


def _curve(results: Sequence[Result]) -> tuple[np.ndarray, np.ndarray]:
    # log10 of the rates, rising, and a score for each
    counted = [r for r in results if r.lr > 0.0 and r.state is not TrialState.FAILED]
    known = [r.score if r.score is not None else r.estimate for r in counted]
    lowest = min((score for score in known if score is not None), default=0.0)
    by_rate: dict[float, list[float]] = {}
    for result, score in zip(counted, known, strict=True):
        by_rate.setdefault(math.log10(result.lr), []).append(lowest if score is None else score)
    rates = sorted(by_rate)
    scores = np.array([np.mean(by_rate[rate]) for rate in rates])
    best = scores.max(initial=-math.inf)
    below = best - np.median(scores) if scores.size else 0.0
    if below > _SAME * max(1.0, abs(best)):  # half of the scores that are equal say nothing of the others
        scores = np.maximum(scores, best - LOWEST * below)
    return np.array(rates), scores
