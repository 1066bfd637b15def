"""Compute, counted in samples: the one measure that is the same for every method.

The counts lie in this module, so that nothing which a search rewinds leads to them: what a candidate trained stays
counted when its weights are thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass

BACKWARD = 3
"""A training sample costs a forward and a backward pass of twice its price; a validated one the forward alone."""


@dataclass
class Samples:
    """Samples seen since the last :meth:`reset`."""

    trained: int = 0
    validated: int = 0

    def reset(self) -> None:
        self.trained = self.validated = 0

    def passes(self, plain: int) -> tuple[float, float]:
        """Cost relative to a plain run that trains on ``plain`` samples: training alone, and with validation."""
        return self.trained / plain, (self.trained + self.validated / BACKWARD) / plain


SAMPLES = Samples()
"""The process's counts."""
