"""The identity under DDP: two and three processes, gloo."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from lightning_gammabo import EpochRecord
from tests.helpers.ranks import run_ranks
from tests.integration.identity.fingerprint import differences


def fits(out: Path, processes: int) -> list[dict[str, Any]]:
    """What all ranks wrote."""
    ranks = run_ranks("tests.integration.identity.ddp_fit", str(out), out=out, processes=processes)
    assert ranks.codes == [0] * processes, ranks.said
    return [pickle.loads((out / f"{rank}.pkl").read_bytes()) for rank in range(processes)]


def check_failures(rank: dict[str, Any], first: dict[str, Any]) -> None:
    """A candidate that diverges, or raises, on the last rank is lost on all, and the fit goes on."""
    for how in ("diverges", "raises", "by hand"):
        states = [[result.state.value for result in record.results] for record in rank[f"{how} history"]]
        assert states == [["complete", "diverged", "diverged"]] * 3, how
        assert rank[f"{how} many"]["parameters"] == first[f"{how} many"]["parameters"], how


@pytest.mark.slow
def test_in_two_processes_a_searched_fit_is_the_plain_one_and_trouble_of_one_rank_is_that_of_all(
    tmp_path: Path,
) -> None:
    ranks = fits(tmp_path, 2)
    for rank in ranks:
        check_failures(rank, ranks[0])
        for commit in ("copy", "replay"):
            assert differences(rank["plain"], rank[f"{commit} one"]) == []
            assert differences(rank[f"{commit} followed"], rank[f"{commit} many"]) == []
        assert differences(rank["short followed"], rank["short many"]) == []
        assert {record.share for record in rank["short history"]} == {0.6}  # three steps of five
        # two ranks score on seven samples each, one a batch
        assert {len(result.parts) for record in rank["short history"] for result in record.results} == {14}
        # the first rank's loss decides for all
        assert [rate.returned_to for rate in rank["back rates"]] == [None, None, 0]
        assert differences(rank["back followed"], rank["back many"]) == []


@pytest.mark.slow
def test_in_three_processes_all_agree(tmp_path: Path) -> None:
    ranks = fits(tmp_path, 3)
    for rank in ranks:
        check_failures(rank, ranks[0])
        # Not the replayed fits: with three processes and more the order in which gloo sums a gradient depends on its
        # place in DDP's buckets, which DDP lays anew after its very first step and never lays back.
        assert differences(rank["plain"], rank["copy one"]) == []
        for commit in ("copy", "replay", "short", "back"):
            assert rank[f"{commit} many"]["parameters"] == ranks[0][f"{commit} many"]["parameters"]
        for commit in ("copy", "replay", "short"):
            assert _told(rank[f"{commit} history"]) == _told(ranks[0][f"{commit} history"])


def _told(history: list[EpochRecord]) -> list[Any]:
    """Proposals, scores and choices, without times."""
    return [
        (record.epoch, record.chosen_number, [(r.lr, r.state, r.score, r.loss, r.accuracy) for r in record.results])
        for record in history
    ]
