"""A search that comes into a Trainer by itself, and is left out where the user brings one."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from lightning_gammabo import GammaLRSearch, ListSampler
from lightning_gammabo.cli.autoload import AutoloadedSearch
from lightning_gammabo.cli.environment import VARIABLE
from lightning_gammabo.trainer.compat import NAMESPACES

# its validation returns no loss under a name that Lightning knows
pytestmark = pytest.mark.filterwarnings("ignore:.*ranked by a training loss")
QUIET = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}


def guests(trainer: Any) -> list[AutoloadedSearch]:
    return [callback for callback in trainer.callbacks if isinstance(callback, AutoloadedSearch)]


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_it_comes_in_when_the_trainer_fits(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lightning = pytest.importorskip(namespace)
    boring = importlib.import_module(f"{namespace}.demos.boring_classes")
    monkeypatch.setenv(VARIABLE, "sampler=[0.01],objective=loss,policy.when=every")
    trainer = lightning.Trainer(max_epochs=2, limit_train_batches=2, limit_val_batches=1, **QUIET)
    (guest,) = guests(trainer)
    trainer.validate(boring.BoringModel(), verbose=False)
    assert guests(trainer) == [guest]
    for _ in range(2):
        trainer.fit(boring.BoringModel())
        trainer.fit_loop.epoch_progress.reset()
        assert guests(trainer) == []
        assert GammaLRSearch.of(trainer) is guest.search
        assert len(guest.search.history) == 2


@pytest.mark.parametrize("brought_by", ["trainer", "module"])
def test_one_that_is_there_stays_alone(brought_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning.pytorch import Trainer
    from lightning.pytorch.demos.boring_classes import BoringModel

    class Brings(BoringModel):
        def configure_callbacks(self) -> Any:
            return own if brought_by == "module" else []

    monkeypatch.setenv(VARIABLE, "1")
    own = GammaLRSearch(sampler=ListSampler([0.01]), objective="loss")
    trainer = Trainer(
        callbacks=[own] if brought_by == "trainer" else [],
        max_epochs=1,
        limit_train_batches=2,
        limit_val_batches=1,
        **QUIET,
    )
    (guest,) = guests(trainer)
    trainer.fit(Brings())
    assert GammaLRSearch.of(trainer) is own
    assert len(own.history) == 1
    assert len(guest.search.history) == 0
