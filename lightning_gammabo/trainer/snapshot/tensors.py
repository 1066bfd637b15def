"""One tensor's image: its values, its storage, its gradient, put back in place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gammabo.trainer.snapshot.digest import digest

__all__ = ["TensorImage", "hooks_of", "is_finite", "restore_hooks", "restore_tensors", "wrapped_parts"]

_ORDINARY = frozenset((Tensor, nn.Parameter))
_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
_COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


class TensorImage:
    """What one tensor holds; :meth:`hold` copies the values, :meth:`restore` writes them back.

    The image also remembers the tensor's *storage*: a tensor that was pointed elsewhere since (``p.data = other``) is
    pointed back before it is written, so that the other one is not written over.

    A wrapper around other tensors, such as a sharded parameter (``DTensor``), is held part by part: each process holds
    and compares its own shard, and no process waits for another.

    Args:
        tensor: any tensor; a leaf or not, strided, expanded or sparse, sharded (``DTensor``), on any device.
        grads: whether the gradient is remembered; else it is None after :meth:`restore`.
        deferred: whether :meth:`hold` comes later: a digest of the values tells then whether they are still the same.

    Attributes:
        grad: the gradient tensor that was there, or None.
        hooks: the dictionaries that hold its hooks; their entries are the caller's.
        held: whether the values have been copied.
    """

    __slots__ = (
        "_alias", "_digest", "_parts", "_requires_grad", "_tensor", "_values", "_version", "_with_grad",
        "grad", "hooks",
    )  # fmt: skip

    def __init__(self, tensor: Tensor, *, grads: bool = True, deferred: bool = False) -> None:
        self._tensor = tensor
        self.hooks = hooks_of(tensor)
        self._parts: dict[str, TensorImage] = {}
        if type(tensor) not in _ORDINARY:
            wrapped = wrapped_parts(tensor).items()
            self._parts = {name: TensorImage(part, grads=False, deferred=deferred) for name, part in wrapped}
        self._alias = tensor if self._parts else _plain(tensor)  # same storage, at no cost
        self._values: Tensor | None = None
        self._version = _version(tensor)
        # writes through ``.data`` are not counted in the version
        self._digest = digest(self._alias) if deferred and not self._parts else None
        self._requires_grad = tensor.requires_grad
        self._with_grad = tensor.is_leaf
        self.grad: Tensor | None = tensor.grad if grads and self._with_grad else None

    @property
    def key(self) -> int:
        """Identity of the tensor."""
        return id(self._tensor)

    @property
    def held(self) -> bool:
        """Whether the values have been copied."""
        return all(part.held for part in self._parts.values()) if self._parts else self._values is not None

    def hold(self, reuse: TensorImage | None = None) -> bool:
        """Copy the values as they are now.

        Args:
            reuse: an older image of the same tensor whose copy may be written over, which saves an allocation.

        Returns:
            False, and nothing is copied, if the tensor was written since the image was taken.
        """
        if _version(self._tensor) != self._version or not _same_values(self._digest, self._tensor):
            return False
        if self._parts:
            spares = reuse._parts if reuse is not None else {}
            return all(part.hold(spares.get(name)) for name, part in self._parts.items())
        source = _written_part(self._alias)
        spare = reuse._values if reuse is not None else None
        if spare is not None and _same_form(spare, source) and source.layout is torch.strided:
            self._values = spare.copy_(source)
            assert reuse is not None
            reuse._values = None
        else:
            self._values = source.clone()
        return True

    def restore(self) -> None:
        """Write the values back, and the gradient, whether one is asked for, and hooks."""
        restore_tensors([self])

    def lay(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        """Put everything back but plain values.

        Args:
            pairs: gets these: where to copy, and what.
        """
        assert self.held, "hold() comes before restore()"
        tensor = self._tensor
        restore_hooks(tensor, self.hooks)
        if self._parts:
            self._lay_parts(pairs)
        elif self._alias.layout is not torch.strided or self._alias.is_inference():
            self._restore_apart()
        else:
            pairs.append(self._pair())
        if not self._with_grad:
            return
        if not tensor.is_leaf:
            # written in place by something with a graph (``total += loss``); a view is told by its base
            with contextlib.suppress(RuntimeError):
                tensor.detach_()
        if tensor.is_leaf:
            if tensor.requires_grad != self._requires_grad:
                tensor.requires_grad_(self._requires_grad)
            if tensor.grad is not self.grad:
                tensor.grad = self.grad

    def _lay_parts(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        for name, part in self._parts.items():
            present = getattr(self._tensor, name)
            if present is part._tensor:
                part.lay(pairs)
            elif part._values is not None and _same_form(present, part._tensor):
                # FSDP has laid its shard anew (``module.to``) and reads this one from now on
                pairs.append((present, part._values))
            else:
                setattr(self._tensor, name, part._tensor)
                part.lay(pairs)

    def _pair(self) -> tuple[Tensor, Tensor]:
        assert self._values is not None
        if not _same_storage(self._tensor, self._alias):
            self._tensor.data = self._alias
        return _written_part(self._alias), self._values

    def _restore_apart(self) -> None:
        with torch.inference_mode() if self._alias.is_inference() else contextlib.nullcontext():
            if self._alias.layout is torch.strided:
                target, values = self._pair()
                target.copy_(values)
                return
            # a sparse tensor's indices and values are exchanged as it is written: no alias could follow
            assert self._values is not None
            if self._tensor.layout in _COMPRESSED:
                self._tensor.resize_as_sparse_(self._values)
            self._tensor.copy_(self._values)


def restore_tensors(images: Iterable[TensorImage]) -> None:
    """Put tensors back, most of them in one call.

    Args:
        images: their images.
    """
    with torch.no_grad():
        pairs: list[tuple[Tensor, Tensor]] = []
        for image in images:
            image.lay(pairs)
        if pairs:
            targets, values = zip(*pairs, strict=True)
            torch._foreach_copy_(targets, values)


def hooks_of(tensor: Tensor) -> dict[str, Any]:
    """The hooks that are registered on a tensor.

    Args:
        tensor: any tensor.

    Returns:
        The dictionaries that hold them, by attribute.
    """
    return {name: held for name in _HOOKS if (held := getattr(tensor, name, None)) is not None}


def restore_hooks(tensor: Tensor, hooks: Mapping[str, Any]) -> None:
    """Let a tensor have these hooks again.

    Args:
        tensor: the tensor.
        hooks: what :func:`hooks_of` gave; what the dictionaries hold is the caller's.
    """
    for name in _HOOKS:
        if getattr(tensor, name, None) is not hooks.get(name):
            setattr(tensor, name, hooks.get(name))


def is_finite(tensor: Tensor) -> bool:
    """Whether all of a tensor's values, as far as this process holds them, are finite.

    Args:
        tensor: any tensor.

    Returns:
        False if one is infinite or no number.
    """
    parts = wrapped_parts(tensor).values()
    return all(map(is_finite, parts)) if parts else bool(tensor.detach().isfinite().all())


def wrapped_parts(tensor: Tensor) -> dict[str, Tensor]:
    """The tensors that a wrapper holds its values in.

    Args:
        tensor: any tensor.

    Returns:
        The inner tensors by the wrapper's attribute: of a ``DTensor``, the local shard; empty for a tensor that has a
        storage of its own. Source: ``__tensor_flatten__``, PyTorch's protocol of traceable wrapper subclasses.
    """
    flatten = getattr(tensor, "__tensor_flatten__", None)
    attributes = {name: getattr(tensor, name) for name in flatten()[0]} if flatten is not None else {}
    return {name: part for name, part in attributes.items() if isinstance(part, Tensor)}


def _plain(tensor: Tensor) -> Tensor:
    """The same values without graph, past what a subclass makes of torch's functions.

    A subclass in Python (one with labels, say) may have a ``clone`` of its own that leans on attributes; what torch's
    functions make of it lacks them.

    Args:
        tensor: any tensor.

    Returns:
        A tensor on the same storage.
    """
    if type(tensor) in _ORDINARY:
        return tensor.detach()
    with torch.DisableTorchFunctionSubclass():
        return Tensor.detach(tensor)


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _same_values(before: Tensor | None, tensor: Tensor) -> bool:
    return before is None or bool(before == digest(_plain(tensor)))


def _written_part(tensor: Tensor) -> Tensor:
    """The part without repetition: an expanded dimension (stride 0) has one entry in memory.

    Args:
        tensor: any tensor.

    Returns:
        A view of the same storage.
    """
    if tensor.layout is torch.strided and not tensor.is_contiguous():
        for dim, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
            if stride == 0 and size > 1:
                tensor = tensor.narrow(dim, 0, 1)
    return tensor


def _same_form(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.device == b.device and type(a) is type(b)


def _same_storage(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    try:
        return a.data_ptr() == b.data_ptr() and a.stride() == b.stride()
    except RuntimeError:  # a wrapper without storage of its own, such as DTensor
        return True
