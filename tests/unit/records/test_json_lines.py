"""A history on disk is whole, whatever happens while it is written."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_gammabo import ListSampler, SearchHistory
from lightning_gammabo.records.json_lines import from_lines, to_lines, write_whole
from tests.helpers.searching import searching
from tests.helpers.trainers import loaders, trainer_of
from tests.integration.identity.scenarios import Net
from tests.integration.resume.resumed_fit import fit
from tests.unit.records.histories import history

ROOT = Path(__file__).parents[3]


def test_lines_come_back() -> None:
    plain = [{"a": 1, "b": [0.1, None], "c": "line\none"}, {}]
    assert from_lines(to_lines(plain)) == plain
    assert from_lines("\n" + to_lines(plain) + "\n\n") == plain
    assert from_lines("") == []


def test_text_with_odd_line_ends_stays_in_its_line() -> None:
    odd = [{"message": "page\x0cbreak \x1c \x85 \u2028 end"}]
    assert from_lines(json.dumps(odd[0], ensure_ascii=False)) == odd


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_has_no_number_that_is_not_finite(value: float) -> None:
    assert from_lines(to_lines([{"deep": [(value, 1.0)]}])) == [{"deep": [[None, 1.0]]}]


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_a_torn_last_line_is_pruned_with_a_note(cut: int) -> None:
    text = to_lines([{"epoch": 0}, {"epoch": 1, "reason": "the highest score"}])
    with pytest.warns(UserWarning, match=r"line 2 is torn and is dropped: '\{"):
        assert from_lines(text[: -cut - 1]) == [{"epoch": 0}]


def test_a_last_line_that_lacks_only_its_end_is_kept() -> None:
    assert from_lines('{"epoch": 0}') == [{"epoch": 0}]


def test_a_torn_line_within_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"line 1 is not JSON \(.*\): '\{\"epoch\": '"):
        from_lines('{"epoch": \n{"epoch": 1}\n')


def test_a_line_that_is_no_object_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"line 2 is no JSON object: '\[1\]'"):
        from_lines('{"epoch": 0}\n[1]\n')


def test_a_history_comes_back_from_its_file(tmp_path: Path) -> None:
    path = history().save(tmp_path / "made" / "on the way" / "history.jsonl")
    assert SearchHistory.load(path) == history()
    assert SearchHistory.load(str(path)) == history()
    assert [file.name for file in path.parent.iterdir()] == ["history.jsonl"]


def test_a_torn_history_is_whole_up_to_its_last_record(tmp_path: Path) -> None:
    path = history().save(tmp_path / "history.jsonl")
    path.write_text(path.read_text()[:-20])
    with pytest.warns(UserWarning, match="line 2 is torn and is dropped"):
        assert SearchHistory.load(path) == SearchHistory(history()[:-1])


def test_what_is_no_history_is_refused_by_name(tmp_path: Path) -> None:
    csv = history().save(tmp_path / "history.csv")
    with pytest.raises(ValueError, match=r"history.csv: a CSV file lacks half of each record; save .* as .jsonl"):
        SearchHistory.load(csv)
    for text in ('{"epoch": 0}\n', '{"epoch": 0, "results": [3]}\n', '{"epoch": 0, "results": [{"lr": 1}]}\n'):
        (tmp_path / "other.jsonl").write_text(text)
        with pytest.raises(ValueError, match=r"other.jsonl: no history of a search: a record has no fitting "):
            SearchHistory.load(tmp_path / "other.jsonl")
    (tmp_path / "other.jsonl").write_text("[]\n{}\n")
    with pytest.raises(ValueError, match=r"other.jsonl: line 1 is no JSON object"):
        SearchHistory.load(tmp_path / "other.jsonl")


def test_the_old_text_stays_where_the_new_one_cannot_be_written(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "history.jsonl"
    write_whole(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["history.jsonl"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "history.jsonl"
    link.symlink_to(tmp_path / "there" / "real.jsonl")
    write_whole(link, "text")
    assert link.is_symlink()
    assert (tmp_path / "there" / "real.jsonl").read_text() == "text"


WRITER = """
import itertools, sys
from pathlib import Path
from lightning_gammabo.records.json_lines import to_lines, write_whole
for n in itertools.count(1):
    write_whole(Path(sys.argv[1]), to_lines([{"n": n, "pad": "x" * 4000}] * 50))
    print(n, flush=True)
