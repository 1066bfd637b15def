"""Code that looks at its loggers while a candidate trains sees the user's own, and no line is lost or written twice."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from tests.integration.faces.fits import Fit, default, one, several
from tests.integration.identity.scenarios import Net

pytestmark = pytest.mark.filterwarnings("ignore")
SEARCHES = pytest.mark.parametrize("search", [one, default, lambda: several(0.02, commit="replay")])


class Finds(Net):
    """Looks for the TensorBoard logger by class, and raises where there is none."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        super().validation_step(batch, batch_idx)
        found = next((x.experiment for x in self.trainer.loggers if isinstance(x, TensorBoardLogger)), None)
        if found is None:
            raise ValueError("no TensorBoard logger")
        found.add_scalar("mine/val", 1.0, self.global_step)


class Reads(Net):
    """Makes a path of what the experiment tells."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 0:
            experiment = self.logger.experiment
            assert Path(experiment.logdir, "x.png") == Path(self.logger.log_dir, "x.png")
            assert isinstance(experiment, type(self.trainer.logger.experiment))
        return super().training_step(batch, batch_idx)


@SEARCHES
@pytest.mark.parametrize("module", [Finds, Reads])
def test_a_logger_that_is_looked_for_by_class_and_read(tmp_path: Path, module: Any, search: Any) -> None:
    Fit(module, search(), logger=TensorBoardLogger(tmp_path))


class Guards(Net):
    """Logs only where the logger is of the right class."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if isinstance(self.logger, CSVLogger):
            self.logger.log_metrics({"mine": float(self.global_step)}, step=self.global_step)
        return super().training_step(batch, batch_idx)


def rows(logger: CSVLogger) -> list[dict[str, str]]:
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        found = list(csv.DictReader(file))
    own = [{k: v for k, v in row.items() if not k.startswith("gamma/")} for row in found]
    return [row for row in own if any(value for key, value in row.items() if key != "step")]


@SEARCHES
def test_every_line_of_the_module_s_own_reaches_the_logger_once(tmp_path: Path, search: Any) -> None:
    plain, searched = (CSVLogger(tmp_path, name=name) for name in ("plain", "searched"))
    Fit(Guards, logger=plain, log_every_n_steps=1)
    fit = Fit(Guards, search(), logger=searched, log_every_n_steps=1)
    mine = [[row["mine"] for row in rows(logger) if row["mine"]] for logger in (plain, searched)]
    assert mine[0] == mine[1]
    assert len(mine[1]) == fit.trainer.global_step


def test_one_candidate_s_lines_are_a_plain_fit_s(tmp_path: Path) -> None:
    plain, searched = (CSVLogger(tmp_path, name=name) for name in ("plain", "searched"))
    Fit(Guards, logger=plain, log_every_n_steps=1)
    Fit(Guards, one(), logger=searched, log_every_n_steps=1)
    assert rows(searched) == rows(plain)


class Run:
    """As W&B's: it logs lines, and has a summary that is written like a dictionary."""

    def __init__(self) -> None:
        self.summary: dict[str, float] = {}
        self.lines: list[dict[str, float]] = []

    def log(self, values: dict[str, float], step: int | None = None) -> None:
        self.lines.append(dict(values))


class Board(Logger):
    name, version = "board", "0"

    def __init__(self) -> None:
        super().__init__()
        self.run = Run()

    @property
    def experiment(self) -> Run:
        return self.run

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.run.log(metrics, step)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...


class Sums(Net):
    """Counts in the summary, by item assignment, and logs to a run that it saved beforehand."""

    def on_fit_start(self) -> None:
        self.run = self.logger.experiment

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        summary = self.logger.experiment.summary
        summary["steps"] = summary.get("steps", 0) + 1
        self.run.log({"mine": float(summary["steps"])})
        return super().training_step(batch, batch_idx)


@SEARCHES
def test_a_summary_that_is_assigned_to_and_a_run_that_was_saved(search: Any) -> None:
    board = Board()
    fit = Fit(Sums, search(), logger=board)
    assert board.run.summary == {"steps": fit.trainer.global_step}
    mine = [line["mine"] for line in board.run.lines if "mine" in line]
    assert mine == [float(step + 1) for step in range(fit.trainer.global_step)]


class Table(Logger):
    """As NeuralProphet's: after the fit all that was logged makes a table, each name a column."""

    name, version = "table", "0"

    def __init__(self) -> None:
        super().__init__()
        self.columns: dict[str, list[float]] = {}

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        for name, value in metrics.items():
            self.columns.setdefault(name, []).append(value)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...


class ByEpoch(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss


@pytest.mark.parametrize(
    "given",
    [{}, {"policy": "once"}, {"policy": "thesis"}, {"commit": "replay"}, {"start_epoch": 2}, {"log_metrics": "off"}],
)
def test_a_table_of_what_was_logged_has_columns_of_one_length(given: dict[str, Any]) -> None:
    table = Table()
    Fit(ByEpoch, default(**given), logger=table, epochs=4)
    own = {name for name in table.columns if name.startswith("gamma/")}
    assert {len(table.columns[name]) for name in {"train_loss", "val_loss", *own}} == {4}
    assert bool(own) is ("log_metrics" not in given)
