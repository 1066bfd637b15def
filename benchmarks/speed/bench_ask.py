"""A search's next rate after twelve scores, against BoTorch's defaults on the same scores, in turn."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
import torch

from benchmarks.bayesopt.benchmark_cost import seen, time_ours, time_stock
from benchmarks.bayesopt.benchmark_problems import problems

SCORES, ROUNDS = 12, 15


@pytest.mark.filterwarnings("ignore")
def test_ask(benchmark: Any) -> None:
    torch.set_num_threads(1)
    cases = problems("mnist500")
    own: list[float] = []
    stock: list[float] = []

    def ask() -> None:
        number = len(own)
        run = seen(cases[number % len(cases)], number, SCORES)
        own.append(time_ours(run, number))
        stock.append(time_stock(run))

    benchmark.group = "ask"
    benchmark.pedantic(ask, rounds=ROUNDS, warmup_rounds=1)
    ratio = statistics.median(ours / theirs for ours, theirs in zip(own[1:], stock[1:], strict=True))
    benchmark.extra_info |= {"ratio": ratio, "goal": 0.1, "unit": "ms"}
    benchmark.extra_info |= {"own": 1e3 * statistics.median(own), "plain": 1e3 * statistics.median(stock)}
