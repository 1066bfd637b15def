"""Sharded fits of several processes: FSDP2, tensor parallelism, both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.matrix import whole_only
from tests.helpers.ranks import Ranks, run_ranks
from tests.integration.sharded.nets import BOTH, FSDP2, TENSOR_PARALLEL


def launch(out: Path, sizes: str, *task: str) -> Ranks:
    data, tensor = map(int, sizes.split("x"))
    module = "tests.integration.sharded.sharded_fit"
    return run_ranks(module, str(out), sizes, *task, out=out, processes=data * tensor)


def check(out: Path, sizes: str, *task: str) -> None:
    ranks = launch(out, sizes, *task)
    assert set(ranks.codes) == {0}, ranks.said
    assert len(list(out.glob("*.done"))) == len(ranks.codes)


def in_groups(cases: dict[str, object], size: int = 4) -> list[list[str]]:
    names = list(cases)
    return [names[start : start + size] for start in range(0, len(names), size)]


# what a wrong treatment of gathered parameters would show first
QUICK = ["one unit", "no sanity check"]


def test_fsdp2_in_short(tmp_path: Path) -> None:
    check(tmp_path, "2x1", "identity", *QUICK)


@whole_only
@pytest.mark.slow
@pytest.mark.parametrize("names", in_groups({name: FSDP2[name] for name in FSDP2 if name not in QUICK}), ids=", ".join)
def test_fsdp2(names: list[str], tmp_path: Path) -> None:
    check(tmp_path, "2x1", "identity", *names)


def test_tensor_parallel_in_short(tmp_path: Path) -> None:
    check(tmp_path, "1x2", "identity", next(iter(TENSOR_PARALLEL)))


@whole_only
@pytest.mark.slow
@pytest.mark.parametrize("names", in_groups(dict(TENSOR_PARALLEL)), ids=", ".join)
def test_tensor_parallel(names: list[str], tmp_path: Path) -> None:
    check(tmp_path, "1x2", "identity", *names)


@whole_only
@pytest.mark.slow
def test_both_on_four_ranks(tmp_path: Path) -> None:
    check(tmp_path, "2x2", "identity", *BOTH)


@whole_only
@pytest.mark.slow
def test_fsdp2_on_three_ranks(tmp_path: Path) -> None:
    check(tmp_path, "3x1", "identity", "plain", "clips")


@whole_only
@pytest.mark.slow
@pytest.mark.parametrize("task", ["short", "recovery", "memory"])
def test_policies(task: str, tmp_path: Path) -> None:
    check(tmp_path, "2x1", task)


@whole_only
@pytest.mark.slow
def test_ranks_that_read_the_same_data_are_scored_once(tmp_path: Path) -> None:
    check(tmp_path, "1x2", "short")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["in part", *(pytest.param(one, marks=whole_only) for one in ("gamma", "recovery", "one file"))]
)
def test_resumed(name: str, tmp_path: Path) -> None:
    check(tmp_path, "2x1", "resume", name)


@whole_only
@pytest.mark.slow
def test_resumed_by_another_number_of_ranks(tmp_path: Path) -> None:
    check(tmp_path, "2x1", "save")
    for done in tmp_path.glob("*.done"):
        done.unlink()
    check(tmp_path, "3x1", "load")


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        ("raises", "1", "diverged"),
        *(
            pytest.param(one, marks=whole_only, id=", ".join(one))
            for one in (
                ("nan", "1", "diverged"),
                ("forward", "1", "failed"),
                ("forward", "all", "failed"),
                ("backward", "all", "failed"),
                ("forward", "all", "failed", "ddp"),
                ("backward", "all", "failed", "ddp"),
            )
        ),
    ],
    ids=", ".join,
)
def test_trouble_on_one_rank_is_trouble_on_all(how: tuple[str, ...], tmp_path: Path) -> None:
    check(tmp_path, "2x1", "trouble", *how)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said"),
    [("within", "boom within a step"), pytest.param("validation", "boom in a validation", marks=whole_only)],
)
def test_a_rank_that_stops_where_others_wait_for_it_ends_all(how: str, said: str, tmp_path: Path) -> None:
    ranks = launch(tmp_path, "2x1", "trouble", how, "1", "diverged")
    assert 0 not in ranks.codes
    assert said in ranks.said
