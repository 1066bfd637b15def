"""What of ours leans on what Lightning's main branch changed since 2.6.

* ``Trainer(log_key_prefix=...)`` names the keys that Lightning adds to logged metrics (``epoch``). Ours are written to
  the loggers directly, and scores are read from callback metrics, which get no prefix: nothing leans on it.
* Code for torch below 2.6 went, with the flags that asked for the version. We import no private name of Lightning, so
  nothing leans on it; that our floor is torch 2.4 holds with the Lightning that still has that code.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from lightning.fabric.utilities.apply_func import convert_tensors_to_scalars
from lightning.pytorch.loggers import CSVLogger

from tests.helpers.searching import searching
from tests.helpers.trainers import loaders, trainer_of
from tests.integration.identity.scenarios import Net

PACKAGE = Path(__file__).parents[3] / "lightning_gammabo"
PREFIX = "trainer/"


class Lines(CSVLogger):
    """Keeps what it is told, and writes nothing."""

    def __init__(self) -> None:
        super().__init__("unused")
        self.lines: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        self.lines.append((step, dict(metrics)))

    def save(self) -> None:
        pass

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def fit() -> tuple[Lines, list[tuple[float, float | None]]]:
    lines, search = Lines(), searching()
    trainer_of(search, logger=lines, log_every_n_steps=2).fit(Net(), *loaders())
    return lines, [(result.lr, result.loss) for record in search.history for result in record.results]


def with_prefix(self: Any, metrics: dict[str, Any], step: int | None = None) -> None:
    """The connector's method as main has it, with a prefix."""
    if not self.trainer.loggers or not metrics:
        return
    self._logged_metrics.update(metrics)
    line = convert_tensors_to_scalars(metrics)
    if step is None:
        line.setdefault(f"{PREFIX}epoch", self.trainer.current_epoch)
        step = self.trainer.fit_loop.epoch_loop._batches_that_stepped
    for logger in self.trainer.loggers:
        logger.log_metrics(metrics=line, step=step)


@pytest.mark.filterwarnings("ignore")
def test_a_prefix_of_lightnings_keys_changes_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    before, found = fit()
    connector = type(trainer_of()._logger_connector)
    monkeypatch.setattr(connector, "log_metrics", with_prefix)
    after, again = fit()
    assert again == found
    renamed = [
        (step, {key.replace(f"{PREFIX}epoch", "epoch"): v for key, v in line.items()}) for step, line in after.lines
    ]
    timed = ("seconds", "gamma/")  # ours hold durations

    def lasting(lines: list[tuple[int | None, dict[str, float]]]) -> list[Any]:
        return [(step, {k: v for k, v in line.items() if not k.startswith(timed)}) for step, line in lines]

    assert lasting(renamed) == lasting(before.lines)
    own = [{*line} for _, line in after.lines if any(key.startswith("gamma/") for key in line)]
    assert own
    assert own == [{*line} for _, line in before.lines if any(key.startswith("gamma/") for key in line)]
    assert not any(key.startswith(PREFIX) for keys in own for key in keys)
    assert any(f"{PREFIX}epoch" in line for _, line in after.lines)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_private_name_of_lightning_is_imported(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = [
        f"{node.module}.{alias.name}"
        for node in froms
        if (node.module or "").split(".")[0] in ("lightning", "pytorch_lightning", "lightning_fabric")
        for alias in node.names
        if alias.name.startswith("_")
    ]
    assert names == []
