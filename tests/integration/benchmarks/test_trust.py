"""What the programs of trust name is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.trust import matrix, mutants, versions

ROOT = Path(__file__).parents[3]
FILES = [*versions.SUITES, *(f"tests/integration/identity/{name}.py" for name in matrix.TESTS), *mutants.COPIED]
FILES += [f"{mutants.PACKAGE}/{module}" for module in mutants.TESTS]
FILES += [test.partition("::")[0] for tests in mutants.TESTS.values() for test in tests]


@pytest.mark.parametrize("file", sorted({*FILES}))
def test_it_is_there(file: str) -> None:
    assert (ROOT / file).exists()
