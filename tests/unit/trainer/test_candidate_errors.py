"""An exception while a candidate trains: whose fault it is, what it says, and what all ranks do about it."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lightning_gammabo.records import TrialState
from lightning_gammabo.trainer import candidate_errors
from lightning_gammabo.trainer.candidate_errors import CandidateErrors, RaisedOnRanks, in_words
from lightning_gammabo.trainer.distributed import ErrorKind

PRESENT = 0.1


class Module(torch.nn.Linear):
    automatic_optimization = True


def trainer(ranks: int = 1, step: Any = None) -> Any:
    strategy = SimpleNamespace(root_device=torch.device("cpu"), training_step=step, validation_step=step)
    loop = SimpleNamespace(
        advance=lambda fetcher: None, batch_progress=SimpleNamespace(current=SimpleNamespace(ready=0))
    )
    return SimpleNamespace(
        world_size=ranks,
        current_epoch=3,
        strategy=strategy,
        fit_loop=SimpleNamespace(epoch_loop=loop),
        lightning_module=Module(1, 1),
    )


def errors(present: TrialState | None, ranks: int = 1) -> CandidateErrors:
    made = CandidateErrors(trainer(ranks), PRESENT)
    made.note_end(0.7, TrialState.DIVERGED)  # says nothing of the present rate
    if present is not None:
        made.note_end(PRESENT, present)
    return made


@pytest.mark.parametrize(
    ("present", "lr", "blamed"),
    [
        (TrialState.COMPLETE, 0.5, True),
        (TrialState.COMPLETE, 0.01, True),
        (TrialState.COMPLETE, PRESENT, False),  # a plain fit would raise too
        (TrialState.DIVERGED, 0.5, True),
        (TrialState.DIVERGED, 0.01, False),
        (TrialState.PRUNED, 0.5, True),
        (TrialState.FAILED, 0.5, False),
        (None, 0.5, False),
    ],
)
def test_another_rate_is_to_blame_where_the_present_one_ended_well(
    present: TrialState | None, lr: float, blamed: bool
) -> None:
    assert errors(present).counts_as_diverged(ValueError("boom"), lr) is blamed


def test_the_first_error_is_told_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    made = errors(TrialState.COMPLETE)
    for text in ("first\nof two lines", "second"):
        assert made.counts_as_diverged(ValueError(text), 0.5)
    assert caplog.text.count("such candidates count as diverged. The first: ValueError: first, at 0.5") == 1
    assert "second" not in caplog.text


def test_the_error_of_a_callbacks_hook_is_no_rates_fault() -> None:
    def _call_callback_hooks() -> None:
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom") as caught:
        _call_callback_hooks()
    assert not errors(TrialState.COMPLETE).counts_as_diverged(caught.value, 0.5)


def test_of_several_ranks_only_an_error_of_all_counts() -> None:
    made = errors(TrialState.COMPLETE, ranks=2)
    assert not made.counts_as_diverged(ValueError("boom"), 0.5)
    assert made.counts_as_diverged(RaisedOnRanks("boom"), 0.5)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
@pytest.mark.parametrize(("lr", "words"), [(PRESENT, "the present learning rate 0.1"), (0.5, "learning rate 0.5")])
def test_an_error_that_goes_through_names_its_candidate(lr: float, words: str) -> None:
    error = ValueError("boom")
    errors(None).describe(error, lr)
    said = "GammaLRSearch: raised while epoch 3 was searched, by the candidate at "
    assert error.__notes__ == [f"{said}{words}"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("boom\nmore"), "ValueError: boom"),
        (ValueError(), "ValueError"),
        (RaisedOnRanks("ValueError: boom"), "ValueError: boom"),
    ],
)
def test_an_error_is_told_in_one_line(error: Exception, words: str) -> None:
    assert in_words(error) == words


def others_raise(monkeypatch: pytest.MonkeyPatch, do: bool) -> None:
    def over_ranks(error: Exception | None, device: torch.device, world_size: int) -> ErrorKind | None:
        return ErrorKind.OTHER if error or do else None

    monkeypatch.setattr(candidate_errors, "error_over_ranks", over_ranks)


def boom(*args: Any) -> None:
    raise ValueError("boom")


@pytest.mark.parametrize("method", ["training_step", "validation_step"])
@pytest.mark.parametrize(
    ("step", "others", "words"),
    [(boom, False, "^ValueError: boom$"), (boom, True, "^ValueError: boom$"), (len, True, "^raised on another rank$")],
)
def test_all_ranks_leave_a_candidate_that_raised_on_one(
    method: str, step: Any, others: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    others_raise(monkeypatch, others)
    run = trainer(2, step)
    made = CandidateErrors(run, PRESENT)
    watched = made.watched(0.5) if method == "training_step" else made.watched_validation(0.5)
    with pytest.raises(RaisedOnRanks, match=words), watched:
        getattr(run.strategy, method)("ab")
    assert getattr(run.strategy, method) is step


def test_at_the_present_rate_an_error_is_the_users_own() -> None:
    run = trainer(2, boom)
    made = CandidateErrors(run, PRESENT)
    for watched in (made.watched(PRESENT), made.watched_validation(PRESENT)):
        with pytest.raises(ValueError, match="boom"), watched:
            run.strategy.training_step()


def test_ranks_that_raise_nothing_train_on(monkeypatch: pytest.MonkeyPatch) -> None:
    others_raise(monkeypatch, False)
    run = trainer(2, len)
    made = CandidateErrors(run, PRESENT)
    with made.watched(0.5):
        assert run.strategy.training_step("ab") == 2
    with made.watched_validation(0.5):
        assert run.strategy.validation_step("ab") == 2
