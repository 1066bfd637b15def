"""Runs the Trainer's validation loop for candidates, and keeps validation batches that cannot be read again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lightning_gammabo.trainer.batch_cache import BatchCaches
from lightning_gammabo.trainer.inspection import module_of
from lightning_gammabo.trainer.patch import replaced
from lightning_gammabo.trainer.snapshot.loaders import unreplayable, val_loaders
from lightning_gammabo.trainer.validation_subset import ScoringSet

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["Validation"]


class Validation:
    """The validations of one searched epoch.

    Args:
        trainer: the Trainer, at the start of the epoch.
        scoring: what candidates are scored on.

    Attributes:
        repeatable: whether the user's validation batches can be had again.
    """

    def __init__(self, trainer: Trainer, scoring: ScoringSet) -> None:
        self._trainer = trainer
        self._scoring = scoring
        self._loop: Any = trainer.fit_loop.epoch_loop.val_loop
        self._caches = BatchCaches() if unreplayable(val_loaders(trainer)) is not None else None
        self.repeatable = self._caches is None
        self._tells_nothing = False

    @property
    def share(self) -> float:
        """Share of the user's validation data that one scoring reads."""
        return self._scoring.share if self._trainer.enable_validation and not self._tells_nothing else 0.0

    def note_metrics(self, metrics: dict[str, float]) -> None:
        """A scoring's steps returned no loss: where it logged nothing to rank by it is not repeated in this epoch.

        Args:
            metrics: what it logged.
        """
        self._tells_nothing = not self._scoring.tells(metrics)

    def note_price(self, read: int, trained: float) -> None:
        """Note what a scoring costs.

        Args:
            read: validation samples that it has read.
            trained: training samples of an epoch.
        """
        if trained > 0:
            self._scoring.ratio = read / trained

    def rewind(self) -> None:
        """The epoch begins again."""
        if self._caches is not None:
            self._caches.rewind()

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Let the validations within the block read what the first ones read, where that has to be kept.

        Yields:
            Nothing.
        """
        caches, module = self._caches, module_of(self._loop, "reset")
        if caches is None:
            yield
            return
        select = module._select_data_fetcher

        def select_kept(trainer: Any, *args: Any, **kwargs: Any) -> Any:
            fetcher = select(trainer, *args, **kwargs)
            others = trainer.fit_loop is not self._trainer.fit_loop  # one within a hook
            # a step that takes the iterator itself reads past a fetcher's batches
            unkept = others or self._scoring.active or hasattr(fetcher, "_batch_idx")
            return fetcher if unkept else caches.cache_for(fetcher)

        with replaced(module, "_select_data_fetcher", select_kept):
            yield

    def score(self, before: dict[str, Any]) -> dict[str, float]:
        """Validate the present weights on what candidates are scored on.

        Args:
            before: the callback metrics from before the candidate; what is still the same object was logged earlier.

        Returns:
            The scalars that were logged since.
        """
        connector: Any = self._trainer._logger_connector
        if self._trainer.enable_validation and not self._tells_nothing:
            first = connector._first_loop_iter
            self._trainer.validating = True
            try:
                with self._scoring.read_by(self._trainer):
                    self._loop.run()
            finally:
                self._trainer.training = True
                connector._first_loop_iter = first
        fresh = {k: v for k, v in connector._callback_metrics.items() if v is not before.get(k)}
        return {k: float(v) for k, v in fresh.items() if v.numel() == 1}
