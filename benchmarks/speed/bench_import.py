"""What importing the callback adds to importing Lightning, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROUNDS = 3


def test_import(benchmark: Any) -> None:
    command = [sys.executable, str(Path(__file__).with_name("import_time.py"))]
    found: list[dict[str, float]] = []

    def measure() -> None:
        found.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))

    benchmark.group = "import"
    benchmark.pedantic(measure, rounds=ROUNDS)
    least = min(found, key=lambda one: one["callback"])
    benchmark.extra_info |= {"ratio": 1 + least["callback"] / least["lightning.pytorch"], "goal": 1.15, "unit": "ms"}
    benchmark.extra_info |= {
        "own": 1e3 * (least["lightning.pytorch"] + least["callback"]),
        "plain": 1e3 * least["lightning.pytorch"],
    }
