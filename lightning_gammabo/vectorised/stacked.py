"""K copies of a module's weights, and one training step for all of them.

The parameters that an optimizer trains lie in one tensor ``K x N``, group after group, so that what an optimizer does
element by element is one operation for all candidates and all parameters.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from lightning_gammabo.vectorised.silence import Silence

__all__ = ["StackedModel", "Step", "Unstackable"]

Context = Callable[[], contextlib.AbstractContextManager[Any]]
_PREFIX = "module."


class Unstackable(RuntimeError):
    """A module does something that cannot be done for several sets of weights at once."""


class Step(nn.Module):
    """A module's ``training_step``, as a function that gives the loss.

    Args:
        module: a module with a ``training_step(batch)`` or ``training_step(batch, batch_idx)``.
        context: entered around the step, such as the precision plugin's ``train_step_context``.
    """

    def __init__(self, module: nn.Module, context: Context = contextlib.nullcontext) -> None:
        super().__init__()
        self.module = module
        self._context = context
        self._indexed = takes_index(module)

    def forward(self, batch: Any, batch_idx: int, given: Mapping[str, Tensor] | None = None) -> Any:
        """One training step.

        Args:
            batch: the batch.
            batch_idx: its number in the epoch.
            given: the buffers as they were put in, by name.

        Returns:
            The loss, a scalar, and the buffers that the step replaced by others, by name.

        Raises:
            Unstackable: if the step gives no loss.
        """
        training_step: Any = self.module.training_step
        with self._context():
            output = training_step(batch, batch_idx) if self._indexed else training_step(batch)
        loss = output.get("loss") if isinstance(output, Mapping) else output
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise Unstackable("training_step gives no loss")
        if not given:
            return loss.reshape(()), {}
        replaced = {name: buffer for name, buffer in self.named_buffers() if buffer is not given.get(name)}
        return loss.reshape(()), replaced


class StackedModel:
    """K copies of a module's trained parameters and of its buffers; all else is shared.

    Args:
        module: the module; nothing is written to it before :meth:`write_back`.
        groups: the parameters to be stacked, group by group, as an optimizer has them.
        candidates: K.
        context: entered around each step.

    Attributes:
        flat: all stacked parameters, ``K x N``.
        columns: the columns of each group.

    Raises:
        Unstackable: if a parameter is not the module's, or they are not all of one kind of number on one device.
    """

    def __init__(
        self,
        module: nn.Module,
        groups: Sequence[Sequence[Tensor]],
        candidates: int,
        *,
        context: Context = contextlib.nullcontext,
    ) -> None:
        self._module = module
        self._parameters = [parameter for group in groups for parameter in group]
        self._places = _places_of(module, self._parameters)
        self._shapes = [parameter.shape for parameter in self._parameters]
        self._sizes = [parameter.numel() for parameter in self._parameters]
        ends = accumulate((sum(p.numel() for p in group) for group in groups), initial=0)
        self.columns = [slice(begin, end) for begin, end in pairwise(ends)]
        with torch.no_grad():
            self.flat = _stacked([parameter.detach() for parameter in self._parameters], candidates)
            self._buffers = _Buffers(module, candidates)
        firsts = {id(buffer): _PREFIX + name for name, buffer in module.named_buffers()}
        self._aliases = {name: firsts[id(buffer)] for name, buffer in _everywhere(module, "named_buffers")}
        self._pending = self._buffers
        self._step = Step(module, context)
        self._silence = Silence(module)

    def gradients(self, batch: Any, batch_idx: int, *, divisor: float = 1.0) -> tuple[Tensor, Tensor]:
        """One forward and backward pass for all candidates.

        The buffers that the step wrote are taken over by :meth:`take_buffers`. Random numbers are drawn once, for all
        candidates the same, as one candidate would draw them.

        Args:
            batch: the batch, on its device; the same for all candidates.
            batch_idx: its number in the epoch.
            divisor: what the loss is divided by before the backward pass.

        Returns:
            Losses, ``K``, undivided; and gradients, ``K x N``.

        Raises:
            Unstackable: if the step makes a buffer that was not there.
        """
        fresh = self._buffers.copy()

        def loss_of(state: list[Tensor], buffers: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            given = {name: state[number] for name, number in self._places.items()}
            given |= {name: buffers[first] for name, first in self._aliases.items()}
            step = functional_call(self._step, given, (batch, batch_idx, buffers), tie_weights=False)
            return cast("tuple[Tensor, dict[str, Tensor]]", step)

        with torch.enable_grad(), self._silence:
            flat = self.flat.detach().requires_grad_()
            rows = zip(torch.split(flat, self._sizes, dim=1), self._shapes, strict=True)
            parts = [part.view(len(flat), *shape) for part, shape in rows]
            losses, replaced = vmap(loss_of, randomness="same")(parts, fresh.views)
            # no candidate's loss depends on another's weights: the gradient of the sum is each one's own
            total = (losses / divisor if divisor != 1.0 else losses).sum()
            (gradients,) = torch.autograd.grad(total, flat)
        fresh.fill(replaced)
        self._pending = fresh
        return losses.detach(), gradients

    def take_buffers(self, alive: Tensor | None = None) -> None:
        """Take over the buffers that the last step wrote.

        Args:
            alive: ``K`` truth values: whose are taken over; None for all.
        """
        if alive is not None:
            self._pending.keep_of(alive, self._buffers)
        self._buffers = self._pending

    def write_back(self, candidate: int) -> None:
        """Write a candidate's parameters and buffers into the module, in place.

        Args:
            candidate: its number, from 0.
        """
        with torch.no_grad():
            for parameter, values in zip(self._parameters, self.of_candidate(self.flat, candidate), strict=True):
                parameter.copy_(values)
            present = dict(self._module.named_buffers())
            for name, values in self.buffers_of(candidate).items():
                present[name].copy_(values)

    def buffers_of(self, candidate: int) -> dict[str, Tensor]:
        """Copies of a candidate's buffers.

        Args:
            candidate: its number, from 0.

        Returns:
            The buffers by the module's names.
        """
        return {name.removeprefix(_PREFIX): rows[candidate].clone() for name, rows in self._buffers.views.items()}

    def of_candidate(self, flat: Tensor, candidate: int) -> list[Tensor]:
        """A candidate's row of a tensor that lies as :attr:`flat` does, cut into parameters.

        Args:
            flat: ``K x N``.
            candidate: its number, from 0.

        Returns:
            One view for each parameter, in the order of the groups.
        """
        return list(map(Tensor.view, torch.split(flat[candidate], self._sizes), self._shapes))


class _Buffers:
    """K copies of a module's buffers, one tensor for each kind of number, and views of it by name.

    A buffer that stands under several names is stacked once.

    Each buffer's copies lie side by side, ``K * n`` numbers: a view of rows that are further apart would be copied
    within batch normalisation, and what it writes to its running statistics lost.
    """

    def __init__(self, module: nn.Module, candidates: int) -> None:
        kinds: dict[Any, list[tuple[str, Tensor]]] = {}
        for name, buffer in module.named_buffers():
            kinds.setdefault((buffer.dtype, buffer.device), []).append((_PREFIX + name, buffer.detach()))
        self._names = [[name for name, _ in kind] for kind in kinds.values()]
        self._shapes = [[(candidates, *buffer.shape) for _, buffer in kind] for kind in kinds.values()]
        self._lay([torch.cat([_stacked([b], candidates).reshape(-1) for _, b in kind]) for kind in kinds.values()])

    def _lay(self, flats: list[Tensor]) -> None:
        self._flats = flats
        self.views: dict[str, Tensor] = {}
        for names, shapes, flat in zip(self._names, self._shapes, flats, strict=True):
            begin = 0
            for name, shape in zip(names, shapes, strict=True):
                end = begin + math.prod(shape)
                # one view by itself: those that `split` gives may not be written to in place
                self.views[name] = flat[begin:end].view(shape)
                begin = end

    def copy(self) -> _Buffers:
        other = object.__new__(_Buffers)
        other._names, other._shapes = self._names, self._shapes
        other._lay([flat.clone() for flat in self._flats])
        return other

    def keep_of(self, alive: Tensor, before: _Buffers) -> None:
        """Give the rows of those that are not alive the values from before."""
        for name, rows in self.views.items():
            mask = alive.view(-1, *[1] * (rows.ndim - 1))
            rows.copy_(torch.where(mask, rows, before.views[name]))

    def fill(self, replaced: Mapping[str, Tensor]) -> None:
        for name, values in replaced.items():
            if name not in self.views or values.shape != self.views[name].shape:
                raise Unstackable(f"training_step makes the buffer {name.removeprefix(_PREFIX)} anew")
            self.views[name].copy_(values)


def takes_index(module: nn.Module) -> bool:
    """Whether a module's ``training_step`` is given the batch's number, as Lightning would give it.

    Args:
        module: the module.

    Returns:
        True where it has a parameter ``batch_idx``, two parameters, or takes any number of them.
    """
    training_step: Any = module.training_step
    parameters = inspect.signature(training_step).parameters
    variadic = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters.values())
    return "batch_idx" in parameters or variadic or len(parameters) >= 2


def _places_of(module: nn.Module, parameters: Sequence[Tensor]) -> dict[str, int]:
    # a parameter that is tied stands under several names
    numbers = {id(parameter): number for number, parameter in enumerate(parameters)}
    named = _everywhere(module, "named_parameters")
    places = {name: numbers[id(parameter)] for name, parameter in named if id(parameter) in numbers}
    if set(places.values()) != set(numbers.values()):
        raise Unstackable("the optimizer trains parameters that are not the module's")
    kinds = {(parameter.dtype, parameter.device) for parameter in parameters}
    if len(kinds) != 1 or not next(iter(kinds))[0].is_floating_point:
        raise Unstackable("the parameters are not all of one kind of number on one device")
    return places


def _everywhere(module: nn.Module, kind: str) -> Iterator[tuple[str, Tensor]]:
    """Each attribute of each module that holds a parameter or a buffer, once.

    A tensor may be an attribute of several modules, and is exchanged in all. A module may stand under several names,
    and takes part under one: exchanged twice, it would be given back the wrong tensor.

    Args:
        module: the root.
        kind: ``named_parameters`` or ``named_buffers``.

    Yields:
        Names as within :class:`Step`, and tensors.
    """
    for path, part in module.named_modules(prefix=_PREFIX.rstrip(".")):
        for name, tensor in getattr(part, kind)(recurse=False, remove_duplicate=False):
            yield f"{path}.{name}", tensor


def _stacked(tensors: Sequence[Tensor], candidates: int) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors]).expand(candidates, -1).clone()
