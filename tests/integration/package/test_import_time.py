from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_package_adds_little_to_lightning() -> None:
    """At most 0.3 s, and nothing that Lightning has not imported: BoTorch, SciPy and matplotlib come later."""
    command = [sys.executable, str(ROOT / "benchmarks" / "speed" / "import_time.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["others"] == []
    # most projects that have the package installed import no more than this (the entry point)
    assert found["package"] < 0.05
    assert found["callback"] < 0.3


def test_the_second_namespace_is_not_imported_and_the_order_is_free() -> None:
    code = """
import sys
import lightning_gammabo
from lightning_gammabo import GammaLRSearch
assert "pytorch_lightning" not in sys.modules
import pytorch_lightning
assert not issubclass(GammaLRSearch, pytorch_lightning.Callback)
assert issubclass(lightning_gammabo.GammaLRSearch, pytorch_lightning.Callback)  # as a YAML file looks it up
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
