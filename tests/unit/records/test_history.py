from __future__ import annotations

import csv
import io
import json
import math

import pandas as pd
import pytest
import torch

from lightning_gammabo.records import EpochRecord, SearchHistory, TrialState
from tests.unit.records.histories import history, record, result


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
