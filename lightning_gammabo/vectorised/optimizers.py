"""SGD, Adam and AdamW for K candidates at once, each at its own rate: torch's own formulas, on stacked tensors.

A state that has already accumulated (momentum, first and second moments, the number of steps) is copied from the torch
optimizer, and a candidate's is written back into it.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["StackedOptimizer", "clip", "unsupported"]

_KINDS = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)


class StackedOptimizer:
    """The update rule of a torch optimizer, for K candidates.

    Args:
        optimizer: a torch ``SGD``, ``Adam`` or ``AdamW``; nothing is written to it before :meth:`write_back`.
        flat: the stacked parameters, ``K x N``, group after group; written to in place.
        columns: the columns of each group.

    Raises:
        ValueError: if the optimizer is another, see :func:`unsupported`.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, flat: Tensor, columns: Sequence[slice]) -> None:
        reason = unsupported(optimizer)
        if reason is not None:
            raise ValueError(f"StackedOptimizer: {reason}; train one candidate after the other")
        kind = _SGD if type(optimizer) is torch.optim.SGD else _Adam
        self._groups: list[_Group] = [
            kind(optimizer, group, flat[:, part]) for group, part in zip(optimizer.param_groups, columns, strict=True)
        ]
        self._columns = list(columns)

    def step(self, gradients: Tensor, rates: Sequence[Sequence[float]]) -> None:
        """One step.

        Args:
            gradients: ``K x N``.
            rates: each candidate's rate for each group, ``K x groups``.
        """
        for number, (group, part) in enumerate(zip(self._groups, self._columns, strict=True)):
            group.update(gradients[:, part], [float(row[number]) for row in rates])

    def write_back(self, candidate: int) -> None:
        """Write a candidate's state into the torch optimizer's, in place.

        Args:
            candidate: its number, from 0.
        """
        with torch.no_grad():
            for group in self._groups:
                group.write_back(candidate)


class _Group(abc.ABC):
    """One parameter group: ``params`` is a view ``K x n`` of the stacked parameters."""

    def __init__(self, optimizer: torch.optim.Optimizer, group: dict[str, Any], params: Tensor) -> None:
        self._optimizer = optimizer
        self._group = group
        self._params = params

    @abc.abstractmethod
    def update(self, grad: Tensor, rates: list[float]) -> None: ...

    @abc.abstractmethod
    def write_back(self, candidate: int) -> None: ...

    def _state(self, name: str) -> Tensor | None:
        # all of a group's parameters have it, or none (see `unsupported`)
        held = [_state_of(self._optimizer, p).get(name) for p in self._members]
        present = [tensor.detach().reshape(-1) for tensor in held if tensor is not None]
        if not present:
            return None
        row = torch.cat(present)
        return row.expand(len(self._params), -1).clone()

    def _write(self, name: str, row: Tensor) -> None:
        begin = 0
        for parameter in self._members:
            values = row[begin : begin + parameter.numel()].view(parameter.shape)
            begin += parameter.numel()
            state = self._optimizer.state[parameter]
            if state.get(name) is None:
                state[name] = torch.empty_like(parameter, memory_format=torch.preserve_format)
            state[name].copy_(values)

    @property
    def _members(self) -> list[Tensor]:
        members: list[Tensor] = self._group["params"]
        return members

    def _column(self, values: list[float]) -> Tensor:
        # reckoned in double precision and rounded once, as where torch is given a Python number
        return torch.tensor(values, dtype=self._params.dtype, device=self._params.device).unsqueeze(1)

    def _signed(self, grad: Tensor) -> Tensor:
        return -grad if self._group["maximize"] else grad


class _SGD(_Group):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._momentum = self._state("momentum_buffer") if self._group["momentum"] != 0 else None

    def update(self, grad: Tensor, rates: list[float]) -> None:
        group, grad = self._group, self._signed(grad)
        if group["weight_decay"] != 0:
            grad = grad.add(self._params, alpha=group["weight_decay"])
        if group["momentum"] != 0:
            if self._momentum is None:
                self._momentum = grad.clone()
            else:
                self._momentum.mul_(group["momentum"]).add_(grad, alpha=1 - group["dampening"])
            grad = grad.add(self._momentum, alpha=group["momentum"]) if group["nesterov"] else self._momentum
        self._params.addcmul_(self._column(rates), grad, value=-1)

    def write_back(self, candidate: int) -> None:
        if self._momentum is not None:
            self._write("momentum_buffer", self._momentum[candidate])


