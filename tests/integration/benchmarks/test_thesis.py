"""The thesis's experiments: what is judged and noted, and how it stands beside the published numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tests.integration.benchmarks.parts import imported

pytest.importorskip("matplotlib")
PARTS = ("benchmarks.batches", "benchmarks.noted", "compare")
THESIS = ("experiment", "published", "report", "cifar10")
SETTING = {"search": "gamma_thesis", "objective": "kappa", "candidates": 3, "epochs": 2, "seed": 0}


@pytest.fixture(scope="module")
def thesis() -> Iterator[SimpleNamespace]:
    with imported(*(f"benchmarks.thesis.{name}" for name in THESIS), *PARTS) as modules:
        yield modules


def tiny(thesis: SimpleNamespace) -> Any:
    def make(setting: dict[str, Any], folder: Path) -> tuple[Any, Any]:
        x = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
        pair = (x, (x[:, 0] > 0).long())
        splits = {name: thesis.batches.loader(pair, 20, shuffle=name == "train") for name in ("train", "val", "test")}
        return thesis.compare.Classifier(nn.Linear(4, 10), lr=0.1), splits

    return make


def test_a_run_is_judged_after_each_epoch(thesis: SimpleNamespace, tmp_path: Path) -> None:
    row = thesis.experiment.searched(SETTING, tiny(thesis), tmp_path)
    assert [epoch["passes"] for epoch in row["epochs_found"]] == [3.0, 3.0]
    for epoch in row["epochs_found"]:
        confusion = torch.tensor(epoch["confusion"])
        assert confusion.sum() == 60
        assert epoch["accuracy"] == pytest.approx(confusion.diagonal().sum().item() / 60, abs=1e-5)
        assert epoch["accuracy"] == pytest.approx(epoch["val_accuracy"], abs=1e-5)  # the same samples, judged twice


def test_noted_settings_are_not_run_again(thesis: SimpleNamespace) -> None:
    other = SETTING | {"seed": 1}
    assert thesis.noted.missing([SETTING, other], [SETTING | {"seconds": 1.0}]) == [other]


def test_the_cifar_network_has_the_size_of_keras_s(thesis: SimpleNamespace) -> None:
    module = thesis.cifar10.keras_cnn(0.01)
    assert module.net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert sum(p.numel() for p in module.parameters()) == 1_250_858  # as keras prints for its example


def test_ours_stand_beside_the_published(thesis: SimpleNamespace, tmp_path: Path) -> None:
    results, confusion = tmp_path / "noted", [[0] * 10] * 10
    results.mkdir()
    epochs = [{"val_accuracy": a, "accuracy": a - 0.1, "lr": 0.1, "confusion": confusion} for a in (0.5, 0.9)]
    rows = [SETTING | {"seed": seed, "epochs_found": epochs} for seed in (0, 1)]
    (results / "mnist500.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = thesis.report.page(results, tmp_path / "images")
    assert "| kappa | gamma_thesis | 2 | 91 | 90.0 ± 0.0 (2) | 80.0 ± 0.0 (2) |" in text
    assert "| kappa | grid | 1 | 52 | - | - |" in text
    assert (tmp_path / "images" / "thesis-confusion-mnist500.png").exists()
