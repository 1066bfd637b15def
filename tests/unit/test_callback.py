"""GammaLRSearch as its users meet it: what it reads, what it says, what it refuses."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from lightning_gammabo import GammaLRSearch, ListSampler, SearchHistory
from lightning_gammabo.trainer.inspection import check_lightning
from tests.helpers.searching import gamma_search
from tests.integration.identity.scenarios import (
    SCENARIOS,
    TRAIN,
    VAL,
    CountsBatches,
    LogsNothing,
    Net,
    NoValidation,
    Scheduled,
)

# what Lightning and torch say of such small modules
_SAID = ("num_workers", "logging interval", "treespec", "requires_grad=True", "val_dataloader", "no optimizer", "None")
pytestmark = pytest.mark.filterwarnings(f"ignore:.*({'|'.join(_SAID)}).*")


def fit(module: LightningModule, *callbacks: Any, **options: Any) -> Trainer:
    seed_everything(1, verbose=False)
    defaults = {"max_epochs": 2, "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    quiet = {"enable_checkpointing": any(isinstance(c, ModelCheckpoint) for c in callbacks)}
    trainer = Trainer(callbacks=list(callbacks), accelerator="cpu", **{**defaults, **quiet, **options})
    trainer.fit(module, DataLoader(TRAIN, 8, shuffle=True), DataLoader(VAL, 10))
    return trainer


def test_the_present_rate_comes_first_and_the_winner_is_next() -> None:
    search = gamma_search("thesis", first_random=2, first_model=2)
    fit(Net(lr=0.03), search)
    first, second = search.history
    assert first.results[0].lr == 0.03
    assert [result.origin for result in first.results] == ["current", "initial", "acquisition", "acquisition"]
    assert second.results[0].lr == first.chosen.lr
    assert first.chosen.score == max(result.score for result in first.results)
    assert (first.train_passes, first.val_passes) == (4.0, 6.0)  # the untrained network, four candidates, the winner


def test_a_configured_rate_outside_the_range_is_tried_and_nothing_else_there() -> None:
    search = gamma_search("thesis", min_lr=1e-2, max_lr=1e-1, first_model=3)
    fit(Net(lr=5.0), search, max_epochs=1)
    first, *others = search.history[0].results
    assert first.lr == 5.0
    assert all(1e-2 <= result.lr <= 1e-1 for result in others)


@pytest.mark.parametrize("name", ["gamma", "grid", "random"])
def test_a_range_narrower_than_a_decade_is_kept(name: str) -> None:
    search = gamma_search("thesis", min_lr=2e-2, max_lr=3e-2, first_model=4, sampler=name)
    fit(Net(), search, max_epochs=1)
    assert all(0.0199999 <= result.lr <= 0.0300001 for result in search.history[0].results[1:])


@pytest.mark.parametrize(
    ("arguments", "epochs"),
    [
        ({"every_n_epochs": 2}, [0, 2, 4]),
        ({"start_epoch": 1, "every_n_epochs": 3}, [1, 4]),
        ({"start_epoch": 1, "stop_epoch": 3}, [1, 2]),
        ({"start_epoch": 9}, []),
    ],
)
def test_which_epochs_are_searched(arguments: dict[str, Any], epochs: list[int]) -> None:
    search = gamma_search("thesis", sampler=ListSampler([0.01]), **arguments)
    none = pytest.warns(UserWarning, match="no epoch is searched") if not epochs else contextlib.nullcontext()
    with none:
        fit(Net(), search, max_epochs=5)
    assert [record.epoch for record in search.history] == epochs


@pytest.mark.parametrize("name", ["gamma", "gamma_thesis", "gaussian", "gaussian_pi", "grid", "random", "sobol"])
def test_every_search_by_one_argument(name: str) -> None:
    search = gamma_search("thesis", sampler=name, first_random=2, first_model=2)
    fit(Net(), search, max_epochs=1)
    rates = [result.lr for result in search.history[0].results]
    assert len(rates) == 4
    assert len(set(rates)) == 4


def test_metrics_that_are_named_or_found(caplog: pytest.LogCaptureFixture) -> None:
    class Named(Net):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            loss = self.loss(batch)
            self.log_dict({"a": loss, "b": 80.0 - loss, "valid_loss": 2 * loss, "valAcc": 50.0 + loss})

    caplog.set_level("INFO")
    found, named = (
        GammaLRSearch("thesis", sampler=ListSampler([0.01])),
        GammaLRSearch("thesis", sampler=ListSampler([0.01]), monitor_loss="a", monitor_accuracy="b"),
    )
    fit(Named(), found)
    assert "loss 'valid_loss', accuracy 'valAcc'" in caplog.text
    fit(Named(), named)
    result, other = found.history[0].results[0], named.history[0].results[0]
    assert result.loss == result.metrics["valid_loss"]
    assert result.accuracy == pytest.approx(result.metrics["valAcc"] / 100)  # it was logged in per cent
    assert other.loss == other.metrics["a"]
    assert other.accuracy == pytest.approx(other.metrics["b"] / 100)


def test_a_metric_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match=r"monitor_loss='loss'.*logged are \['val_acc', 'val_loss'\]"):
        fit(Net(), GammaLRSearch("thesis", sampler=ListSampler([0.01]), monitor_loss="loss"))
    with pytest.raises(ValueError, match=r"objective='f1'.*no such metric"):
        fit(Net(), GammaLRSearch("thesis", sampler=ListSampler([0.01]), objective="f1"))


def test_any_logged_metric_with_a_direction() -> None:
    for metric, mode, best in (("val_loss", None, min), ("val_loss", "min", min), ("val_acc", "min", min)):
        search = GammaLRSearch("thesis", sampler=ListSampler([0.001, 0.3]), objective=metric, mode=mode)
        fit(Net(), search, max_epochs=1)
        record = search.history[0]
        assert record.chosen.metrics[metric] == best(result.metrics[metric] for result in record.results)


@pytest.mark.parametrize("module", [LogsNothing, NoValidation])
def test_without_logged_metrics_the_steps_losses_are_read(module: Any) -> None:
    search = GammaLRSearch("thesis", sampler=ListSampler([1e-6, 0.1]))
    # of the one with a validation the loss that its steps return is read
    training = pytest.warns(UserWarning, match="ranked by a training loss, which favours rates that fit quickly")
    with training if module is NoValidation else contextlib.nullcontext():
        fit(module(), search)
    assert all(result.loss is not None and result.accuracy is None for result in search.history[0].results)
    assert search.history[0].chosen.loss == min(result.loss for result in search.history[0].results)


def test_nothing_to_rank_by() -> None:
    class Silent(LogsNothing):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.loss(batch)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.loss(batch)

    with pytest.raises(
        ValueError, match=r"nothing to rank candidates by: no validation loss or accuracy was logged or returned"
    ):
        fit(Silent(), GammaLRSearch("thesis", sampler=ListSampler([0.01])))
    search = gamma_search("thesis", first_random=1, first_model=0)
    fit(Silent(), search)  # one candidate needs no rank
    assert len(search.history) == 2


def test_schedulers_are_set_aside_with_one_warning() -> None:
    search = GammaLRSearch("thesis", sampler=ListSampler([0.02]))
    with pytest.warns(UserWarning, match=r"StepLR set aside from epoch 0 on.*lr_schedulers='scale'") as warned:
        trainer = fit(Scheduled("step"), search)
    assert len([w for w in warned if "aside" in str(w.message)]) == 1
    assert trainer.optimizers[0].param_groups[0]["lr"] == search.history[1].chosen.lr
    assert type(trainer.lr_scheduler_configs[0].scheduler) is torch.optim.lr_scheduler.StepLR


def test_schedulers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lr_schedulers='error'.*configures StepLR.*'override'.*'scale'"):
        fit(Scheduled("step"), GammaLRSearch(lr_schedulers="error"))
    fit(Net(), GammaLRSearch("thesis", sampler=ListSampler([0.1]), lr_schedulers="error"))


def test_scaled_schedulers_keep_the_rate_found() -> None:
    search = gamma_search("thesis", sampler=ListSampler([0.1]), lr_schedulers="scale", stop_epoch=1)
    module = Scheduled("epoch")
    trainer = fit(module, search)
    found = search.history[0].chosen.lr
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(found * 0.7**2, rel=1e-12)


def test_copy_becomes_replay_where_batches_are_needed(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level("INFO")
    counting = CountsBatches()
    search = GammaLRSearch("thesis", sampler=ListSampler([0.01]))
    fit(Net(), search, counting)
    assert counting.batches == 10
    assert [record.commit for record in search.history] == ["replay", "replay"]
    assert (
        caplog.text.count("commit='copy' becomes 'replay' in this run, because of the batch hooks of CountsBatches")
        == 1
    )
    for callback, commit in (
        (ModelCheckpoint(tmp_path), "copy"),
        (ModelCheckpoint(tmp_path, every_n_train_steps=2), "replay"),
        (TQDMProgressBar(), "copy"),
    ):
        search = GammaLRSearch("thesis", sampler=ListSampler([0.01]))
        fit(Net(), search, callback, max_epochs=1, enable_progress_bar=isinstance(callback, TQDMProgressBar))
        assert search.history[0].commit == commit


def test_monitors_log_the_winner_without_a_replay(tmp_path: Path) -> None:
    search = GammaLRSearch("thesis", sampler=ListSampler([0.01, 0.3]))
    logger = CSVLogger(tmp_path)
    fit(Net(), search, LearningRateMonitor("step"), logger=logger, log_every_n_steps=1)
    assert [record.commit for record in search.history] == ["copy", "copy"]
    rates = [float(cell) for cell in _column(tmp_path, "lr-SGD") if cell]
    assert rates == [record.chosen.lr for record in search.history for _ in range(5)]


def _column(folder: Path, name: str) -> list[str]:
    lines = next(folder.rglob("metrics.csv")).read_text().splitlines()
    index = lines[0].split(",").index(name)
    return [line.split(",")[index] for line in lines[1:]]


def test_history_file(tmp_path: Path) -> None:
    for name in ("history.jsonl", "history.csv"):
        search = GammaLRSearch("thesis", sampler=ListSampler([0.01]), history_file=str(tmp_path / name))
        fit(Net(), search)
    assert (
        SearchHistory.from_jsonl((tmp_path / "history.jsonl").read_text()) == search.history or len(search.history) == 2
    )
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 5
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [(line["kind"], line.get("epoch")) for line in lines] == [
        ("run", None), ("search", 0), ("search", 1), ("epoch", 0), ("epoch", 1),
    ]  # fmt: skip


def test_arguments_are_kept_as_given_and_copies_hold_the_history() -> None:
    candidates = (0.01, 0.02)
    search = GammaLRSearch("thesis", sampler=ListSampler(candidates), max_lr=2)
    fit(Net(), search)
    assert search.sampler.rates is candidates
    assert search.max_lr == 2
    for other in (copy.deepcopy(search), pickle.loads(pickle.dumps(search))):
        assert other.history == search.history
        trainer = fit(Net(), other)
        assert GammaLRSearch.of(trainer) is other
        assert [record.epoch for record in other.history] == [0, 1]
    with pytest.raises(ValueError, match="no GammaLRSearch among"):
        GammaLRSearch.of(fit(Net()))


def test_no_optimizer_or_no_rate_is_not_searched(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    class None_(Net):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            return None

        def configure_optimizers(self) -> None:
            return None

    search = GammaLRSearch("thesis")
    fit(None_(), search)
    assert "no epoch is searched: the module configures no optimizer that has a learning rate" in caplog.text
    fit(Net(lr=0.0), search)
    assert "no optimizer has a learning rate above 0" in caplog.text
    assert len(search.history) == 0


def test_same_seed_same_search() -> None:
    def told(**arguments: Any) -> list[Any]:
        seed_everything(1, verbose=False)
        search = gamma_search("thesis", first_model=3, **arguments)
        fit(Net(), search)
        return [[(result.lr, result.score) for result in record.results] for record in search.history]

    assert told(seed=3) == told(seed=3)
    assert told(seed=3) != told(seed=4)


def test_the_table_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    fit(Net(), GammaLRSearch("thesis", sampler=ListSampler([0.01])))
    assert "2 epochs trained, 2 searched with 4 candidates: 4.0 passes over the training\ndata" in caplog.text


def test_a_lightning_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    search = GammaLRSearch("thesis")
    trainer = Trainer(accelerator="cpu", logger=False, callbacks=[search], enable_checkpointing=False, max_epochs=1)
    monkeypatch.delattr(trainer.fit_loop.epoch_loop, "_batches_that_stepped")
    with pytest.raises(RuntimeError, match=r"cannot rewind this Lightning \(version .*TrainingEpochLoop._batches_that"):
        trainer.fit(Net(), DataLoader(TRAIN, 8), DataLoader(VAL, 10))


def test_the_thesis_numbers_are_those_of_its_policy() -> None:
    search = GammaLRSearch("thesis")
    scenario = SCENARIOS["keeps state"]
    fit(scenario.module(), search, max_epochs=1)
    record = search.history[0]
    assert len(record.results) == 12
    assert (record.n_initial, record.sampler, record.objective, record.policy) == (2, "gamma", "kappa", "thesis")


def test_a_lightning_whose_loops_fetch_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_epochs=1)
    monkeypatch.delattr("lightning.pytorch.loops.evaluation_loop._select_data_fetcher")
    with pytest.raises(
        RuntimeError, match=r"cannot rewind this Lightning .* no evaluation_loop._select_data_fetcher\."
    ):
        check_lightning(trainer)


def test_a_strategy_whose_state_cannot_be_put_back() -> None:
    class ShardedStrategy:
        pass

    with pytest.raises(ValueError, match="cannot put back the state of ShardedStrategy: it has no model"):
        check_lightning(SimpleNamespace(strategy=ShardedStrategy()))


def test_a_fit_with_the_defaults_asks_our_model_through_a_botorch_acquisition(monkeypatch: pytest.MonkeyPatch) -> None:
    from botorch.acquisition import prior_guided
    from botorch.models.model import Model

    from lightning_gammabo.bayesopt import acquisition, model

    models: list[Model] = []
    asked: list[Model] = []
    weighed: list[int] = []

    class SpyModel(model.GammaPrecisionGP):
        def __init__(self, X: Any, Y: Any, **options: Any) -> None:
            super().__init__(X, Y, **options)
            models.append(self)

    class SpyAcquisition(acquisition.LogStudentTExpectedImprovement):
        def forward(self, X: Any) -> Any:
            asked.append(self.model)
            return super().forward(X)

    class SpyPrior(prior_guided.PriorGuidedAcquisitionFunction):
        def forward(self, X: Any) -> Any:
            weighed.append(len(X))
            return super().forward(X)

    monkeypatch.setattr(model, "GammaPrecisionGP", SpyModel)
    monkeypatch.setattr(acquisition, "LogStudentTExpectedImprovement", SpyAcquisition)
    monkeypatch.setattr(prior_guided, "PriorGuidedAcquisitionFunction", SpyPrior)
    search = GammaLRSearch()
    fit(Net(), search)
    proposed = [result for result in search.history[0].results if result.origin == "acquisition"]
    assert proposed
    assert weighed
    assert asked
    assert {id(one) for one in asked} <= {id(one) for one in models}
