"""What a search costs beside the training of its candidates: its time over that of as many plain epochs.

The fits are those of :mod:`benchmarks.speed.overhead`, with a bare Trainer; plain and searched ones in turn, in a
process of their own as a user's script is one: CPython's speed depends on how deep the stack is by then (it hands
pieces of the stack back and takes them anew where a loop crosses their border), and a benchmark tool's stack is deep.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from benchmarks.speed.overhead import SETTINGS, one_quiet_thread, time_ratio

GOALS = {"500 images": 1.10, "a step of 5 ms, 25 steps": 1.03, "a step of 5 ms, 100 steps": 1.03}
CANDIDATES, ROUNDS = 12, 3


def measure(setting: dict[str, Any]) -> dict[str, float]:
    one_quiet_thread()
    return time_ratio(setting, CANDIDATES, ROUNDS, bare=True)


@pytest.mark.parametrize(("name", "setting"), zip(GOALS, SETTINGS.values(), strict=True), ids=[*GOALS])
def test_machinery(benchmark: Any, name: str, setting: dict[str, Any]) -> None:
    benchmark.group = "machinery"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        found = benchmark.pedantic(lambda: alone.submit(measure, setting).result())
    benchmark.extra_info |= {"ratio": found["ratio"], "goal": GOALS[name], "unit": "ms"}
    benchmark.extra_info["own"] = 1e3 * found["search, seconds"]
    benchmark.extra_info["plain"] = 1e3 * CANDIDATES * found["plain epoch, seconds"]
