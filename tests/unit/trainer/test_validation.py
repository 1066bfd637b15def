"""A validation that is run for a candidate: what it tells, and that the Trainer is left as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from lightning_gammabo.trainer.inspection import module_of
from lightning_gammabo.trainer.validation import Validation
from lightning_gammabo.trainer.validation_subset import ScoringSet
from tests.helpers.trainers import AtTheSecondEpoch, trainer_of
from tests.integration.identity.fingerprint import plain
from tests.integration.identity.scenarios import TRAIN, VAL, LiveGenerator, Net

pytestmark = pytest.mark.filterwarnings("ignore")

Check = Callable[[Any, Validation], None]


def within_a_fit(check: Check, val: Any = None, module: Net | None = None, **options: Any) -> None:
    def begun(trainer: Any, _: Any) -> None:
        check(trainer, Validation(trainer, ScoringSet(None, None, seed=0)))

    caller = AtTheSecondEpoch(begun)
    loader = val if val is not None else DataLoader(VAL, 10)
    trainer_of(caller, **options).fit(module or Net(), DataLoader(TRAIN, 8), loader)
    assert caller.told == 1


def test_it_tells_the_scalars_that_were_logged_since() -> None:
    def check(trainer: Any, validation: Validation) -> None:
        module = trainer.lightning_module
        before = dict(trainer.callback_metrics)
        with torch.no_grad():
            module.eval()
            losses = [float(module.loss(batch)) for batch in DataLoader(VAL, 10)]
            module.train()
        scores = validation.score(before)
        assert set(scores) == {"val_loss", "val_acc"}
        assert scores["val_loss"] == pytest.approx(sum(losses) / 2)
        assert validation.share == 1.0
        assert validation.repeatable

    within_a_fit(check)


def test_the_trainer_trains_on_where_the_validation_raises() -> None:
    class Raises(Net):
        armed = False

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            if self.armed:
                raise RuntimeError("boom")
            return super().validation_step(batch, batch_idx)

    module = Raises()

    def check(trainer: Any, validation: Validation) -> None:
        module.armed = True
        first = trainer._logger_connector._first_loop_iter
        with pytest.raises(RuntimeError, match="boom"):
            validation.score({})
        assert trainer.training
        assert trainer._logger_connector._first_loop_iter is first
        module.armed = False

    within_a_fit(check, module=module)


def test_where_the_user_validates_nothing_there_is_nothing_to_tell() -> None:
    def check(trainer: Any, validation: Validation) -> None:
        assert validation.share == 0.0
        assert validation.score(dict(trainer.callback_metrics)) == {}

    within_a_fit(check, limit_val_batches=0)


def test_batches_that_come_once_are_kept_for_every_validation_of_the_epoch() -> None:
    class Sees(Net):
        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            super().validation_step(batch, batch_idx)
            seen.append(plain(batch))

    seen: list[Any] = []

    def check(trainer: Any, validation: Validation) -> None:
        assert not validation.repeatable
        module = module_of(trainer.fit_loop.epoch_loop.val_loop, "reset")
        select = module._select_data_fetcher
        runs = []
        for _ in range(2):
            seen.clear()
            validation.rewind()
            with validation.kept():
                validation.score({})
            runs.append(list(seen))
        assert len(runs[0]) == 5
        assert runs[0] == runs[1]
        assert module._select_data_fetcher is select

    within_a_fit(check, val=LiveGenerator(), module=Sees())
