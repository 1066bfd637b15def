"""Watches an epoch that is trained natively: whether its loss, and its validation at the end, are sane."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lightning_gammabo.records import Outcome, TrialState
from lightning_gammabo.trainer.hook_dispatch import these_called_too
from lightning_gammabo.trainer.isolation import Isolation
from lightning_gammabo.trainer.monitor import MONITORED, CandidateMonitor, Diverged, mean_loss
from lightning_gammabo.trainer.patch import replaced
from lightning_gammabo.trainer.snapshot.tensors import is_finite
from lightning_gammabo.trainer.snapshot.trainer_state import TrainerState

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["Sane", "Watch"]

SUSPICIOUS = 1.5
"""an epoch whose training loss ends so many times above that of its search is validated before it is kept"""

Sane = Callable[[Outcome], bool]


class Watch:
    """Raises where an epoch's loss, or its validation at the end, is not sane.

    Args:
        trainer: the Trainer, at the start of the epoch.
        isolation: where the end is validated unseen.
        sane: says of the epoch's end, validated, whether it is to be kept; None to keep what is finite.
        take_state: takes the state that a validation may change; None where validation data cannot be read twice.
    """

    def __init__(
        self, trainer: Trainer, isolation: Isolation, sane: Sane | None, take_state: Callable[[], TrainerState] | None
    ) -> None:
        self._trainer = trainer
        self._isolation = isolation
        self._sane = sane
        self._take_state = take_state

    @contextlib.contextmanager
    def over(self, searched: Sequence[Tensor]) -> Iterator[None]:
        """Watch the epoch that is trained within the block.

        Args:
            searched: training losses that the chosen candidate had; empty where there was no search.

        Yields:
            Nothing.

        Raises:
            Diverged: on all ranks at the same step.
        """
        loop: Any = self._trainer.fit_loop.epoch_loop
        monitor = self._isolation.monitor()
        native = loop.on_advance_end

        def checked_end(fetcher: Any) -> None:
            if loop.done and not self._ends_sanely(monitor, searched):
                raise Diverged("the epoch's end is not sane")
            native(fetcher)

        with these_called_too(self._trainer, [(monitor, MONITORED)]), replaced(loop, "on_advance_end", checked_end):
            yield

    def _ends_sanely(self, monitor: CandidateMonitor, searched: Sequence[Tensor]) -> bool:
        monitor.check()
        # the last step's loss is of the weights before it
        trained = (p for p in self._trainer.lightning_module.parameters() if p.requires_grad)
        if not self._all(all(map(is_finite, trained))):
            return False
        if self._sane is None or self._take_state is None or not self._looks_exploded(monitor, searched):
            return True
        state = self._take_state()
        try:
            with self._isolation.entered() as ended:
                metrics = self._isolation.score()
                outcome = self._isolation.outcome(TrialState.COMPLETE, ended, metrics)
        finally:
            state.restore()
        return self._all(self._sane(outcome))

    def _looks_exploded(self, monitor: CandidateMonitor, searched: Sequence[Tensor]) -> bool:
        # a validation is worth its cost only where the training loss has risen since the winner's first steps
        first, last = mean_loss(searched), monitor.train_loss
        risen = first is not None and last is not None and last > SUSPICIOUS * first
        return not self._all(not risen)

    def _all(self, flag: bool) -> bool:
        return bool(self._trainer.strategy.reduce_boolean_decision(flag, all=True))
