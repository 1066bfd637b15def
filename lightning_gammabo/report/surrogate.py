"""What the surrogate came to believe in one epoch: its mean and band, the samples, where it would look next.

A record does not hold the surrogate but all that it was told: told again, a search of the same settings believes the
same. Searches without a surrogate (``grid``, ``random``, ``sobol``, ``list``) have no such view.

Source: the thesis's figures 12, 13, 16 and 17.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lightning_gammabo.records import EpochRecord, Result, TrialState
from lightning_gammabo.records.words import count
from lightning_gammabo.report.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    legend_above,
    log_scale,
    panels,
    plain,
    scatter,
    score_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lightning_gammabo.bayesopt import BayesOpt, SurrogateView

__all__ = ["plot_surrogate", "rebuild_search"]

Array = npt.NDArray[np.float64]

_FEWEST = 3
"""scores from which on a belief is drawn: through two points it would be a made-up line"""
_PLACES = 241
"""places at which curves are drawn"""
_BAND = 0.95
_FAR = 10.0
"""scores further below the best than so many median distances are drawn at the edge, lest they flatten all others"""


def rebuild_search(record: EpochRecord, *, after: int | None = None) -> BayesOpt:
    """The search of an epoch as it was after its last candidate, or after fewer of them.

    Args:
        record: the search of one epoch.
        after: candidates that it knows; None for all.

    Returns:
        A search that was told every result (of a pruned one its estimate, if it has one); ``surrogate_at`` gives its
        belief. One whose range was widened on the way has the wider range from the beginning.

    Raises:
        ValueError: if the search has no surrogate that can be rebuilt, or no candidate has a score.
    """
    # which imports BoTorch, but not before a picture is asked for
    from lightning_gammabo.bayesopt import BayesOpt, LearningRateSpace, PlacePrior, make_search

    where = f"epoch {record.epoch}"
    if record.min_lr is None or record.max_lr is None:
        raise ValueError(
            f"{where}: the record does not say between which rates was searched; 'landscape' needs no range"
        )
    results = record.results[:after]
    # as fit_rates has it: in a region the best rate may as well lie at an end
    region = record.sampler == "gamma" and any(result.origin == "region" for result in record.results)
    options: dict[str, Any] = {"inside": 0.0} if region else {}
    if record.prior is not None:
        options = {"prior": PlacePrior(*record.prior)}
    space = LearningRateSpace(record.min_lr, record.max_lr)
    try:
        search = make_search(
            record.sampler,
            space,
            seed=record.seed,
            n_initial=record.n_initial,
            n_trials=len(record.results),
            **options,
        )
    except ValueError:  # a list of candidates, or a search of the user's own
        search = None
    if not isinstance(search, BayesOpt):
        raise ValueError(
            f"{where}: the sampler {record.sampler!r} has no surrogate to show; 'landscape' shows its scores"
        )
    for result in results:
        score = result.score if result.score is not None else result.estimate
        if score is not None or result.state is not TrialState.PRUNED:
            search.enqueue(result.lr, result.origin)
            search.tell(search.ask(), score)
    if not any(space.has_place(told.trial.lr) for told in search.told if told.score is not None):
        raise ValueError(f"{where}: no candidate has a score, so the surrogate knows nothing")
    return search


def plot_surrogate(record: EpochRecord, ax: Axes | None = None, *, after: int | None = None) -> tuple[Axes, ...]:
    """The surrogate's mean and 95 % band over the rate, with samples and winner, above its acquisition.

    Args:
        record: the search of one epoch.
        ax: draw the belief here, without the acquisition; None for a figure of two panels.
        after: show what was known after so many candidates; None for all.

    Returns:
        The axes of the belief and, in a figure of its own, those of the acquisition.

    Raises:
        ValueError: if the search has no surrogate that can be rebuilt, or fewer than three candidates have a score.
    """
    search = rebuild_search(record, after=after)
    results = record.results[:after]
    scored = sum(result.score is not None for result in results)
    if scored < _FEWEST:
        raise ValueError(
            f"epoch {record.epoch}: only {count(scored, 'candidate')} with a score; a belief from fewer than {_FEWEST} "
            "is the prior's, not the data's. 'landscape' shows the scores"
        )
    shown = [lr for lr in (search.space.low, search.space.high, *(r.lr for r in results)) if lr > 0.0]
    view = search.surrogate_at(np.geomspace(min(shown), max(shown), _PLACES))
    drawn = panels(4.6, (3, 1)) if ax is None else (ax,)
    _draw_belief(drawn[0], view, record, results)
    if len(drawn) > 1:
        _draw_acquisition(drawn[1], view, search)
    log_scale(drawn[0].xaxis, min(shown), max(shown))
    drawn[-1].set_xlabel("learning rate")
    legend_above(drawn[0], f"epoch {record.epoch}: belief after {count(len(results), 'candidate')}")
    return drawn


def _draw_belief(axes: Axes, view: SurrogateView, record: EpochRecord, results: tuple[Result, ...]) -> None:
    low, high = view.interval(_BAND)
    points = [(r.lr, r.score) for r in results if r.score is not None and r.lr > 0.0]
    bottom, top = _limits(np.asarray([score for _, score in points]))
    axes.fill_between(view.lrs, low, high, color=BLUE, alpha=0.18, linewidth=0, label="95 % band", zorder=1)
    axes.plot(view.lrs, view.mean, color=BLUE, label="belief", zorder=2)
    inside = [(lr, score) for lr, score in points if score >= bottom]
    below = [(lr, bottom) for lr, score in points if score < bottom]
    scatter(axes, inside, color=GREEN, s=28, label="tried", zorder=3)
    scatter(axes, below, color=GREEN, marker="v", s=28, clip_on=False, label="far below", zorder=3)
    lost = [(r.lr, bottom) for r in results if r.score is None and r.lr > 0.0]
    scatter(axes, lost, color=GREY, marker="x", s=28, clip_on=False, label="without score", zorder=3)
    chosen = record.chosen
    if chosen is not None and chosen in results and chosen.score is not None:
        star = [(chosen.lr, chosen.score)]
        scatter(
            axes, star, color=ORANGE, marker="*", edgecolor="white", linewidth=0.8, s=220, label="committed", zorder=4
        )
    axes.set_ylim(bottom, top)
    axes.set_ylabel(score_label(record), parse_math=False)
    plain(axes)


def _limits(scores: Array) -> tuple[float, float]:
    best = float(scores.max())
    distance = float(np.median(best - scores))
    lowest = max(float(scores.min()), best - _FAR * distance) if distance > 0.0 else float(scores.min())
    room = 0.15 * (best - lowest) or 0.1 * max(1.0, abs(best))
    return lowest - room, best + 1.5 * room


def _draw_acquisition(axes: Axes, view: SurrogateView, search: BayesOpt) -> None:
    raw: Any = view.acquisition
    greatest = raw.max()
    # a log of an improvement may be far below what its exponential can hold
    share = np.exp(raw - greatest) if search.acquisition == "log_ei" else raw / greatest if greatest > 0.0 else raw
    axes.fill_between(view.lrs, 0.0, share, color=GREEN, alpha=0.18, linewidth=0)
    axes.plot(view.lrs, share, color=GREEN)
    axes.set_ylim(0.0, 1.1)
    axes.set_yticks([0.0, 1.0])
    axes.set_ylabel("worth\ntrying")
    plain(axes, grid=False)
