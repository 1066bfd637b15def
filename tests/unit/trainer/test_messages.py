"""What a fit says, it says once, and beside the progress bars."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live
from tqdm import tqdm

from lightning_gammabo.trainer.messages import Messages, bars_cleared, inform, warn


def said(warned: pytest.WarningsRecorder) -> list[str]:
    return [str(w.message) for w in warned]


def test_each_message_is_said_once(caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder) -> None:
    caplog.set_level("INFO")
    messages = Messages()
    for _ in range(3):
        messages.inform("that is how it is")
        messages.warn("look at this")
        messages.warn("look at that")
    assert said(recwarn) == ["GammaLRSearch: look at this", "GammaLRSearch: look at that"]
    assert caplog.text.count("GammaLRSearch: that is how it is") == 1


def test_another_fit_says_it_again() -> None:
    for messages in (Messages(), Messages()):
        with pytest.warns(UserWarning, match="GammaLRSearch: look"):
            messages.warn("look")


def test_what_is_no_warning_goes_to_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    inform("that is how it is")
    assert capsys.readouterr() == ("that is how it is\n", "")


def test_where_the_users_logging_shows_it_it_is_shown_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [logging.StreamHandler(sys.stdout)])
    inform("that is how it is")
    assert capsys.readouterr() == ("that is how it is\n", "")


def test_a_log_file_of_the_users_has_it_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = logging.FileHandler(tmp_path / "run.log")
    monkeypatch.setattr(logging.root, "handlers", [handler])
    inform("that is how it is")
    handler.close()
    assert (tmp_path / "run.log").read_text() == "that is how it is\n"
    assert capsys.readouterr().out == "that is how it is\n"


def test_a_warning_leaves_the_format_of_warnings_alone() -> None:
    # what it prints is tested in a process of its own: tests/integration/package/test_import_time.py
    formatted = warnings.formatwarning
    with pytest.warns(UserWarning, match="look"):
        warn("look")
    assert warnings.formatwarning is formatted


# ---- beside the bars


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """As Lightning's: a handler of its own that holds the stream of the time when it was made."""
    logger = logging.getLogger("test_beside_bars")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)


def screen(written: str) -> list[str]:
    """What a terminal shows: carriage returns and cursor movements that go up a line."""
    lines, row, column = [""], 0, 0
    at = 0
    while at < len(written):
        if written.startswith("\x1b[A", at) or written.startswith("\x1b[1A", at):
            row, at = row - 1, written.index("A", at) + 1
        elif written.startswith("\x1b[", at):
            end = next(k for k in range(at + 2, len(written)) if written[k].isalpha())
            if written[end] == "K":
                lines[row] = "" if written[at + 2 : end] == "2" else lines[row][:column]
            at = end + 1
        elif written[at] == "\n":
            row, column, at = row + 1, 0, at + 1
            lines += [""] * (row + 1 - len(lines))
        elif written[at] == "\r":
            column, at = 0, at + 1
        else:
            line = lines[row].ljust(column)
            lines[row], column, at = line[:column] + written[at] + line[column + 1 :], column + 1, at + 1
    return [line.rstrip() for line in lines if line.strip()]


def test_words_stand_above_tqdms_bar(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logger.handlers[0].stream = sys.stdout  # one stream, so that what was written can be read in order
    with tqdm(total=4, file=sys.stdout, ncols=30, mininterval=0, leave=True, bar_format="bar {n}") as bar:
        bar.update(2)
        with bars_cleared():
            logger.info("the words")
        bar.update(1)
    assert screen(capsys.readouterr().out) == ["the words", "bar 3"]


def test_words_stand_above_richs_display(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logger.handlers[0].stream = stream
    console = Console(file=stream, force_terminal=True, width=40, color_system=None)
    with Live("the display", console=console, auto_refresh=False) as live:
        with bars_cleared():
            logger.info("the words")
        live.update("the last display", refresh=True)
        assert logger.handlers[0].stream is stream  # as it was
    assert screen(stream.getvalue()) == ["the words", "the last display"]


def test_without_bars_nothing_is_changed(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logger.handlers[0].stream = sys.stderr
    with bars_cleared():
        logger.info("the words")
    assert capsys.readouterr().err == "the words\n"
