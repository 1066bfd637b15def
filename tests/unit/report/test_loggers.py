from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lightning_gammabo.records import SearchHistory
from lightning_gammabo.report.loggers import log_figures, takes_figures
from tests.unit.report.histories import searched_epoch, searched_history

plt = pytest.importorskip("matplotlib.pyplot")


class Calls:
    """Notes the calls of one method."""

    def __init__(self, method: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        setattr(self, method, lambda *args, **named: self.calls.append((*args, *named.values())))


def kinds(calls: list[tuple[Any, ...]], place: int = 0) -> list[str]:
    return [call[place] for call in calls]


ALL = ["gamma/surrogate", "gamma/landscape", "gamma/schedule", "gamma/cost"]


def test_each_logger_gets_the_figures_in_its_own_way() -> None:
    writer, client, comet, wandb = Calls("add_figure"), Calls("log_figure"), Calls("log_figure"), Calls("log_image")
    loggers = [
        SimpleNamespace(experiment=writer),
        SimpleNamespace(experiment=client, run_id="r1"),
        SimpleNamespace(experiment=comet),
        wandb,
        SimpleNamespace(experiment=object()),  # a CSVLogger, say: it takes no pictures
        object(),
    ]
    log_figures(loggers, searched_history(2), 1, step=34)
    assert [(name, step) for name, _, step in writer.calls] == [(name, 34) for name in ALL]
    assert writer.calls[0][1].axes[0].get_title(loc="left") == "epoch 1: belief after 7 candidates"
    assert [(run, name) for run, _, name in client.calls] == [("r1", f"{name}_0001.png") for name in ALL]
    assert [(name, step) for name, _, step in comet.calls] == [(name, 34) for name in ALL]
    assert kinds(wandb.calls) == ALL
    assert wandb.calls[0][1][0].size == (770, 506)
    assert wandb.calls[0][2] == 34
    assert plt.get_fignums() == []


def test_a_search_without_surrogate_lacks_its_picture_alone(caplog: pytest.LogCaptureFixture) -> None:
    writer = Calls("add_figure")
    log_figures([SimpleNamespace(experiment=writer)], SearchHistory([searched_epoch(0, "sobol")]), 0)
    assert kinds(writer.calls) == ALL[1:]
    assert {step for _, _, step in writer.calls} == {0}
    assert caplog.records == []


def test_a_confusion_matrix_is_logged_when_asked_for() -> None:
    writer = Calls("add_figure")
    matrices = {2: {"cm": [[3, 1], [0, 2]]}}
    log_figures([SimpleNamespace(experiment=writer)], SearchHistory(), 2, kinds=("confusion",), confusion=matrices)
    assert kinds(writer.calls) == ["gamma/confusion"]


def test_nothing_is_drawn_where_no_logger_takes_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_gammabo.report.loggers.plot", lambda *_, **__: pytest.fail("drawn"))
    log_figures([object(), SimpleNamespace(experiment=object())], searched_history(1), 0)


class Broken:
    @property
    def experiment(self) -> Any:
        raise OSError("the server does not answer")


def test_a_failing_logger_harms_neither_the_training_nor_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    writer = Calls("add_figure")
    failing = SimpleNamespace(experiment=SimpleNamespace(add_figure=fail))
    with caplog.at_level(logging.WARNING, logger="lightning_gammabo"):
        log_figures([failing, Broken(), SimpleNamespace(experiment=writer)], searched_history(1), 0)
    assert kinds(writer.calls) == ALL
    messages = [record.getMessage() for record in caplog.records]
    assert "The figure 'cost' of epoch 0 cannot be logged" in messages
    assert messages.count("A logger cannot be asked for figures") == 1


def test_a_picture_that_cannot_be_drawn_harms_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr("lightning_gammabo.report.loggers.plot", fail)
    log_figures([SimpleNamespace(experiment=Calls("add_figure"))], searched_history(1), 0)
    assert "The figure 'schedule' of epoch 0 cannot be drawn" in [record.getMessage() for record in caplog.records]


def test_a_real_tensorboard_writer_holds_the_images(tmp_path: Path) -> None:
    loggers = pytest.importorskip("lightning.pytorch.loggers")
    try:
        logger = loggers.TensorBoardLogger(tmp_path)
    except ModuleNotFoundError:
        pytest.skip("neither tensorboard nor tensorboardX is installed")
    log_figures([logger], searched_history(1), 0, step=7)
    logger.finalize("success")
    (events,) = tmp_path.rglob("events.out.tfevents*")
    written = events.read_bytes()
    assert written.count(b"\x89PNG\r\n\x1a\n") == len(ALL)
    for name in ALL:
        assert name.encode() in written


def test_whether_there_is_a_logger_that_takes_figures() -> None:
    csv = SimpleNamespace(experiment=object())
    assert not takes_figures([])
    assert not takes_figures([csv, object()])
    assert takes_figures([csv, SimpleNamespace(experiment=Calls("add_figure"))])