"""


def test_killed_while_writing_leaves_one_whole_version(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    # the package's own `__init__` would bring in torch and Lightning: only the one module is needed
    stub = tmp_path / "stub" / "lightning_gammabo" / "records"
    stub.mkdir(parents=True)
    (stub.parent / "__init__.py").touch()
    (stub / "__init__.py").touch()
    (stub / "json_lines.py").write_text((ROOT / "lightning_gammabo" / "records" / "json_lines.py").read_text())
    for life in range(8):
        command = [sys.executable, "-c", WRITER, str(path)]
        # `-c` looks where it is started first
        process = subprocess.Popen(command, cwd=stub.parents[1], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        written = [int(process.stdout.readline()) for _ in range(1 + 2 * life)]
        process.send_signal(signal.SIGKILL)
        written += [int(line) for line in process.stdout if line.endswith("\n")]
        process.wait()
        process.stdout.close()
        found = from_lines(path.read_text())
        assert len(found) == 50
        assert {entry["n"] for entry in found} <= {written[-1], written[-1] + 1}
        assert len({entry["n"] for entry in found}) == 1
    write_whole(path, "")  # the next one cleans up after those that were killed
    assert sorted(file.name for file in tmp_path.iterdir()) == ["history.jsonl", "stub"]


@pytest.mark.filterwarnings("ignore")
def test_a_full_disk_is_said_once_and_stops_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    real = os.fsync
    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "history.jsonl"
    search = searching(sampler=ListSampler([0.01]), history_file=str(path))
    with pytest.warns(UserWarning, match=r"history.jsonl' could not be written \(.*No space left") as said:
        trainer_of(search, max_epochs=2).fit(Net(), *loaders())
    assert len([one for one in said if "could not be written" in str(one.message)]) == 1
    assert list(tmp_path.iterdir()) == []
    assert len(search.history) == 2
    monkeypatch.setattr(os, "fsync", real)
    trainer_of(search, max_epochs=3).fit(Net(), *loaders())
    assert SearchHistory.load(path) == search.history


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_goes_on_with_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    fit("shuffled", 2, tmp_path / "first", history_file=str(path))
    first = SearchHistory.load(path)
    path.write_text(path.read_text()[:-30])  # the crash tore it
    fit("shuffled", 3, tmp_path / "second", str(tmp_path / "first" / "epoch=1.ckpt"), history_file=str(path))
    whole = SearchHistory.load(path)
    assert [record.epoch for record in whole] == [0, 1, 2]
    assert whole[:2] == first[:]


HOSTILE = [
    '{"epoch": 0, "results": {"__reduce__": ["os.system", ["touch SIGN"]]}}',
    '{"py/object": "os.system", "epoch": 0, "results": []}',
    "!!python/object/apply:os.system ['touch SIGN']",
    "cos\nsystem\n(S'touch SIGN'\ntR.",
    '__import__("os").system("touch SIGN")',
    '{"epoch": "__import__(\'os\').system(\'touch SIGN\')", "results": []}',
    "[" * 100_000,
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_history_runs_no_code(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "history.jsonl").write_text(text + "\n{}\n")
    with pytest.raises(ValueError, match=r"history.jsonl: "):
        SearchHistory.load(tmp_path / "history.jsonl")
    assert [file.name for file in tmp_path.iterdir()] == ["history.jsonl"]


def test_a_pickled_history_is_not_read(tmp_path: Path) -> None:
    torch.save(history(), tmp_path / "history.jsonl")
    with pytest.raises(ValueError, match=r"history.jsonl: .*(not JSON|decode)"):
        SearchHistory.load(tmp_path / "history.jsonl")
