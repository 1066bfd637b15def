from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from lightning_gammabo.vectorised import TrainerFacts, why_not
from tests.vectorised.networks import mlp


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in model.parameters() if not nn.parameter.is_lazy(p)], lr=0.1)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_nothing_forbids_a_plain_module(precision: str) -> None:
    model = mlp()
    assert why_not(model, [sgd(model)], TrainerFacts(precision=precision)) is None


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"automatic": False}, "manual optimisation"),
        ({"precision": "16-mixed"}, "precision='16-mixed'"),
        ({"precision": "bf16-true"}, "precision='bf16-true'"),
        ({"processes": 2}, "2 processes"),
        ({"overridden": ("backward", "optimizer_step")}, "the module overrides backward, optimizer_step"),
        ({"callbacks": ["GradientNoise"]}, "the batch hooks of GradientNoise"),
        ({"compiled": True}, "the module is compiled"),
        ({"loader_iterator": True}, "training_step takes the iterator (dataloader_iter)"),
    ],
)
def test_facts_of_the_trainer(facts: dict[str, Any], reason: str) -> None:
    model = mlp()
    assert why_not(model, [sgd(model)], TrainerFacts(**facts)) == f"cannot be vectorised: {reason}"


def test_optimizers() -> None:
    model = mlp()
    assert why_not(model, [], TrainerFacts()) == "cannot be vectorised: there are 0 optimizers"
    assert why_not(model, [sgd(model)] * 2, TrainerFacts()) == "cannot be vectorised: there are 2 optimizers"
    lbfgs = torch.optim.LBFGS(model.parameters())
    reason = "cannot be vectorised: the optimizer is LBFGS, not torch's SGD, Adam or AdamW"
    assert why_not(model, [lbfgs], TrainerFacts()) == reason


def test_modules() -> None:
    model = mlp()
    optimizer = sgd(model)
    model.net[1] = nn.LazyLinear(16)
    assert why_not(model, [optimizer], TrainerFacts()) == (
        "cannot be vectorised: net.1.weight has no shape yet (a lazy module)"
    )
    model.net[1] = torch.compile(nn.Linear(64, 16))
    assert why_not(model, [optimizer], TrainerFacts()) == "cannot be vectorised: net.1 is compiled"
    model.net[1] = nn.Linear(64, 16)
    model.register_buffer("adjacency", torch.eye(3).to_sparse())
    assert why_not(model, [optimizer], TrainerFacts()) == "cannot be vectorised: adjacency is sparse"
