"""What is written to loggers while a candidate trains: nothing, until it is known who wins; all else stays theirs."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from lightning_gammabo.trainer.logger_writes import LoggerWrites, reads


class Handle:
    """A part of an experiment, as a run of Neptune or W&B has them."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"old": 1.0}
        self.lines: list[Any] = []

    def __setitem__(self, key: str, value: Any) -> None:
        self.lines.append((key, value))  # as if it went to a server

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def append(self, value: Any) -> None:
        self.lines.append(value)


class Run:
    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.summary: dict[str, Any] = {"seen": 1}
        self.config = Handle()
        self.dir = "here"
        self.logdir = "there"
        self._notes = ""

    @property
    def notes(self) -> str:
        return self._notes

    @notes.setter
    def notes(self, value: str) -> None:
        self.lines.append(("notes", value))
        self._notes = value

    def add_scalar(self, *args: Any, **kwargs: Any) -> None:
        self.lines.append((args, kwargs))

    def get_logdir(self) -> str:
        return self.logdir

    def get_handle(self) -> Handle:
        return self.config


class Board(Logger):
    name, version = "mine", 3

    def __init__(self) -> None:
        super().__init__()
        self.run = Run()
        self.lines: list[Any] = []

    @property
    def experiment(self) -> Run:
        return self.run

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.lines.append((metrics, step))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...


def test_what_is_written_is_kept_until_it_is_known_who_wins() -> None:
    board = Board()
    writes = LoggerWrites([board])
    with writes.kept():
        assert board.log_metrics({"a": 1.0}, step=2) is None
        board.experiment.add_scalar("b", 2.0, global_step=3)
        board.experiment.config.append("c")
        board.experiment.get_handle().append("d")
        board.experiment.config["key"] = "e"
        board.experiment.notes = "f"
        written = writes.written()
    assert (board.lines, board.run.lines, board.run.config.lines, board.run.notes) == ([], [], [], "")
    for _ in range(2):  # writing uses nothing up
        writes.write(written)
    assert board.lines == [({"a": 1.0}, 2)] * 2
    assert board.run.lines == [(("b", 2.0), {"global_step": 3}), ("notes", "f")] * 2
    assert board.run.config.lines == ["c", "d", ("key", "e")] * 2


def test_loggers_and_experiments_keep_identity_class_and_what_they_tell() -> None:
    board = Board()
    run, handle, kinds = board.run, board.run.config, (Board, Run, Handle)
    before = [dict(vars(kind)) for kind in kinds]
    with LoggerWrites([board]).kept():
        assert board.experiment is run
        assert (type(board), type(run), type(run.config)) == kinds
        assert run.config is handle
        assert (board.name, board.version, run.dir, run.logdir, run.get_logdir()) == (
            "mine",
            3,
            "here",
            "there",
            "there",
        )
        assert handle["old"] == 1.0
        with pytest.raises(AttributeError, match="nothing_of_the_kind"):
            _ = board.nothing_of_the_kind  # type: ignore[attr-defined]
    assert [dict(vars(kind)) for kind in kinds] == before


def test_what_a_saved_reference_writes_is_kept_too() -> None:
    board = Board()
    run = board.experiment  # as a module saves it in on_fit_start
    with LoggerWrites([board]).kept():
        run.add_scalar("b", 2.0)
    assert run.lines == []


def test_another_object_of_the_class_is_left_alone() -> None:
    board, other = Board(), Board()
    with LoggerWrites([board]).kept():
        other.log_metrics({"a": 1.0})
        other.experiment.add_scalar("b")
    assert len(other.lines) == len(other.run.lines) == 1


def test_assignments_to_plain_parts_are_put_back_and_made_for_the_winner() -> None:
    board = Board()
    writes = LoggerWrites([board])
    with writes.kept():
        board.experiment.summary["best"] = 0.5
        assert board.experiment.summary == {"seen": 1, "best": 0.5}
        board.calls = 1  # type: ignore[attr-defined]
        written = writes.written()
    assert board.run.summary == {"seen": 1}
    assert not hasattr(board, "calls")
    board.run.summary["between"] = 0
    writes.write(written)
    assert board.run.summary["best"] == 0.5
    assert board.calls == 1  # type: ignore[attr-defined]


