"""A search leaves no trace but its result: one test for each way out."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger

from lightning_gammabo import GammaLRSearch, ListSampler, SearchPolicy, TrialState
from tests.helpers.trainers import loaders, trainer_of
from tests.integration.identity.fingerprint import differences, fingerprint, plain
from tests.integration.identity.scenarios import KeepsState, Net

pytestmark = pytest.mark.filterwarnings("ignore")


class Lists(Logger):
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int, dict[str, float]]] = []

    @property
    def name(self) -> str:
        return "lists"

    @property
    def version(self) -> int:
        return 0

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.lines.append((step, {k: v for k, v in metrics.items() if not k.startswith("gamma/")}))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


class Interrupted(Callback):
    """Takes the fingerprint before a search and when an exception arrives."""

    def __init__(self) -> None:
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            self.before = self._state(trainer, pl_module)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.after = self._state(trainer, pl_module)

    @staticmethod
    def _state(trainer: Any, pl_module: Any) -> dict[str, Any]:
        loop = trainer.fit_loop.epoch_loop
        own = {
            "callbacks": [id(callback) for callback in trainer.callbacks],
            "loggers": [id(logger) for logger in trainer.loggers],
            "limits": [trainer.limit_train_batches, trainer.limit_val_batches, trainer.val_check_batch],
            "stage": [str(trainer.state.stage), trainer.training, trainer.validating],
            "stand-ins": [name for name in ("run", "on_advance_end") if name in vars(loop)],
            "save_checkpoint": "save_checkpoint" in vars(trainer),
            "fetcher": [trainer.fit_loop._data_fetcher.fetched, trainer.fit_loop._data_fetcher.done],
            "gradients": plain([p.grad for p in pl_module.parameters()]),
        }
        return {**fingerprint(trainer, pl_module), **own}


class RaisesIn(KeepsState):
    """Raises in a step of the second epoch's second candidate."""

    def __init__(self, error: BaseException, where: str) -> None:
        super().__init__()
        self.error = error
        self.where = where

    @property
    def at(self) -> int:
        """The candidate that fails: at another rate than the present one an error would be the rate's fault."""
        return 1 if isinstance(self.error, Exception) else 2

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.current_epoch == 1 and batch_idx == 2:
            CountsForever.candidates += 1
            if CountsForever.candidates == self.at and self.where == "training_step":
                raise self.error
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        if self.current_epoch == 1 and CountsForever.candidates == self.at and self.where == "validation_step":
            raise self.error
        return super().validation_step(batch, batch_idx)


class CountsForever:
    """A count that no rewind reaches: it belongs to a class, not to an object."""

    candidates = 0


