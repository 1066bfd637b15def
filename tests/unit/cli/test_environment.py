"""A search that an environment variable asks for: what is read, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from lightning_gammabo import GammaLRSearch, SearchPolicy
from lightning_gammabo.cli.environment import VARIABLE, callbacks_factory, parse
from lightning_gammabo.trainer.compat import NAMESPACES


@pytest.mark.parametrize("text", ["1", " yes ", "True", "on"])
def test_it_can_be_asked_for_as_it_is(text: str) -> None:
    assert parse(text) == {}


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("policy=thesis", {"policy": "thesis"}),
        ("max_lr=3, seed = 7", {"max_lr": 3, "seed": 7}),
        ("min_lr=1e-3,max_lr=1", {"min_lr": 1e-3, "max_lr": 1}),
        (
            "policy.when=[0.3,0.5],policy.later_candidates=2",
            {"policy": SearchPolicy(when=[0.3, 0.5], later_candidates=2)},
        ),
        ("policy=once, policy.first_model=1", {"policy": SearchPolicy(base="once", first_model=1)}),
        ("policy.base=thesis", {"policy": SearchPolicy(base="thesis")}),
        ("report=null,progress=false", {"report": None, "progress": False}),
        ("monitor_loss=123", {"monitor_loss": "123"}),
        ("objective='a,b=c',mode=min", {"objective": "a,b=c", "mode": "min"}),
        ("monitor_loss=val/loss", {"monitor_loss": "val/loss"}),
    ],
)
def test_values_have_the_types_of_the_arguments(text: str, given: dict[str, Any]) -> None:
    found = parse(text)
    assert found == given
    assert {name: type(value) for name, value in found.items()} == {n: type(value) for n, value in given.items()}
    GammaLRSearch(**found)


def test_a_list_for_the_sampler_is_a_list_of_rates() -> None:
    assert parse("sampler=[1e-3, 0.1, 1]")["sampler"].rates == [1e-3, 0.1, 1.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2", r"'2' is no key=value; write '1', or for example 'sampler=grid,max_lr=0.5'"),
        ("seed=1,", r"'' is no key=value"),
        ("seed=", r"'seed=' is no key=value"),
        (
            "policy.first_models=3",
            r"no argument 'policy.first_models' \(did you mean 'policy.first_model'\?\)\. Its arguments are policy, ",
        ),
        ("xyz=3", r"no argument 'xyz'\. Its arguments are"),
        ("seed=1,seed=2", r"'seed' is given twice"),
        ("sampler=[1,2", r"a bracket is not closed"),
        ("objective='x", r"a quote is not closed"),
        ("seed={a", r"a bracket is not closed"),
        ("objective=a: b: c", r"objective='a: b: c' is no YAML scalar or list: mapping values are not allowed"),
        ("seed=-1", r"seed=-1: a seed is not negative"),
        ("max_lr=big", r"max_lr='big': need a number"),
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
