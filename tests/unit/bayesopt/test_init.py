"""BoTorch is imported when it is needed and not before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lightning_gammabo.bayesopt as room

QUIET = """
import math, sys, types
room = types.ModuleType("lightning_gammabo")  # the room alone: its neighbours import Lightning, which takes long
room.__path__ = [PATH]
sys.modules["lightning_gammabo"] = room
from lightning_gammabo.bayesopt import BayesOpt, LearningRateSpace, make_search
def imported():
    return [name for name in ("botorch", "gpytorch", "linear_operator", "scipy", "lightning") if name in sys.modules]
for kind in ("gamma", "gamma_thesis", "gaussian", "grid", "random", "sobol"):
    search = make_search(kind, LearningRateSpace(1e-3, 0.5), seed=0, n_initial=4, n_trials=4)
    for _ in range(4):
        trial = search.ask()
        search.tell(trial, -math.log10(trial.lr) ** 2)
assert not imported(), imported()
search = make_search("gamma", LearningRateSpace(1e-3, 0.5), seed=0, n_initial=1, n_trials=4)
search.tell(search.ask(), 1.0)
search.ask()
assert "botorch" in imported() and "lightning" not in imported(), imported()
"""


def test_botorch_is_imported_when_a_model_is_first_asked() -> None:
    code = QUIET.replace("PATH", repr(str(Path(room.__file__).parents[1])))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there() -> None:
    for name in room.__all__:
        found = getattr(room, name)
        assert getattr(found, "__name__", name) == name
        assert name in dir(room)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        room.Nothing  # noqa: B018