@pytest.mark.parametrize("commit", ["copy", "replay"])
@pytest.mark.parametrize("where", ["training_step", "validation_step"])
@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_exception_in_a_candidate(error: BaseException, where: str, commit: Any) -> None:
    CountsForever.candidates = 0
    watch = Interrupted()
    search = GammaLRSearch("thesis", sampler=ListSampler([0.01, 0.02]), commit=commit)
    trainer = trainer_of(search, watch)
    expected = RuntimeError if isinstance(error, RuntimeError) else SystemExit
    with pytest.raises(expected, match="boom" if expected is RuntimeError else "1"):
        trainer.fit(RaisesIn(error, where), *loaders())
    # taken in a hook: since then the epoch counts as started, and the search took it over and handed it back
    assert differences(watch.before, watch.after) == ["loops.epoch_progress", "stand-ins"]
    assert watch.before["stand-ins"] == ["run"]
    assert watch.after["stand-ins"] == []
    assert len(search.history) == 1
    assert "setup_data" not in vars(trainer.fit_loop)


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_exception_in_the_first_epoch_rewinds_the_loader_too(error: BaseException) -> None:
    class First(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 2:
                raise error
            return super().training_step(batch, batch_idx)

    seen: list[Any] = []

    class NextBatch(Callback):
        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            seen.append(next(trainer.fit_loop._data_fetcher)[0])

    class FirstBatch(Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            seen.append(batch)
            raise error

    with pytest.raises((RuntimeError, SystemExit)):
        trainer_of(GammaLRSearch("thesis", sampler=ListSampler([0.01])), NextBatch()).fit(First(), *loaders())
    with pytest.raises((RuntimeError, SystemExit)):
        trainer_of(FirstBatch()).fit(Net(), *loaders())
    assert plain(seen[0]) == plain(seen[1])


@pytest.mark.parametrize("commit", ["copy", "replay"])
def test_diverged_candidates_are_cut_short_and_leave_nothing(commit: Any) -> None:
    search = GammaLRSearch("thesis", min_lr=1e-3, max_lr=1e30, sampler=ListSampler([1e30, 0.02]), commit=commit)
    module = KeepsState()
    trainer_of(search).fit(module, *loaders())
    for record in search.history:
        diverged = record.results[1]
        assert diverged.state is TrialState.DIVERGED
        assert diverged.score is None
        assert diverged.steps < record.results[0].steps
        assert diverged.passes < 1.0
        assert record.chosen is not None
        assert record.chosen.lr != 1e30
    assert all(bool(torch.isfinite(parameter).all()) for parameter in module.parameters())
    assert len(module.history["loss"]) == 10


def test_all_candidates_diverged() -> None:
    records: list[Any] = []

    class Keeps(GammaLRSearch):
        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            records.extend(self.history)

    search = Keeps(SearchPolicy(base="thesis", first_random=1, first_model=2), min_lr=1e24, max_lr=1e30, sampler="grid")
    module = Net(lr=1e25)
    with pytest.warns(UserWarning, match=r"all 3 candidates diverged.*rates above .* are not proposed any more"):
        trainer_of(search).fit(module, *loaders())
    first, second = records
    assert first.chosen is None
    assert first.commit == "replay"
    assert max(result.lr for result in second.results) < min(result.lr for result in first.results)


def test_losers_reach_no_logger_and_the_winner_once() -> None:
    def lines(*callbacks: Callback) -> list[Any]:
        logger = Lists()
        trainer_of(*callbacks, logger=logger, log_every_n_steps=1).fit(KeepsState(), *loaders())
        return [(step, sorted(line.items())) for step, line in logger.lines if line]

    search = GammaLRSearch("thesis", sampler=ListSampler([0.01, 0.2]))
    searched = lines(search)

    class Follow(Callback):
        rates: ClassVar[list[float]] = [record.chosen.lr for record in search.history]

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            trainer.optimizers[0].param_groups[0]["lr"] = self.rates[trainer.current_epoch]

    assert plain(searched) == plain(lines(Follow()))


def test_loggers_get_the_search(tmp_path: Any) -> None:
    logger = CSVLogger(tmp_path)
    trainer_of(GammaLRSearch("thesis", sampler=ListSampler([0.01])), logger=logger).fit(Net(), *loaders())
    header = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()[0].split(",")
    wanted = {"gamma/lr", "gamma/kappa", "gamma/candidates", "gamma/search_seconds", "gamma/train_passes"}
    assert wanted <= set(header)


def test_no_checkpoint_holds_a_candidate(tmp_path: Any) -> None:
    class Saves(Net):
        def on_validation_epoch_end(self) -> None:
            self.trainer.save_checkpoint(tmp_path / f"{self.trainer.current_epoch}.ckpt")

    module = Saves()
    best = ModelCheckpoint(tmp_path, filename="best-{epoch}", monitor="val_loss", save_top_k=-1)
    stop = EarlyStopping("val_loss", patience=10)
    search = GammaLRSearch("thesis", sampler=ListSampler([0.01, 0.3]))
    trainer_of(search, best, stop, enable_checkpointing=True).fit(module, *loaders())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0.ckpt",
        "1.ckpt",
        "best-epoch=0.ckpt",
        "best-epoch=1.ckpt",
    ]
    last = torch.load(tmp_path / "1.ckpt", weights_only=True)["state_dict"]
    assert plain(last) == plain(module.state_dict())


def test_nothing_is_written_unless_asked(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer_of(GammaLRSearch("thesis", sampler=ListSampler([0.01]))).fit(Net(), *loaders())
    assert list(tmp_path.iterdir()) == []


def test_stages_other_than_fit_are_untouched() -> None:
    search = GammaLRSearch("thesis", sampler=ListSampler([0.01]))
    trainer, module = trainer_of(search), Net()
    trainer.validate(module, loaders()[1], verbose=False)
    assert len(search.history) == 0
    trainer.fit(module, *loaders())
    assert len(search.history) == 2
    trainer.validate(module, loaders()[1], verbose=False)
    assert len(search.history) == 2
    trainer_of(search).fit(Net(), *loaders())
    assert [record.epoch for record in search.history] == [0, 1]  # a history of its own for each fit


def test_fast_dev_run_is_not_searched() -> None:
    search = GammaLRSearch("thesis", sampler=ListSampler([0.01]))
    trainer_of(search, fast_dev_run=True).fit(Net(), *loaders())
    assert len(search.history) == 0


def test_a_score_is_never_taken_from_an_earlier_epoch() -> None:
    class LogsOnce(Net):
        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            if self.current_epoch == 0:
                super().validation_step(batch, batch_idx)

    search = GammaLRSearch("thesis", sampler=ListSampler([0.01]))
    trainer_of(search).fit(LogsOnce(), *loaders())
    second = search.history[1]
    assert all("val_loss" not in result.metrics for result in second.results)
    assert all(result.loss is not None and math.isfinite(result.loss) for result in second.results)
