"""The random number generators that training draws from, taken and put back as one value."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["RngState"]


@dataclass(frozen=True, slots=True)
class RngState:
    """States of the global generators of Python, NumPy, torch and each accelerator in use.

    Args:
        python: ``random.getstate()``.
        numpy: ``numpy.random.get_state()``.
        torch_cpu: ``torch.get_rng_state()``.
        devices: one state for each CUDA device, or the one of MPS; empty where no accelerator is in use.
    """

    python: tuple[Any, ...]
    numpy: tuple[Any, ...]
    torch_cpu: Tensor
    devices: list[Tensor] = field(default_factory=list)

    @classmethod
    def take(cls) -> RngState:
        """The states as they are now.

        Returns:
            A value that later draws do not change.
        """
        numpy_state = np.random.get_state()  # the global generator is what user code draws from
        assert isinstance(numpy_state, tuple)
        return cls(random.getstate(), numpy_state, torch.get_rng_state(), _device_states())

    def restore(self) -> None:
        """Put every generator back to where it was."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.torch_cpu)
        if self.devices and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(self.devices)
        elif self.devices and torch.backends.mps.is_available():
            torch.mps.set_rng_state(self.devices[0])

    def to_plain(self) -> dict[str, Any]:
        """Plain values and tensors, loadable with ``torch.load(weights_only=True)``.

        Returns:
            A dictionary from which :meth:`from_plain` makes an equal state.
        """
        name, keys, position, has_gauss, cached = self.numpy
        return {
            "python": [self.python[0], list(self.python[1]), self.python[2]],
            "numpy": [str(name), [int(k) for k in keys], int(position), int(has_gauss), float(cached)],
            "torch_cpu": self.torch_cpu.clone(),
            "devices": [state.clone() for state in self.devices],
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> RngState:
        """The state that :meth:`to_plain` described.

        Args:
            plain: what :meth:`to_plain` gave.

        Returns:
            An equal state.
        """
        version, internal, gauss = plain["python"]
        name, keys, position, has_gauss, cached = plain["numpy"]
        return cls(
            (version, tuple(internal), gauss),
            (name, np.array(keys, dtype=np.uint32), position, has_gauss, cached),
            plain["torch_cpu"].cpu(),
            [state.cpu() for state in plain["devices"]],
        )

    @classmethod
    @contextmanager
    def kept(cls) -> Iterator[None]:
        """A block that leaves the generators as it found them, also when it raises.

        Yields:
            Nothing.
        """
        state = cls.take()
        try:
            yield
        finally:
            state.restore()


def _device_states() -> list[Tensor]:
    # whether it is initialized is known at once; whether one is there, the driver is asked
    if torch.cuda.is_initialized() and torch.cuda.is_available():  # type: ignore[no-untyped-call]
        return torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        return [torch.mps.get_rng_state()]
    return []
