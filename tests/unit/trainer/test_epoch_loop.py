"""The stand-ins in Lightning's fit loop: the next epoch is handed over once, and every iterator's making is noted."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import Callback

from lightning_gammabo.trainer.epoch_loop import arm, disarm, make_iterator, makes_iterator, watch_loader
from lightning_gammabo.trainer.inspection import module_of
from lightning_gammabo.trainer.snapshot.loaders import LoaderMark
from tests.helpers.trainers import loaders, trainer_of
from tests.integration.identity.scenarios import Data, Net

pytestmark = pytest.mark.filterwarnings("ignore")


class Loop:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def run(self, fetcher: Any) -> None:
        self.calls.append(fetcher)


def trainer_with(loop: Loop) -> Any:
    return SimpleNamespace(fit_loop=SimpleNamespace(epoch_loop=loop))


def test_the_next_epoch_is_handed_over_once() -> None:
    loop = Loop()
    arm(trainer_with(loop), lambda fetcher, run: (loop.calls.append("search"), run(fetcher)))  # type: ignore[arg-type, return-value]
    loop.run("first")
    loop.run("second")
    assert loop.calls == ["search", "first", "second"]
    assert "run" not in vars(loop)


def test_of_two_that_ask_for_an_epoch_the_later_one_has_it() -> None:
    loop = Loop()
    arm(trainer_with(loop), lambda fetcher, run: pytest.fail("the first one was called"))
    arm(trainer_with(loop), lambda fetcher, run: run(fetcher))
    loop.run("batches")
    assert loop.calls == ["batches"]


def test_what_was_asked_for_can_be_taken_back() -> None:
    loop = Loop()
    arm(trainer_with(loop), lambda fetcher, run: pytest.fail("it was taken back"))
    disarm(trainer_with(loop))
    disarm(trainer_with(loop))  # nothing is there any more
    loop.run("batches")
    assert loop.calls == ["batches"]


class Watches(Callback):
    """Watches the making of iterators from before the fit loop on; looks at the stand-ins when the fit has ended."""

    def __init__(self) -> None:
        self.marks: list[LoaderMark] = []
        self.unwatch: Callable[[], object] = lambda: None
        self.selects: list[Any] = []

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.selects.append(module_of(trainer.fit_loop, "setup_data")._select_data_fetcher)
        self.unwatch = watch_loader(trainer, self.marks.append)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.unwatch()
        self.selects.append(module_of(trainer.fit_loop, "setup_data")._select_data_fetcher)


@pytest.mark.parametrize(("every", "made"), [(0, 1), (1, 3)])
def test_a_mark_is_taken_whenever_lightning_makes_the_iterator_ahead_of_an_epoch(every: int, made: int) -> None:
    watch = Watches()
    trainer = trainer_of(watch, max_epochs=3, reload_dataloaders_every_n_epochs=every)
    trainer.fit(Net(), datamodule=Data())
    assert len(watch.marks) == made
    assert "setup_data" not in vars(trainer.fit_loop)
    assert watch.selects[0] is watch.selects[1]


class AtEpoch(Callback):
    """Asks at the start of each searched epoch whether Lightning will make the iterator, and makes it if not."""

    def __init__(self) -> None:
        self.found: list[tuple[bool, bool]] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        def search(fetcher: Any, run: Any) -> None:
            will = makes_iterator(trainer)
            self.found.append((will, make_iterator(trainer, fetcher) is None))
            run(fetcher)

        arm(trainer, search)


def test_only_the_first_epochs_iterator_is_lightnings_already() -> None:
    asks = AtEpoch()
    trainer = trainer_of(asks, max_epochs=3)
    trainer.fit(Net(), *loaders())
    assert asks.found == [(False, False), (True, True), (True, True)]
    assert trainer.global_step == 15
