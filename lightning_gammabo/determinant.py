"""The Determinant: which candidate's epoch is the one that counts, and why (thesis ch. 3.1, fig. 8).

A selector; it has nothing to do with the determinant of a matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_gammabo.records import Result, TrialState

__all__ = ["Determinant"]


class Determinant:
    """Picks the candidate with the highest score; ties go to the lower loss, then to the one tried first.

    The one tried first is the rate that the optimizer would have used anyway, so where nothing is gained nothing is
    changed. The rule can be asked while candidates come in (:meth:`leads`), so only one end state has to be held.
    """

    def leads(self, result: Result, leader: Result | None) -> bool:
        """Whether a new result takes the lead.

        Args:
            result: the new one.
            leader: the one that leads so far, or None.

        Returns:
            Whether it does; a diverged or failed candidate never does.
        """
        if result.state is not TrialState.COMPLETE:
            return False
        return leader is None or _rank(result) > _rank(leader)

    def choose(self, results: Sequence[Result]) -> tuple[Result | None, str]:
        """The winner among all results.

        Args:
            results: the results of one epoch, in the order in which they were trained.

        Returns:
            The winner, or None if no candidate completed; and the reason in words.
        """
        leader: Result | None = None
        for result in results:
            if self.leads(result, leader):
                leader = result
        return leader, self._reason(leader, results)

    @staticmethod
    def _reason(leader: Result | None, results: Sequence[Result]) -> str:
        if leader is None:
            return f"all {len(results)} candidates diverged or failed" if results else "there was no candidate"
        complete = [r for r in results if r.state is TrialState.COMPLETE]
        if len(results) == 1:
            return "the only candidate"
        tied = [r for r in complete if r.score == leader.score and r.number != leader.number]
        if not tied:
            return f"highest score of {len(complete)} candidates"
        if leader.loss is not None and all(r.loss is None or leader.loss < r.loss for r in tied):
            return f"highest score, shared with {len(tied)}, at the lowest loss"
        return f"highest score, shared with {len(tied)}, tried first"


def _rank(result: Result) -> tuple[float, float]:
    assert result.score is not None
    return result.score, -result.loss if result.loss is not None else -math.inf
