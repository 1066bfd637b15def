from __future__ import annotations

import copy
import csv
import io
import json
import math
import pickle
from dataclasses import FrozenInstanceError

import pandas as pd
import pytest
import torch

from lightning_gammabo.records import EpochRecord, Result, SearchHistory, Trial, TrialState


def result(number: int = 0, **fields: object) -> Result:
    values = {"lr": 0.1 / (number + 1), "state": TrialState.COMPLETE, "score": 1.0 + number, "loss": 0.5, "passes": 1.0}
    return Result(number=number, **(values | fields))  # type: ignore[arg-type]


def diverged(number: int) -> Result:
    return result(number, state=TrialState.DIVERGED, score=None, loss=None, passes=0.25, message="loss is nan")


def record(epoch: int = 0, **fields: object) -> EpochRecord:
    values = {
        "results": (result(0, metrics={"val_loss": 0.5}), diverged(1)),
        "chosen_number": 0,
        "reason": "best score",
    }
    return EpochRecord(epoch=epoch, **(values | fields))  # type: ignore[arg-type]


def history() -> SearchHistory:
    failed = result(0, state=TrialState.FAILED, score=None, message="out of memory")
    return SearchHistory([record(0, train_passes=1.25), record(2, results=(failed,), chosen_number=None)])


@pytest.mark.parametrize("lr", [-1e-9, math.nan, math.inf])
def test_a_trial_refuses_a_rate_that_is_none(lr: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        Trial(number=0, lr=lr)


def test_a_trial_may_have_rate_zero() -> None:
    assert Trial(number=3, lr=0.0).lr == 0.0  # the configured rate may be 0 at the start of a warm-up


@pytest.mark.parametrize("score", [None, math.nan, math.inf, -math.inf])
def test_a_complete_result_needs_a_finite_score(score: float | None) -> None:
    with pytest.raises(ValueError, match=r"Result 4: score=.* does not fit COMPLETE"):
        result(4, score=score)


@pytest.mark.parametrize("state", [TrialState.DIVERGED, TrialState.FAILED])
def test_a_lost_result_has_no_score(state: TrialState) -> None:
    with pytest.raises(ValueError, match=rf"does not fit {state.name}"):
        result(state=state, score=0.0)
    assert result(state=state, score=None).score is None


def test_a_record_names_one_of_its_results() -> None:
    with pytest.raises(ValueError, match=r"EpochRecord\(epoch=3\): no result has number 7"):
        record(3, chosen_number=7)


def test_chosen_is_found_by_its_number() -> None:
    assert record(results=(result(4), result(2)), chosen_number=2).chosen == result(2)
    assert record(chosen_number=None).chosen is None


@pytest.mark.parametrize("value", [Trial(number=0, lr=0.1), result(), record()], ids=lambda value: type(value).__name__)
def test_records_are_frozen_and_can_be_copied(value: object) -> None:
    field = "epoch" if isinstance(value, EpochRecord) else "number"
    with pytest.raises(FrozenInstanceError, match=field):
        setattr(value, field, 5)
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value


def test_a_record_comes_back_from_its_plain_values() -> None:
    assert EpochRecord.from_dict(record().to_dict()) == record()


def test_plain_values_of_a_newer_version_are_read() -> None:
    plain = record().to_dict()
    plain["invented_later"] = 1
    plain["results"][0]["invented_later"] = 1
    assert EpochRecord.from_dict(plain) == record()


def test_plain_values_fit_into_a_checkpoint(tmp_path) -> None:
    torch.save([r.to_dict() for r in history()], tmp_path / "state.ckpt")
    plain = torch.load(tmp_path / "state.ckpt", weights_only=True)
    assert SearchHistory(map(EpochRecord.from_dict, plain)) == history()


def test_a_history_is_a_sequence_that_grows() -> None:
    grown = SearchHistory()
    for one in history():
        grown.append(one)
    assert grown == history()
    assert len(grown) == 2
    assert grown[-1].epoch == 2
    assert [one.epoch for one in grown] == [0, 2]
    assert repr(grown) == "SearchHistory(2 epochs)"
    assert grown != [*history()]
    with pytest.raises(TypeError, match="does not support item assignment"):
        grown[0] = record(1)  # type: ignore[index]


def test_histories_come_back_from_json_lines() -> None:
    text = history().to_jsonl()
    assert [json.loads(line)["epoch"] for line in text.splitlines()] == [0, 2]
    assert SearchHistory.from_jsonl(text) == history()
    assert SearchHistory.from_jsonl(text + "\n\n") == history()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_has_no_value_that_is_not_finite(value: float) -> None:
    text = SearchHistory([record(results=(result(metrics={"grad": value, "val_loss": 0.5}),))]).to_jsonl()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    metrics = SearchHistory.from_jsonl(text)[0].results[0].metrics
    assert math.isnan(metrics["grad"])
    assert metrics["val_loss"] == 0.5


def test_floats_survive_json_and_csv_exactly() -> None:
    lr = 0.1 + 0.2  # 0.30000000000000004
    exact = SearchHistory([record(results=(result(lr=lr),))])
    assert SearchHistory.from_jsonl(exact.to_jsonl())[0].results[0].lr == lr
    assert float(next(csv.DictReader(io.StringIO(exact.to_csv())))["lr"]) == lr


def test_rows_are_one_for_each_candidate() -> None:
    rows = history().rows()
    assert [(row["epoch"], row["number"], row["chosen"], row["state"]) for row in rows] == [
        (0, 0, True, "complete"),
        (0, 1, False, "diverged"),
        (2, 0, False, "failed"),
    ]
    assert rows[0]["metrics/val_loss"] == 0.5
    assert "metrics/val_loss" not in rows[1]


def test_rows_make_a_data_frame() -> None:
    frame = pd.DataFrame(history().rows())
    assert frame["chosen"].sum() == 1
    assert frame["lr"].dtype == "float64"
    assert frame["score"].isna().tolist() == [False, True, True]
    assert frame["metrics/val_loss"].isna().tolist() == [False, True, True]


def test_csv_has_a_column_for_every_metric_of_any_candidate() -> None:
    rows = list(csv.DictReader(io.StringIO(history().to_csv())))
    assert [row["metrics/val_loss"] for row in rows] == ["0.5", "", ""]
    assert [row["message"] for row in rows] == ["", "loss is nan", "out of memory"]


def test_a_message_with_commas_and_newlines_stays_one_cell() -> None:
    message = 'CUDA out of memory, "tried"\nto allocate'
    lost = result(state=TrialState.FAILED, score=None, message=message)
    text = SearchHistory([record(results=(lost,), chosen_number=None)]).to_csv()
    assert [row["message"] for row in csv.DictReader(io.StringIO(text))] == [message]


def test_an_empty_history_writes_nothing() -> None:
    assert SearchHistory().to_csv() == SearchHistory().to_jsonl() == ""
    assert SearchHistory().rows() == []
    assert SearchHistory.from_jsonl("") == SearchHistory()


@pytest.mark.parametrize("name", ["history.csv", "history.jsonl", "history"])
def test_the_ending_of_the_name_decides_the_form(tmp_path, name: str) -> None:
    path = history().save(str(tmp_path / name))
    assert path == tmp_path / name
    text = path.read_text(encoding="utf-8")
    assert text == (history().to_csv() if name.endswith("csv") else history().to_jsonl())
