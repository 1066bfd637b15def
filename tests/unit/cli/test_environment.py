"""A search that an environment variable asks for: read, let in, and left out where there is one."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from lightning_gammabo import GammaLRSearch
from lightning_gammabo.cli.autoload import GuestSearch
from lightning_gammabo.cli.environment import VARIABLE, callbacks_factory, parse
from lightning_gammabo.trainer.compat import NAMESPACES

QUIET = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}


@pytest.mark.parametrize("text", ["1", " yes ", "True", "on"])
def test_it_can_be_asked_for_as_it_is(text: str) -> None:
    assert parse(text) == {}


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("policy=thesis", {"policy": "thesis"}),
        ("n_iterations=3, seed = 7", {"n_iterations": 3, "seed": 7}),
        ("lr_min=1e-3,lr_max=1", {"lr_min": 1e-3, "lr_max": 1}),
        ("candidates=[1e-3, 0.1, 1]", {"candidates": [1e-3, 0.1, 1]}),
        ("when=[0.3,0.5],n_later=2", {"when": [0.3, 0.5], "n_later": 2}),
        ("when=every", {"when": "every"}),
        ("stop_epoch=null,progress=false", {"stop_epoch": None, "progress": False}),
        ("monitor_loss=123", {"monitor_loss": "123"}),
        ("objective='a,b=c',objective_mode=min", {"objective": "a,b=c", "objective_mode": "min"}),
        ("monitor_loss=val/loss", {"monitor_loss": "val/loss"}),
    ],
)
def test_values_have_the_types_of_the_arguments(text: str, given: dict[str, Any]) -> None:
    found = parse(text)
    assert found == given
    assert {name: type(value) for name, value in found.items()} == {n: type(value) for n, value in given.items()}
    GammaLRSearch(**found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2", r"'2' is no key=value; write '1', or for example 'search=grid,n_iterations=3'"),
        ("seed=1,", r"'' is no key=value"),
        ("seed=", r"'seed=' is no key=value"),
        (
            "n_iteration=3",
            r"no argument 'n_iteration' \(did you mean 'n_iterations'\?\)\. Its arguments are policy, lr_",
        ),
        ("xyz=3", r"no argument 'xyz'\. Its arguments are"),
        ("seed=1,seed=2", r"'seed' is given twice"),
        ("candidates=[1,2", r"a bracket is not closed"),
        ("objective='x", r"a quote is not closed"),
        ("seed={a", r"a bracket is not closed"),
        ("objective=a: b: c", r"objective='a: b: c' is no YAML scalar or list: mapping values are not allowed"),
        ("seed=-1", r"seed=-1: a seed is not negative"),
        ("lr_max=big", r"lr_max='big': need a number"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises((TypeError, ValueError), match=rf"environment variable {VARIABLE}=.*{message}"):
        callbacks_factory()


@pytest.mark.parametrize("text", [None, "", "0", "false", "OFF", "no"])
def test_without_it_there_is_nothing(text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if text is not None:
        monkeypatch.setenv(VARIABLE, text)
    assert callbacks_factory() == []


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_lightning_finds_it(namespace: str) -> None:
    (point,) = entry_points(group=f"{namespace}.callbacks_factory", name="gammabo")
    assert point.load() is callbacks_factory, "the installed package is older: install it again"


def guests(trainer: Any) -> list[GuestSearch]:
    return [callback for callback in trainer.callbacks if isinstance(callback, GuestSearch)]


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_it_comes_in_when_the_trainer_fits(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lightning = pytest.importorskip(namespace)
    boring = importlib.import_module(f"{namespace}.demos.boring_classes")
    monkeypatch.setenv(VARIABLE, "candidates=[0.01],objective=loss,later_share=100")
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
    own = GammaLRSearch(candidates=[0.01], objective="loss")
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


def test_the_factory_is_cheap() -> None:
    """Every Trainer of an environment with this package imports it."""
    code = f"""
import sys
import {callbacks_factory.__module__} as environment
heavy = {{"torch", "lightning", "numpy", "yaml", "botorch", "scipy"}} & set(sys.modules)
assert not heavy, heavy
assert environment.callbacks_factory() == []
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_both_names_ask_for_the_same_factory() -> None:
    lines = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    for namespace in NAMESPACES:
        section = lines.index(f'[project.entry-points."{namespace}.callbacks_factory"]')
        assert lines[section + 1] == 'gammabo = "lightning_gammabo.cli.environment:callbacks_factory"'