def test_a_winner_is_not_touched_by_the_next_candidate() -> None:
    board = Board()
    writes = LoggerWrites([board])
    with writes.kept():
        board.log_metrics({"lr": 0.1})
        winner = writes.written()
    with writes.kept():
        board.log_metrics({"lr": 0.2})
        assert len(writes.written()[0]) == 1
    writes.write(winner)
    assert board.lines == [({"lr": 0.1}, None)]


def test_what_is_changed_after_it_was_logged_is_written_as_it_was() -> None:
    board = Board()
    writes = LoggerWrites([board])
    metrics, picture = {"a": 1.0}, torch.zeros(2)
    live = (number for number in range(3))
    with writes.kept():
        board.log_metrics(metrics)
        board.experiment.add_scalar(picture)
        board.experiment.add_scalar(live)  # cannot be copied: kept as it is
        metrics["a"] = 9.0
        picture.fill_(9.0)
        written = writes.written()
    writes.write(written)
    assert board.lines == [({"a": 1.0}, None)]
    assert board.run.lines[0][0][0].tolist() == [0.0, 0.0]
    assert board.run.lines[1][0][0] is live


def test_classes_are_themselves_again_also_when_the_block_raises() -> None:
    board = Board()

    def fails() -> None:
        with LoggerWrites([board]).kept():
            raise KeyError("boom")

    with pytest.raises(KeyError, match="boom"):
        fails()
    board.log_metrics({"a": 1.0})
    assert len(board.lines) == 1
    assert "__getattribute__" not in vars(Board)


def test_a_method_that_another_thread_holds_writes_nothing_of_the_candidate_s() -> None:
    board = Board()
    with LoggerWrites([board]).kept():
        thread = threading.Thread(target=lambda: board.log_metrics({"a": 1.0}))
        thread.start()
        thread.join()
    assert board.lines == []


def test_a_mock_is_a_logger_too() -> None:
    mock = MagicMock()
    writes = LoggerWrites([mock])
    with writes.kept():
        mock.log_metrics({"a": 1.0})
        mock.experiment.add_scalar("b", 1.0)
        written = writes.written()
    mock.log_metrics.assert_not_called()
    writes.write(written)
    mock.log_metrics.assert_called_once_with({"a": 1.0})
    mock.experiment.add_scalar.assert_called_once_with("b", 1.0)


def test_what_has_no_attributes_of_its_own_is_no_fault() -> None:
    plain = SimpleNamespace(log_metrics=lambda *a: None, experiment=None)
    with LoggerWrites([plain, object()]).kept():
        pass


@pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])
def test_a_real_logger_writes_the_same_lines(tmp_path: Path, kind: Any) -> None:
    plain, kept = (kind(tmp_path, name=name, version=0) for name in ("plain", "kept"))
    writes = LoggerWrites([kept])
    for logger in (plain, kept):
        _ = logger.experiment

    def lines(logger: Any) -> None:
        for number in range(3):
            logger.log_metrics({"loss": 1.0 / (number + 1)}, step=number)
        logger.save()

    lines(plain)
    with writes.kept():
        assert isinstance(kept, kind)
        lines(kept)
        written = writes.written()
    assert not (tmp_path / "kept" / "version_0" / "metrics.csv").exists()
    writes.write(written)
    if kind is CSVLogger:
        files = [(tmp_path / name / "version_0" / "metrics.csv").read_text() for name in ("plain", "kept")]
        assert files[0] == files[1]
        assert files[0].count("\n") == 4
    else:
        assert len(written[0]) == 4
        assert kept.experiment.logdir == str(tmp_path / "kept" / "version_0")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["get_logdir", "is_alive", "has_key", "list_artifacts", "to_dict", "keys", "log_dir", "run_id", "get"], True),
        (["add_scalar", "log", "log_metrics", "set_name", "track", "save", "finalize", "append", "update_id"], False),
        (["image", "scalar", "define_metric", "flush", "getter", "isolate", "listen"], False),
    ],
)
def test_a_method_reads_if_its_name_says_so(names: list[str], expected: bool) -> None:
    assert [reads(name) for name in names] == [expected] * len(names)
