"""One searched epoch: what its record says of the search, and what a user is told of it."""

from __future__ import annotations

from typing import Any

import pytest
from torch.utils.data import DataLoader

from tests.helpers.searching import searching, searching_in_part
from tests.helpers.trainers import loaders, trainer_of
from tests.integration.identity.scenarios import TRAIN, LiveGenerator, Net

pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_record_says_what_was_searched_and_how() -> None:
    search = searching_in_part(policy="epochwise", seed=7)
    trainer_of(search).fit(Net(), *loaders())
    first, later = search.history
    assert {(record.policy, record.sampler) for record in search.history} == {("epochwise, changed", "random")}
    assert [len(record.results) for record in search.history] == [3, 3]
    assert [record.share for record in search.history] == [0.6, 0.6]
    assert first.seed != later.seed
    for record in search.history:
        assert record.min_lr is not None
        assert record.max_lr is not None
        # the present rate is tried wherever it lies
        assert all(record.min_lr <= result.lr <= record.max_lr for result in record.results[1:])
    # later searches look around the rate that was chosen
    assert later.max_lr / later.min_lr < first.max_lr / first.min_lr  # type: ignore[operator]


def test_what_candidates_are_ranked_by_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    trainer_of(searching()).fit(Net(), *loaders())
    said = "candidates are ranked by kappa; read were: loss 'val_loss', accuracy 'val_acc'"
    assert caplog.text.count(said) == 1


def test_validation_data_that_come_once_are_read_by_whole_epochs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    search = searching_in_part()
    trainer_of(search).fit(Net(), DataLoader(TRAIN, 8, shuffle=True), LiveGenerator())
    assert [record.share for record in search.history] == [1.0, 1.0]
    assert caplog.text.count("candidates train whole epochs: the validation data cannot be read twice") == 1


def test_a_live_iterator_is_named_in_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    class Keeps(Net):
        def __init__(self) -> None:
            super().__init__()
            self.names = iter("abcdef")

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch, batch_idx)

        def on_train_epoch_end(self) -> None:
            next(self.names)

    trainer_of(searching()).fit(Keeps(), *loaders())
    said = [str(w.message) for w in recwarn.list if "live iterator" in str(w.message)]
    assert len(said) == 1
    assert "names: a live iterator cannot be put back; it goes on from epoch trained to epoch trained" in said[0]


@pytest.mark.parametrize("cap", [0.0, 100.0])
def test_an_epoch_that_the_cap_leaves_nothing_for_is_trained_plainly(
    cap: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    search = searching(max_overhead=cap)
    trainer_of(search).fit(Net(), *loaders())
    said = "max_overhead=0.0 affords no second candidate (the smallest search costs 0.8): nothing is searched, the f"
    assert (said in caplog.text) is (cap == 0.0)
    assert [record.epoch for record in search.history] == ([] if cap == 0.0 else [0, 1])
