"""The Determinant: which candidate's epoch is the one that counts, and why (thesis ch. 3.1, fig. 8).

A selector; it has nothing to do with the determinant of a matrix.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from lightning_gammabo.records import Result, TrialState, paired_error

__all__ = ["Determinant", "Favours", "Rule", "leave_one_out"]

Rule = Literal["best", "largest_within_noise", "keep_unless_better"]
Favours = Callable[[Sequence[Result]], Callable[[Result], float]]
"""results so far -> what is added to the score of each in the choice"""

_CENTRAL = 0.5
"""standard deviations of the scores by which a centre's may be below the best one"""


class Determinant:
    """Chooses among the candidates of one epoch.

    ``best``: the highest score. Ties go to the lower loss, then to the one tried first, which is the rate that the
    optimizer would have used anyway: where nothing is gained nothing is changed.

    ``largest_within_noise``: the largest rate whose score is within ``n_sigma`` paired standard errors of the best
    one's. Neighbours differ by less than the noise of a validation, and noise should not lower the rate: by the next
    epoch's score alone small rates look too good (short-horizon bias). Where candidates cannot be paired, or where all
    pairs give the same difference, it is ``best``.

    ``keep_unless_better``: the present rate, unless a larger one scores better by more than ``n_sigma`` paired standard
    errors; then the best of those. A smaller rate nearly always scores better after a few steps, because the loss is
    then at the noise of its rate; that says little about the end of the run. A larger one that scores better in spite
    of this says much. A smaller one is taken only where the present one did not come to its end.

    A candidate at the centre of the rates that scored well (``origin="smoothed"``) is chosen under every rule, unless
    its score is below the best one by more than half a standard deviation of all.

    Args:
        rule: the rule.
        n_sigma: paired standard errors that count as a tie (``largest_within_noise``), or by which a larger
            rate has to be better (``keep_unless_better``).
        favours: what is added to each score in the choice; None for nothing.

    Raises:
        ValueError: if the rule is unknown.
    """

    def __init__(self, rule: Rule = "best", *, n_sigma: float = 1.0, favours: Favours | None = None) -> None:
        if rule not in get_args(Rule):
            raise ValueError(f"rule={rule!r}: choose one of {', '.join(map(repr, get_args(Rule)))}")
        self.rule = rule
        self.n_sigma = n_sigma
        self._favours = favours

    def choose(self, results: Sequence[Result]) -> tuple[Result | None, str]:
        """The winner among all results so far.

        Args:
            results: the results of one epoch, in the order in which they were trained.

        Returns:
            The winner, or None if no candidate completed; and the reason in words.
        """
        complete = [result for result in results if result.state is TrialState.COMPLETE]
        if not complete:
            return None, f"all {len(results)} candidates diverged or failed" if results else "there was no candidate"
        highest = best = max(complete, key=_rank)  # of equals, the first
        if self._favours is not None:
            added = self._favours(complete)
            best = max(complete, key=lambda result: _rank(result, added(result)))
        centre = next((result for result in complete if result.origin == "smoothed"), None)
        if centre is not None and self._is_central(centre, best, complete):
            return centre, "the centre of the rates that scored well"
        present = next((result for result in complete if result.origin == "current"), None)
        if self.rule == "keep_unless_better" and present is not None:
            return self._moved(present, complete)
        if self.rule == "largest_within_noise":
            near = [result for result in complete if self._ties(result, best)]
            largest = max((best, *near), key=lambda result: result.lr)
            if largest.lr > best.lr:
                return largest, f"largest of {1 + len(near)} rates within one paired standard error of the best score"
        if best is not highest:
            return (
                best,
                f"about as good as the highest score of {len(complete)} candidates, and nearer to the usual rate",
            )
        return best, self._reason(best, complete)

    @staticmethod
    def _is_central(centre: Result, best: Result, complete: Sequence[Result]) -> bool:
        scores = [result.score for result in complete if result.score is not None]
        assert centre.score is not None
        assert best.score is not None
        return best.score - centre.score <= _CENTRAL * statistics.pstdev(scores)

    def _moved(self, present: Result, complete: Sequence[Result]) -> tuple[Result, str]:
        if len(complete) == 1:
            return present, self._reason(present, complete)
        better = [r for r in complete if r.lr > present.lr and not self._within(present, r)]
        if not better:
            return present, f"no larger one of {len(complete)} rates is better beyond the noise"
        return max(better, key=_rank), f"a larger rate, better by more than {self.n_sigma:g} paired standard errors"

    def _within(self, present: Result, other: Result) -> bool:
        # where candidates cannot be paired, nothing is known to be better
        error = paired_error(other, present)
        assert other.score is not None
        assert present.score is not None
        return error is None or other.score - present.score <= self.n_sigma * error

    def _ties(self, result: Result, best: Result) -> bool:
        error = paired_error(result, best)
        assert result.score is not None
        assert best.score is not None
        return result is not best and error is not None and best.score - result.score <= self.n_sigma * error

    @staticmethod
    def _reason(best: Result, complete: Sequence[Result]) -> str:
        if len(complete) == 1:
            return "the only candidate"
        tied = [r for r in complete if r.score == best.score and r.number != best.number]
        if not tied:
            return f"highest score of {len(complete)} candidates"
        if best.loss is not None and all(r.loss is None or best.loss < r.loss for r in tied):
            return f"highest score, shared with {len(tied)}, at the lowest loss"
        return f"highest score, shared with {len(tied)}, tried first"


def leave_one_out(
    batches: Sequence[Sequence[tuple[float, float]]], score: Callable[[Sequence[float]], float | None]
) -> tuple[float, ...]:
    """The score with one validation batch left out, for each batch.

    Args:
        batches: for each of some metrics, mean and weight of every batch.
        score: gives the score of those metrics' means over the batches; None where it has none.

    Returns:
        As many scores as batches; empty where there are fewer than two, or one of the scores is not finite.

    Example:
        >>> leave_one_out([[(1.0, 2.0), (3.0, 2.0), (5.0, 1.0)]], lambda means: means[0])
        (3.6666666666666665, 2.3333333333333335, 2.0)
    """
    count = len(batches[0]) if batches else 0
    if count < 2 or any(len(metric) != count for metric in batches):
        return ()
    sums = [
        (sum(value * weight for value, weight in metric), sum(weight for _, weight in metric)) for metric in batches
    ]
    scores = []
    for index in range(count):
        means = []
        for (total, weights), metric in zip(sums, batches, strict=True):
            value, weight = metric[index]
            means.append((total - value * weight) / (weights - weight))
        left = score(means)
        if left is None or not math.isfinite(left):
            return ()
        scores.append(left)
    return tuple(scores)


def _rank(result: Result, added: float = 0.0) -> tuple[float, float]:
    assert result.score is not None
    return result.score + added, -result.loss if result.loss is not None else -math.inf
