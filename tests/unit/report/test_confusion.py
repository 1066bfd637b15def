from __future__ import annotations

import pytest
import torch
from torch import nn
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    BinaryConfusionMatrix,
    MulticlassAccuracy,
    MulticlassCohenKappa,
    MulticlassConfusionMatrix,
    MultilabelConfusionMatrix,
)

from lightning_gammabo.report.confusion import read_confusion

TRUE, TAKEN = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 1, 1, 2, 2, 0])
COUNTS = [[1, 1, 0], [0, 1, 0], [1, 0, 2]]


def module(**metrics: nn.Module) -> nn.Module:
    holder = nn.Module()
    for name, metric in metrics.items():
        setattr(holder, name, metric)
    return holder


def test_the_counts_are_read_where_they_stand_and_left_there() -> None:
    metric = MulticlassConfusionMatrix(3)
    metric.update(TAKEN, TRUE)
    before = (metric.confmat.clone(), metric._update_count, metric._computed)
    found = read_confusion(module(val_cm=metric))
    assert found == {"val_cm": COUNTS}
    found["val_cm"][0][0] = 99.0
    assert torch.equal(metric.confmat, before[0])
    assert (metric._update_count, metric._computed) == before[1:]


def test_metrics_made_of_a_matrix_and_collections_are_found() -> None:
    kappa, group = MulticlassCohenKappa(3), MetricCollection({"cm": MulticlassConfusionMatrix(3)})
    for metric in (kappa, group):
        metric.update(TAKEN, TRUE)
    found = read_confusion(module(kappa=kappa, group=group))
    assert sorted(found.values()) == [COUNTS, COUNTS]
    assert {name.split(".")[0] for name in found} == {"kappa", "group"}


def test_two_classes() -> None:
    metric = BinaryConfusionMatrix()
    metric.update(torch.tensor([1, 0, 1]), torch.tensor([1, 1, 0]))
    assert read_confusion(module(cm=metric)) == {"cm": [[0, 1], [1, 1]]}


def test_what_is_left_out() -> None:
    of_training, of_labels, untouched = (
        MulticlassConfusionMatrix(3),
        MultilabelConfusionMatrix(2),
        MulticlassConfusionMatrix(3),
    )
    of_training.update(TAKEN, TRUE)
    of_labels.update(torch.tensor([[1, 0]]), torch.tensor([[1, 1]]))
    accuracy = MulticlassAccuracy(3)
    accuracy.update(TAKEN, TRUE)
    found = read_confusion(module(train_cm=of_training, labels=of_labels, cm=untouched, acc=accuracy))
    assert found == {}
    assert read_confusion(nn.Linear(2, 2)) == {}


def test_processes_are_added_up() -> None:
    metric = MulticlassConfusionMatrix(3)
    metric.update(TAKEN, TRUE)
    calls = []

    def add_up(counts: torch.Tensor) -> torch.Tensor:
        calls.append(counts)
        return 2 * counts

    # asked for in each process, also where it counted nothing: or one would wait for the others for ever
    found = read_confusion(module(a=metric, b=MulticlassConfusionMatrix(3)), add_up)
    assert found == {"a": [[2.0 * n for n in row] for row in COUNTS]}
    assert len(calls) == 2
    assert metric.confmat.sum() == pytest.approx(6)
