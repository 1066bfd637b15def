from __future__ import annotations

import pytest
import torch
from torch import nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from lightning_gammabo.vectorised.silence import Silence
from tests.vectorised.networks import Classifier, mlp


class Parent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.child = mlp()
        self.accuracy = MulticlassAccuracy(2)
        self.collection = MetricCollection({"one": MulticlassAccuracy(2)}, prefix="train_")


def test_nothing_is_logged_and_nothing_taken_in() -> None:
    parent = Parent()
    before = [sorted(vars(part)) for part in parent.modules()]
    parent.accuracy.update(torch.tensor([1, 1]), torch.tensor([1, 0]))
    values, labels = torch.tensor([1]), torch.tensor([1])
    silence = Silence(parent)
    with silence, silence:  # a step inside a check
        assert parent.child.log("x", 1.0) is None
        assert parent.child.log_dict({"x": 1.0}) is None
        assert float(parent.accuracy(values, labels)) == 0.0
        assert float(parent.accuracy.compute()) == 0.0
        assert parent.accuracy.reset() is parent.accuracy.update(values, labels) is None
        assert list(parent.collection(values, labels)) == ["train_one"]
    with pytest.raises(KeyError), silence:
        raise KeyError
    assert [sorted(vars(part)) for part in parent.modules()] == before
    assert float(parent.accuracy.compute()) == 0.5
    assert parent.child.log.__func__ is Classifier.log
