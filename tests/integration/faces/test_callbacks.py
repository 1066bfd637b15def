"""Code that looks callbacks up while a candidate trains finds the user's own; what they are told is told once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar

from lightning_gammabo import TrialState
from tests.integration.faces.fits import COMMITS, Fit, assert_no_trace, default, one, several
from tests.integration.identity.scenarios import Net

pytestmark = pytest.mark.filterwarnings("ignore")


class Ramp(Callback):
    """A weight of the loss that grows by epoch."""

    beta = 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.beta = min(1.0, self.beta + 0.3)


class Weighs(Net):
    """No exception is possible here: without the callback the loss would be another one."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        beta = sum(c.beta for c in self.trainer.callbacks if isinstance(c, Ramp))
        return super().training_step(batch, batch_idx) * (1 + beta)


class Next(Net):
    """``next`` of nothing would be a StopIteration, which Lightning takes for the end of the data."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        beta = next(c for c in self.trainer.callbacks if isinstance(c, Ramp)).beta
        return super().training_step(batch, batch_idx) * (1 + beta)


@COMMITS
@pytest.mark.parametrize("module", [Weighs, Next])
def test_a_loss_that_a_callback_weighs(module: Any, commit: str) -> None:
    assert_no_trace(commit, module=module, callbacks=lambda: [Ramp()])
    plain, searched = (Fit(module, search, callbacks=lambda: [Ramp()]) for search in (None, default()))
    assert searched.trainer.global_step == plain.trainer.global_step


class Best(Net):
    """Logs the best score so far, which the checkpoint callback holds."""

    def on_validation_epoch_end(self) -> None:
        best = self.trainer.checkpoint_callback.best_model_score
        self.log("best", float(best) if best is not None else 0.0)


@COMMITS
def test_the_checkpoint_callback_s_best_score(tmp_path: Path, commit: str) -> None:
    def saving() -> list[Callback]:
        return [ModelCheckpoint(tmp_path, monitor="val_loss")]

    assert_no_trace(commit, module=Best, callbacks=saving, enable_checkpointing=True)


class Looks(Net):
    """Writes down what there is to find, in every hook that a candidate comes by."""

    seen: ClassVar[set[Any]] = set()

    def _look(self) -> None:
        trainer = self.trainer
        found = (
            tuple(map(id, trainer.callbacks)),
            id(trainer.checkpoint_callback),
            id(trainer.early_stopping_callback),
            id(trainer.progress_bar_callback),
            id(trainer.callbacks),
        )
        Looks.seen.add(found)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self._look()
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        if not self.trainer.sanity_checking:
            self._look()
        return super().validation_step(batch, batch_idx)


@pytest.mark.parametrize("search", [one, default, lambda: several(0.02, commit="replay")])
def test_all_that_the_trainer_holds_is_the_user_s_own(tmp_path: Path, search: Any) -> None:
    Looks.seen.clear()
    bar = TQDMProgressBar(refresh_rate=0)
    fit = Fit(
        Looks,
        search(),
        callbacks=lambda: [ModelCheckpoint(tmp_path), EarlyStopping("val_loss", patience=9), bar],
        enable_checkpointing=True,
        enable_progress_bar=True,
    )
    trainer = fit.trainer
    own = (
        tuple(map(id, trainer.callbacks)),  # type: ignore[attr-defined]
        id(trainer.checkpoint_callback),
        id(trainer.early_stopping_callback),
        id(trainer.progress_bar_callback),
        id(trainer.callbacks),  # type: ignore[attr-defined]
    )
    assert Looks.seen == {own}


class Writes(Net):
    """Steps that write to a callback, and to the Trainer's list of them."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        ramp = next(c for c in self.trainer.callbacks if isinstance(c, Ramp))
        ramp.beta += 0.01
        if batch_idx == 0:
            self.trainer.callbacks.append(Callback())
        return super().training_step(batch, batch_idx) * (1 + ramp.beta)


@COMMITS
def test_what_a_step_writes_to_a_callback_is_put_back(commit: str) -> None:
    assert_no_trace(commit, module=Writes, callbacks=lambda: [Ramp()])
    fit = Fit(Writes, several(0.02, commit="replay"), callbacks=lambda: [Ramp()])
    added = [c for c in fit.trainer.callbacks if type(c) is Callback]  # type: ignore[attr-defined]
    assert len(added) == 3  # one an epoch, as in a plain fit


class SavesInStep(Net):
    folder: Path

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 2:
            self.trainer.save_checkpoint(self.folder / f"{self.current_epoch}.ckpt")
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize("search", [one, default])
def test_a_checkpoint_that_a_step_asks_for_is_that_of_a_plain_fit(tmp_path: Path, search: Any) -> None:
    weights = {}
    for name, mine in (("plain", None), ("searched", search())):
        SavesInStep.folder = tmp_path / name
        fit = Fit(SavesInStep, mine)
        assert len(list(SavesInStep.folder.iterdir())) == 3
        weights[name] = torch.load(SavesInStep.folder / "2.ckpt", weights_only=True)["global_step"]
        assert weights[name] == fit.trainer.global_step - 3
    assert weights["plain"] == weights["searched"]


class Stops(Net):
    """Stops its epochs by an exception, above some rate or always."""

    above = 0.0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 3 and self.trainer.optimizers[0].param_groups[0]["lr"] > self.above:
            raise StopIteration
        return super().training_step(batch, batch_idx)


def test_a_stop_iteration_of_another_rate_s_step_is_no_end_of_the_data() -> None:
    class Above(Stops):
        above = 0.1

    search = several(0.2)
    fit = Fit(Above, search)
    assert fit.differs_from(Fit(Above)) == []
    for record in search.history:
        assert record.results[1].state is TrialState.DIVERGED
        assert "user code raised StopIteration at batch 3" in record.results[1].message


def test_at_the_present_rate_it_is_what_lightning_makes_of_it_and_said() -> None:
    with pytest.warns(UserWarning, match="user code raised StopIteration at batch 3 of epoch 0; Lightning takes it"):
        searched = Fit(Stops, one())
    assert searched.differs_from(Fit(Stops)) == []


def test_an_epoch_that_the_module_ends_by_minus_one_ends_without_a_word(recwarn: Any) -> None:
    class Ends(Net):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 3 else None

    assert_no_trace("copy", module=Ends)
    assert not [w for w in recwarn if "StopIteration" in str(w.message)]
