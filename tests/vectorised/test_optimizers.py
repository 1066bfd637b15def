"""Stacked update rules against torch's own, step by step, from fresh and from accumulated state."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_gammabo.vectorised.optimizers import StackedOptimizer, clip, unsupported

SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "sgd": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.9}),
    "momentum, weight decay": (SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    "nesterov": (SGD, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    "dampening": (SGD, {"momentum": 0.8, "dampening": 0.3}),
    "maximize": (SGD, {"momentum": 0.8, "maximize": True, "weight_decay": 0.1}),
    "adam": (Adam, {}),
    "adam, weight decay": (Adam, {"weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-4}),
    "adam, maximize": (Adam, {"maximize": True, "weight_decay": 0.1}),
    "adam, foreach": (Adam, {"weight_decay": 0.1, "foreach": True}),
    "adam, fused": (Adam, {"weight_decay": 0.1, "fused": True}),
    "adamw": (AdamW, {}),
    "adamw, weight decay": (AdamW, {"weight_decay": 0.3, "betas": (0.5, 0.9)}),
}
RATES = ((0.1, 0.01), (0.003, 0.3), (1.0, 0.0))
"""of three candidates, for two groups"""
COLUMNS = [slice(0, 6), slice(6, 10)]


def make(kind: Any, options: dict[str, Any], *, warm: int) -> Any:
    """An optimizer of two groups, of shapes (2, 3) and (4,), that has made ``warm`` steps."""
    generator = torch.Generator().manual_seed(3)
    first = nn.Parameter(torch.randn(2, 3, generator=generator))
    second = nn.Parameter(torch.randn(4, generator=generator))
    optimizer = kind([{"params": [first]}, {"params": [second], "weight_decay": 0.02}], lr=0.05, **options)
    for _ in range(warm):
        for parameter in (first, second):
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return optimizer


def members(optimizer: Any) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def row(optimizer: Any) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in members(optimizer)])


def step_alone(optimizer: Any, gradient: Tensor, rates: Any) -> None:
    for parameter, part in zip(members(optimizer), COLUMNS, strict=True):
        parameter.grad = gradient[part].view(parameter.shape).clone()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    optimizer.step()


@pytest.mark.parametrize("warm", [0, 3])
@pytest.mark.parametrize("case", CASES)
def test_each_step_is_torchs(case: str, warm: int) -> None:
    optimizer = make(*CASES[case], warm=warm)
    alone = [copy.deepcopy(optimizer) for _ in RATES]
    flat = row(optimizer).expand(3, -1).clone()
    stacked = StackedOptimizer(optimizer, flat, COLUMNS)
    generator = torch.Generator().manual_seed(4)
    for _ in range(5):
        gradients = torch.randn(3, 10, generator=generator)
        stacked.step(gradients, RATES)
        for candidate, reference in enumerate(alone):
            step_alone(reference, gradients[candidate], RATES[candidate])
            # single precision: a few roundings of numbers near 1
            torch.testing.assert_close(flat[candidate], row(reference), rtol=2e-6, atol=1e-6)

    for candidate, reference in enumerate(alone):
        stacked.write_back(candidate)
        ours, theirs = optimizer.state_dict()["state"], reference.state_dict()["state"]
        torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=1e-6)
        # the state is one that torch goes on from
        going_on = copy.deepcopy(optimizer)
        for parameter, values in zip(members(going_on), torch.split(flat[candidate], [6, 4]), strict=True):
            parameter.data.copy_(values.view(parameter.shape))
        for one in (going_on, reference):
            step_alone(one, gradients[candidate], RATES[candidate])
        torch.testing.assert_close(row(going_on), row(reference), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("case", ["momentum", "adam"])
def test_state_is_written_into_the_tensors_that_are_there(case: str) -> None:
    optimizer = make(*CASES[case], warm=2)
    held = [value for parameter in members(optimizer) for value in optimizer.state[parameter].values()]
    before = [value.clone() for value in held]
    stacked = StackedOptimizer(optimizer, row(optimizer).expand(2, -1).clone(), COLUMNS)
    stacked.step(torch.ones(2, 10), [(0.1, 0.1), (0.2, 0.2)])
    assert all(map(torch.equal, held, before)), "nothing is written before write_back"

    stacked.write_back(1)
    now = [value for parameter in members(optimizer) for value in optimizer.state[parameter].values()]
    assert all(one is other for one, other in zip(held, now, strict=True))
    assert not any(map(torch.equal, held, before))


def test_adams_first_step_by_hand() -> None:
    parameter = nn.Parameter(torch.tensor([1.0]))
    flat = torch.tensor([[1.0], [1.0]])
    StackedOptimizer(Adam([parameter]), flat, [slice(0, 1)]).step(torch.tensor([[5.0], [-7.0]]), [[0.1], [0.01]])
    # whatever the gradient's size, Adam's first step is the rate
    torch.testing.assert_close(flat, torch.tensor([[0.9], [1.01]]))


def uneven() -> Any:
    optimizer = make(Adam, {}, warm=0)
    optimizer.param_groups[0]["params"].append(nn.Parameter(torch.zeros(2)))
    members(optimizer)[0].grad = torch.ones(2, 3)
    optimizer.step()
    return optimizer


class OwnSGD(SGD):
    pass


ONE = [nn.Parameter(torch.zeros(1))]


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        (torch.optim.RMSprop(ONE), "the optimizer is RMSprop, not torch's SGD, Adam or AdamW"),
        (OwnSGD(ONE, lr=0.1), "the optimizer is OwnSGD, not torch's SGD, Adam or AdamW"),
        (Adam(ONE, amsgrad=True), r"Adam\(amsgrad=True\) has no stacked form"),
        (AdamW(ONE, differentiable=True), r"AdamW\(differentiable=True\) has no stacked form"),
        (SGD(ONE, lr=0.1, weight_decay=torch.tensor(0.1)), "SGD has a tensor among its settings"),  # type: ignore[arg-type]
        (uneven(), "Adam has stepped some parameters more often than others"),
    ],
)
def test_what_has_no_stacked_form(optimizer: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^StackedOptimizer: {reason}; train one candidate after the other$"):
        StackedOptimizer(optimizer, torch.zeros(2, 1), [slice(0, 1)])


def test_a_rate_may_be_a_tensor() -> None:
    assert unsupported(Adam(ONE, lr=torch.tensor(0.1), foreach=False, capturable=True)) is None


@pytest.mark.parametrize("value", [None, 0, 0.0])
def test_no_clipping(value: float | None) -> None:
    gradients = torch.randn(2, 5)
    assert clip(gradients, value, None) is gradients


@pytest.mark.parametrize("value", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("algorithm", [None, "norm", "value"])
def test_clipping_is_torchs(value: float, algorithm: str | None) -> None:
    gradients = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([[0.1], [1.0], [100.0]])
    clipped = clip(gradients, value, algorithm)
    for mine, unclipped in zip(clipped, gradients, strict=True):
        parts = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))]
        parts[0].grad, parts[1].grad = unclipped[:2].clone(), unclipped[2:].clone()
        if algorithm == "value":
            nn.utils.clip_grad_value_(parts, value)
        else:
            nn.utils.clip_grad_norm_(parts, value)
        torch.testing.assert_close(mine, torch.cat([parts[0].grad, parts[1].grad]))
