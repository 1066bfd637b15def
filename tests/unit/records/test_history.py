from __future__ import annotations

import csv
import io
import json
import math
import sys
from typing import get_type_hints

import pandas as pd
import pytest
import torch
from typing_extensions import get_overloads

from lightning_gammabo.records import EpochRate, EpochRecord, RunInfo, SearchHistory, TrainedEpoch, TrialState
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
    assert repr(grown) == "SearchHistory(2 searched epochs)"
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


# ---- what epochs ended with, and the run


def trained(epoch: int, back: int | None = None, **fields: object) -> TrainedEpoch:
    rate = EpochRate(epoch=epoch, start=0.1 + 0.2, end=0.1, steps=5, peak=0.5, returned_to=back)
    return TrainedEpoch(epoch=epoch, rate=rate, **fields)  # type: ignore[arg-type]


def whole() -> SearchHistory:
    ends = [trained(0, loss=0.5, metrics={"val_loss": 0.5}), TrainedEpoch(epoch=1, not_searched="by its price")]
    return SearchHistory(history(), ends, RunInfo(started="2026-11-28", settings={"seed": 0}, epochs=3, planned=1.5))


def test_a_whole_history_comes_back_from_json_lines_and_a_checkpoint(tmp_path) -> None:
    back = SearchHistory.from_jsonl(whole().to_jsonl())
    assert (back, back.run, back.trained) == (whole(), whole().run, whole().trained)
    torch.save(whole().to_dicts(), tmp_path / "state.ckpt")
    assert SearchHistory.from_dicts(torch.load(tmp_path / "state.ckpt", weights_only=True)) == whole()


def test_metrics_of_an_epochs_end_that_are_not_finite_come_back_as_nan() -> None:
    text = SearchHistory(trained=[trained(0, metrics={"grad": math.inf})]).to_jsonl()
    assert math.isnan(SearchHistory.from_jsonl(text).trained[0].metrics["grad"])


def test_lines_of_a_kind_that_a_newer_version_adds_are_left_out() -> None:
    assert SearchHistory.from_jsonl(whole().to_jsonl() + '{"kind": "invented_later"}\n') == whole()


def test_what_was_searched_and_trained_makes_histories_equal() -> None:
    assert SearchHistory(whole(), whole().trained) == whole()  # another run of the same
    assert SearchHistory(whole()) != whole()


def test_epochs_are_noted_once_and_in_order() -> None:
    noted = SearchHistory()
    for epoch, loss in ((1, 0.5), (0, 0.7), (1, 0.4)):
        noted.note_epoch(trained(epoch, loss=loss))
    assert [(end.epoch, end.loss) for end in noted.trained] == [(0, 0.7), (1, 0.4)]


def test_epochs_are_lost_between_the_best_one_and_the_one_that_went_back() -> None:
    back = {6: 3, 9: 3}
    assert SearchHistory(trained=[trained(e, back.get(e)) for e in range(10)]).lost == {4, 5, 6, 7, 8}


def test_the_price_of_a_validation_is_noted_once_it_is_known() -> None:
    noted = whole()
    noted.note_validation(0.25)
    assert noted.run is not None
    assert (noted.run.validation, noted.run.planned) == (0.25, 1.5)
    SearchHistory().note_validation(0.25)  # where no run is known there is nothing to note


def test_a_data_frame_is_made_where_pandas_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert whole().to_pandas().equals(pd.DataFrame(whole().rows()))
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"history.to_pandas\(\) needs pandas: pip install pandas"):
        whole().to_pandas()


def test_items_are_typed_so_that_a_loop_needs_no_cast() -> None:
    types = [get_type_hints(overload)["return"] for overload in get_overloads(SearchHistory.__getitem__)]
    assert types == [EpochRecord, list[EpochRecord]]
    assert history()[0] == record(0, train_passes=1.25)
    assert history()[:1] == [record(0, train_passes=1.25)]
