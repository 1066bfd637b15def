from __future__ import annotations

import io
import time
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import rich
from lightning.pytorch.demos.boring_classes import BoringModel
from rich.console import Console
from rich.progress import Progress, ProgressColumn, TextColumn

from lightning_gammabo.records import Result, TrialState
from lightning_gammabo.report.progress import SearchProgress, make_progress, shielded
from tests.helpers.searching import gamma_search

LEADER = Result(number=0, lr=0.013, state=TrialState.COMPLETE, score=1.5, value=1.234, loss=0.5)


class RichProgressBar:
    """Has the name, as the classes of both namespaces have, and a display of its own."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress


def trainer(callback: object, *, is_global_zero: bool = True) -> Any:
    return SimpleNamespace(progress_bar_callback=callback, is_global_zero=is_global_zero)


def terminal(width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, _environ={})


def drawn(progress: Progress) -> list[str]:
    """The lines that the display would show now."""
    console = Console(file=io.StringIO(), width=100, _environ={})
    console.print(progress.get_renderable())
    return [line for line in console.file.getvalue().splitlines() if line.strip()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "silent",
    [
        trainer(None),
        trainer(SimpleNamespace(is_disabled=True)),
        trainer(SimpleNamespace(is_disabled=False), is_global_zero=False),
    ],
    ids=["no bar", "disabled", "another rank"],
)
def test_silent_where_the_user_wants_no_bar(silent: Any, capsys: pytest.CaptureFixture[str]) -> None:
    progress = make_progress(silent)
    progress.start(0, 2)
    progress.candidate(0, 0.1, None)
    progress.finish()
    assert type(progress) is SearchProgress
    assert capsys.readouterr() == ("", "")


def test_a_disabled_bar_of_lightning_is_silent() -> None:
    for bar in (pl.callbacks.TQDMProgressBar(refresh_rate=0), pl.callbacks.RichProgressBar(refresh_rate=0)):
        assert type(make_progress(trainer(bar))) is SearchProgress


@pytest.mark.parametrize("namespace", ["lightning.pytorch.callbacks", "pytorch_lightning.callbacks"])
def test_the_kind_follows_the_users_bar_in_both_namespaces(namespace: str) -> None:
    callbacks = pytest.importorskip(namespace)
    kinds = [type(make_progress(trainer(bar()))) for bar in (callbacks.RichProgressBar, callbacks.TQDMProgressBar)]
    assert [kind.__name__ for kind in kinds] == ["_RichProgress", "_TqdmProgress"]


def test_tqdm_shows_the_candidate_and_the_leader(capsys: pytest.CaptureFixture[str]) -> None:
    progress = make_progress(trainer(object()))
    progress.start(3, 12)
    progress.candidate(0, 0.1, None)
    progress.candidate(3, 0.0213, LEADER)
    progress.finish()
    out, err = capsys.readouterr()
    assert "search epoch 3: 1/12 lr 1.0e-01 " in out
    assert "search epoch 3: 4/12 lr 2.1e-02 (best 1.3e-02: score 1.23)" in out
    assert out.split("\r")[-1].strip(" \n\x1b[A") == ""  # nothing is left behind
    assert err == ""


@pytest.mark.parametrize(
    ("objective", "leader", "text"),
    [
        ("loss", {"score": -0.5, "value": 0.5, "loss": 0.5}, "(best 1.3e-02: loss 0.5)"),
        ("kappa", {"score": -0.5, "value": 0.5, "loss": 0.5}, "(best 1.3e-02: loss 0.5)"),  # no accuracy, no kappa
        ("kappa", {"score": 0.7, "value": 1.2, "loss": 0.5, "accuracy": 0.9}, "(best 1.3e-02: kappa 1.2)"),
        ("a_metric_of_a_long_name", {"score": 71234.5}, "(best 1.3e-02: a_metric_of_ 7.12e+04)"),
    ],
)
def test_the_leaders_value_is_that_of_the_objective(
    objective: str, leader: dict[str, float], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = make_progress(trainer(object()), objective=objective)
    progress.start(0, 2)
    progress.candidate(1, 0.1, Result(number=0, lr=0.013, state=TrialState.COMPLETE, **leader))
    progress.finish()
    assert text in capsys.readouterr().out


@pytest.mark.parametrize("kind", [object, lambda: RichProgressBar(None)], ids=["tqdm", "rich"])
def test_finish_and_candidate_are_safe_at_any_time(kind: Any) -> None:
    progress = make_progress(trainer(kind()))
    progress.finish()
    progress.candidate(0, 0.1, None)
    progress.start(0, 2)
    progress.start(1, 2)  # the first was never finished
    progress.candidate(0, 0.1, None)
    progress.finish()
    progress.finish()
    progress.candidate(1, 0.1, None)


@pytest.mark.parametrize("method", ["_open", "_show", "_close"])
def test_a_failing_display_is_given_up(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(*_: object) -> None:
        calls.append(method)
        raise RuntimeError("the stream is closed")

    progress = make_progress(trainer(object()))
    monkeypatch.setattr(progress, method, fail)
    progress.start(0, 3)
    for number in range(3):
        progress.candidate(number, 0.1, None)
    progress.finish()
    assert calls == [method]


def test_an_interrupt_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    progress = make_progress(trainer(object()))
    monkeypatch.setattr(progress, "_show", interrupt)
    progress.start(0, 3)
    with pytest.raises(KeyboardInterrupt):
        progress.candidate(0, 0.1, None)
    progress.finish()


def test_rich_adds_a_line_below_the_users_rows_and_takes_it_away() -> None:
    theirs = Progress(TextColumn("{task.description} {task.fields[note]}"), console=terminal(), auto_refresh=False)
    theirs.add_task("Epoch 2/9", note="theirs")  # a column that reads a field which only the user's tasks have
    progress = make_progress(trainer(RichProgressBar(theirs)))
    with theirs:
        before = drawn(theirs)
        progress.start(3, 12)
        progress.candidate(3, 0.0213, LEADER)
        rows = drawn(theirs)
        assert rows[0].strip() == "Epoch 2/9 theirs"
        assert rows[1].startswith("search epoch 3: 4/12 lr 2.1e-02 (best 1.3e-02: score 1.23)")
        assert len(rows) == 2
        progress.finish()
        assert drawn(theirs) == before
        assert theirs.live.is_started
    assert "get_renderables" not in vars(theirs)
    assert len(theirs.tasks) == 1


def test_rich_shields_the_display_while_the_callbacks_are_set_aside() -> None:
    class Metrics(ProgressColumn):
        def render(self, task: Any) -> Any:
            assert bar_is_found, "Lightning's column asks the Trainer for its progress bar"
            return "loss 0.1"

    bar_is_found = True
    theirs = Progress(Metrics(), console=terminal(), auto_refresh=False)
    theirs.add_task("Epoch 2/9")
    progress = make_progress(trainer(RichProgressBar(theirs)))
    with theirs:
        progress.start(3, 12)
        bar_is_found = False
        progress.candidate(0, 0.0213, None)
        print("a user prints, and Rich draws the display anew")
        assert "loss 0.1" in drawn(theirs)[0]  # as it was last
        assert "search epoch 3: 1/12" in drawn(theirs)[1]
        progress.finish()
        bar_is_found = True
        assert len(drawn(theirs)) == 1


@pytest.mark.parametrize("theirs", [None, Progress(disable=True)], ids=["not made", "not started"])
def test_rich_has_a_display_of_its_own_where_there_is_none(
    theirs: Progress | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = terminal()
    monkeypatch.setattr(rich, "_console", console)
    progress = make_progress(trainer(RichProgressBar(theirs)))
    progress.start(3, 12)
    progress.candidate(3, 0.0213, LEADER)
    progress.finish()
    assert "search epoch 3: 4/12" in console.file.getvalue()  # type: ignore[attr-defined]


class Searching(pl.Callback):
    """What the search does to the Trainer, without a search."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        progress = make_progress(trainer)
        progress.start(trainer.current_epoch, 3)
        callbacks, trainer.callbacks = trainer.callbacks, []  # type: ignore[attr-defined]
        for number in range(3):
            progress.candidate(number, 0.1, LEADER if number else None)
            print(f"printed by candidate {number}")
        trainer.callbacks = callbacks  # type: ignore[attr-defined]
        progress.finish()