class _Adam(_Group):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        first, second = self._state("exp_avg"), self._state("exp_avg_sq")
        self._first = first if first is not None else torch.zeros_like(self._params)
        self._second = second if second is not None else torch.zeros_like(self._params)
        self._steps = _steps(self._optimizer, self._group)
        self._decoupled = self._group.get("decoupled_weight_decay", type(self._optimizer) is torch.optim.AdamW)

    def update(self, grad: Tensor, rates: list[float]) -> None:
        group, grad = self._group, self._signed(grad)
        decay, (beta1, beta2) = group["weight_decay"], group["betas"]
        self._steps += 1
        if decay != 0 and self._decoupled:
            self._params.mul_(self._column([1 - rate * decay for rate in rates]))
        elif decay != 0:
            grad = grad.add(self._params, alpha=decay)
        self._first.lerp_(grad, 1 - beta1)
        self._second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        size = self._column([rate / (1 - beta1**self._steps) for rate in rates])
        denominator = (self._second.sqrt() / (1 - beta2**self._steps) ** 0.5).add_(group["eps"])
        self._params.addcdiv_(self._first * size, denominator, value=-1)

    def write_back(self, candidate: int) -> None:
        self._write("exp_avg", self._first[candidate])
        self._write("exp_avg_sq", self._second[candidate])
        for parameter in self._members:
            state = self._optimizer.state[parameter]
            if isinstance(state.get("step"), Tensor):
                state["step"].fill_(float(self._steps))
            else:
                state["step"] = _step_tensor(self._group, parameter, self._steps)


def unsupported(optimizer: object) -> str | None:
    """Why an optimizer has no stacked form.

    Args:
        optimizer: the optimizer.

    Returns:
        The reason, or None if it has one.
    """
    name = type(optimizer).__name__
    if type(optimizer) not in _KINDS:
        return f"the optimizer is {name}, not torch's SGD, Adam or AdamW"
    assert isinstance(optimizer, torch.optim.Optimizer)
    for group in optimizer.param_groups:
        for option in ("amsgrad", "differentiable"):
            if group.get(option):
                return f"{name}({option}=True) has no stacked form"
        if any(isinstance(value, Tensor) for key, value in group.items() if key not in ("lr", "params")) or any(
            isinstance(beta, Tensor) for beta in group.get("betas", ())
        ):
            return f"{name} has a tensor among its settings"
        if len({_progress(optimizer, parameter) for parameter in group["params"]}) > 1:
            return f"{name} has stepped some parameters more often than others"
    return None


def clip(gradients: Tensor, value: float | None, algorithm: str | None) -> Tensor:
    """Each candidate's gradients clipped, as the Trainer's ``gradient_clip_val`` has it.

    Args:
        gradients: ``K x N``.
        value: the largest norm, or the largest size of an element; None or 0 for no clipping.
        algorithm: ``norm`` (the default) or ``value``.

    Returns:
        The clipped gradients; an input that is not clipped is given as it is.
    """
    if value is None or float(value) <= 0:
        return gradients
    if algorithm == "value":
        return gradients.clamp(-float(value), float(value))
    norms = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
    shrink: Tensor = (float(value) / (norms + 1e-6)).clamp(max=1.0)
    return gradients * shrink


def _progress(optimizer: torch.optim.Optimizer, parameter: Tensor) -> Any:
    state = _state_of(optimizer, parameter)
    present = frozenset(name for name, value in state.items() if value is not None)
    return present, float(state["step"]) if "step" in present else None


def _steps(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> int:
    return max((int(_state_of(optimizer, parameter).get("step", 0)) for parameter in group["params"]), default=0)


def _state_of(optimizer: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Any]:
    # asking the dictionary itself would make an entry
    state: dict[str, Any] = optimizer.state.get(parameter, {})
    return state


def _step_tensor(group: dict[str, Any], parameter: Tensor, steps: int) -> Tensor:
    # as torch makes it at its first step
    fused, on_device = bool(group.get("fused")), bool(group.get("fused") or group.get("capturable"))
    wide = torch.get_default_dtype() is torch.float64 and not fused
    kind = torch.float64 if wide else torch.float32
    return torch.tensor(float(steps), dtype=kind, device=parameter.device if on_device else "cpu")
