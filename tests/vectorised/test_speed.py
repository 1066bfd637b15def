"""What stacking is for; the figures need a GPU, the script runs anywhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(EXAMPLES)
    level = logging.getLogger("lightning.pytorch").level
    import vectorised

    yield vectorised
    logging.getLogger("lightning.pytorch").setLevel(level)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("network", ["MLP 784-128-64-10", "the same, BatchNorm and dropout", "LeNet"])
def test_eight_candidates_for_at_most_two_and_a_half(script: Any, network: str) -> None:
    row = script.measure(network, 8, device="cuda", steps=50, rounds=7)
    assert row["reason"] is None
    assert row["trainer"] <= 2.5


def test_the_script_prints_its_table(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["vectorised.py", "--device=cpu", "--candidates", "1", "3", "--steps=2", "--rounds=1", "--size=4"]
    )
    script.main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    assert [(row[0].strip("| "), row[2]) for row in rows] == [(name, k) for name in script.NETWORKS for k in "13"]
    assert all(float(cell.rstrip(" |")) > 0 for row in rows for cell in row[3:])
