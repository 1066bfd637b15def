"""Files from an untrusted place run no code: checkpoints and histories are plain values, read as such."""

from __future__ import annotations

import ast
import io
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_gammabo.policy import POLICIES
from tests.helpers.searching import gamma_search
from tests.helpers.trainers import loaders, trainer_of
from tests.integration.identity.scenarios import Net

PACKAGE = Path(__file__).parents[3] / "lightning_gammabo"
RUNS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "runpy", "subprocess"}
CALLS = {"eval", "exec", "compile", "__import__"}
PICKLES = {
    # copies schedulers within the process, by the bytes that it has just made itself
    "learning_rate/shadow.py",
}
YAML_MAY = {"safe_load", "safe_dump", "YAMLError"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [name for name in names if name.split(".")[0] in RUNS_CODE]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            found.append(node.func.id)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "yaml" and node.attr not in YAML_MAY:
            found.append(f"yaml.{node.attr}")
        if isinstance(node, ast.ImportFrom) and node.module == "yaml":
            found += [f"yaml.{alias.name}" for alias in node.names if alias.name not in YAML_MAY]
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            found += [] if "weights_only=True" in ast.unparse(node) else ["torch.load without weights_only=True"]
    if path.relative_to(PACKAGE).as_posix() in PICKLES:
        assert found == ["pickle"]
    else:
        assert found == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("policy", POLICIES)
def test_the_state_in_a_checkpoint_is_plain(policy: str) -> None:
    search = gamma_search(policy, first_random=2, first_model=1, min_steps=2, progress=False)
    trainer = trainer_of(search, max_epochs=2)
    trainer.fit(Net(), *loaders())
    state: dict[str, Any] = search.state_dict()
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    plain = torch.load(file, weights_only=True)
    assert plain["history"] == state["history"]
    again = gamma_search(policy, first_random=2, first_model=1, min_steps=2, progress=False)
    again.load_state_dict(plain)
    assert again.history == search.history
    assert len(again.history) >= 1
