"""What a search costs beside the training of its candidates: its time over that of as many plain epochs.

The fits are those of :mod:`benchmarks.speed.overhead`, with a bare Trainer; plain and searched ones in turn.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from benchmarks.speed.overhead import SETTINGS, time_ratio

GOALS = {"500 images": 1.10, "a step of 5 ms, 25 steps": 1.03, "a step of 5 ms, 100 steps": 1.03}
CANDIDATES, ROUNDS = 12, 3


@pytest.fixture(autouse=True)
def one_quiet_thread() -> Iterator[None]:
    logger, threads = logging.getLogger("lightning.pytorch"), torch.get_num_threads()
    level = logger.level
    logger.setLevel(logging.ERROR)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    logger.setLevel(level)


@pytest.mark.parametrize(("name", "setting"), zip(GOALS, SETTINGS.values(), strict=True), ids=[*GOALS])
def test_machinery(benchmark: Any, name: str, setting: dict[str, Any]) -> None:
    benchmark.group = "machinery"
    found = benchmark.pedantic(time_ratio, (setting, CANDIDATES, ROUNDS), {"bare": True})
    benchmark.extra_info |= {"ratio": found["ratio"], "goal": GOALS[name], "unit": "ms"}
    benchmark.extra_info["own"] = 1e3 * found["search, seconds"]
    benchmark.extra_info["plain"] = 1e3 * CANDIDATES * found["plain epoch, seconds"]