def fit(callbacks: list[Any], root: object) -> None:
    pl.Trainer(
        max_epochs=2,
        limit_train_batches=2,
        limit_val_batches=8,
        accelerator="cpu",
        default_root_dir=root,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=callbacks,
    ).fit(Slow())


class Slow(BoringModel):
    """Slow enough for the thread that draws Rich's display."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        time.sleep(0.02)
        loss = super().validation_step(batch, batch_idx)
        self.log("val_loss", loss["x"])
        return loss


def bar(kind: Any, leave: bool) -> Any:
    console = {"console_kwargs": {"force_terminal": True, "width": 100}} if "Rich" in kind.__name__ else {}
    return kind(leave=leave, **console)


@pytest.mark.parametrize("leave", [False, True])
@pytest.mark.parametrize("kind", [pl.callbacks.TQDMProgressBar, pl.callbacks.RichProgressBar])
def test_under_lightnings_own_bars(kind: Any, leave: bool, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    fit([Searching(), bar(kind, leave)], tmp_path)
    out = capsys.readouterr().out
    for epoch in range(2):
        assert f"search epoch {epoch}: 3/3 lr 1.0e-01 (best 1.3e-02: score 1.23)" in out
        assert f"Epoch {epoch}" in out
    assert out.count("printed by candidate 2") == 2


# an exception in Rich's thread is a warning of pytest's, and a warning is an error here
@pytest.mark.parametrize("kind", [pl.callbacks.TQDMProgressBar, pl.callbacks.RichProgressBar])
def test_a_search_leaves_the_users_display_whole(kind: Any, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    search = gamma_search("thesis", first_random=2, first_model=0, lr_schedulers="scale")
    fit([search, bar(kind, False)], tmp_path)
    out = capsys.readouterr().out
    for record in search.history:
        assert f"search epoch {record.epoch}: 2/2" in out
        assert f"(best {record.results[0].lr:.1e}: loss {record.results[0].loss:.3g})" in out


def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("lightning_gammabo.report.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_the_time_left_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = clock(monkeypatch)
    progress = make_progress(trainer(object()))
    progress.start(3, 12)
    progress.candidate(0, 0.1, None)
    assert "left" not in capsys.readouterr().out
    now[0] += 130.0
    progress.candidate(2, 0.1, None)  # two candidates took 130 seconds, ten are left
    assert "10:50 left" in capsys.readouterr().out
    progress.finish()


def test_the_bar_moves_with_each_batch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = clock(monkeypatch)
    progress = make_progress(trainer(object()), batches=50)
    progress.start(3, 4)
    progress.candidate(0, 0.1, None)
    capsys.readouterr()
    progress.batch(1)  # nothing is drawn so soon
    assert capsys.readouterr().out == ""
    now[0] += 5.0
    progress.batch(25)  # half a candidate took five seconds, three and a half are left
    assert "35 s left" in capsys.readouterr().out
    assert progress._bar.n / progress._bar.total == 0.5 / 4  # type: ignore[attr-defined]
    assert isinstance(progress._bar.n, int)  # type: ignore[attr-defined]  # a notebook's bar takes no other
    progress.finish()


@pytest.mark.parametrize("batches", [None, float("inf"), 0])
def test_without_a_known_length_it_moves_with_each_candidate(
    batches: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = clock(monkeypatch)
    progress = make_progress(trainer(object()), batches=batches)
    progress.start(3, 4)
    progress.candidate(0, 0.1, None)
    capsys.readouterr()
    now[0] += 5.0
    progress.batch(25)
    assert capsys.readouterr().out == ""
    progress.finish()


def test_a_line_fits_80_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    now = clock(monkeypatch)
    progress = make_progress(trainer(object()), objective="kappa")
    progress.start(103, 12)
    now[0] += 7000.0
    leader = Result(number=0, lr=0.013, state=TrialState.COMPLETE, score=1.5, value=-1.234, loss=0.5, accuracy=0.1)
    progress.candidate(10, 0.0213, leader)
    line = f"{progress._text} |  2.1 h left"
    assert progress._text == "search epoch 103: 11/12 lr 2.1e-02 (best 1.3e-02: kappa -1.23)"
    assert len(line) <= 80
    progress.finish()


def test_rich_shows_the_time_left_of_slow_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock(monkeypatch)
    theirs = Progress(TextColumn("{task.description}"), console=terminal(), auto_refresh=False)
    theirs.add_task("Epoch 2/9")
    progress = make_progress(trainer(RichProgressBar(theirs)))
    with theirs:
        progress.start(3, 3)
        now[0] += 3600.0  # Rich's own estimate forgets what is older than 30 seconds
        progress.candidate(1, 0.1, None)
        assert drawn(theirs)[1].endswith("2.0 h left")
        progress.finish()


def test_a_shield_holds_before_and_after_the_search() -> None:
    class Metrics(ProgressColumn):
        def render(self, task: Any) -> Any:
            assert bar_is_found
            return "loss 0.1"

    bar_is_found = True
    theirs = Progress(Metrics(), console=terminal(), auto_refresh=False)
    theirs.add_task("Epoch 2/9")
    running = trainer(RichProgressBar(theirs))
    progress = make_progress(running)
    with theirs:
        with shielded(running):
            assert drawn(theirs) == ["loss 0.1"]
            bar_is_found = False
            assert drawn(theirs) == ["loss 0.1"]
            progress.start(0, 2)
            progress.finish()
            assert drawn(theirs) == ["loss 0.1"]  # recovery validates with the callbacks set aside, after the search
        assert "get_renderables" not in vars(theirs)
        bar_is_found = True
    with shielded(trainer(None)), shielded(trainer(object())):
        pass
