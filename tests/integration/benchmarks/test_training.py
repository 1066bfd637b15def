"""The benchmark's machinery on its smallest workload: what is counted, what repeats, what the report is made of."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lightning_gammabo import SearchPolicy
from tests.integration.benchmarks.parts import imported

pytest.importorskip("sklearn")
PARTS = ("counter", "data", "fitting", "workloads", "methods", "autolrs", "entries", "pictures", "report", "run")
FOLDER = Path("no-folder-is-read")


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    with imported(*(f"benchmarks.training.{part}" for part in PARTS)) as modules:
        yield modules


def measured(bench: SimpleNamespace, method: str, **changes: Any) -> dict[str, Any]:
    key = {"workload": "diabetes-sgd", "method": method, "epochs": 2, "seed": 0, "start": 1.0} | changes
    return bench.run.measure(bench.run.Key(**key), FOLDER)


def test_a_plain_run_costs_one_pass_and_its_validation(bench: SimpleNamespace) -> None:
    row = measured(bench, "cosine")
    assert row["passes"] == 1.0
    assert row["passes_all"] == pytest.approx(1 + 90 / 3 / 250, abs=1e-5)  # 90 samples at a third, beside 250
    assert row["rates"] == [0.01, pytest.approx(0.005)]  # half way down


@pytest.mark.parametrize("policy", ["thesis", "epochwise", "once"])
def test_what_a_search_throws_away_stays_counted(bench: SimpleNamespace, policy: str) -> None:
    run = bench.fitting.Run(bench.workloads.WORKLOADS["diabetes-sgd"], FOLDER, 2, 0)
    some = {"first_random": 2, "first_model": 1, "prune_at": "never", "recover": False}
    some |= {"when": [0.5]} if policy == "epochwise" else {}
    search = bench.methods.GammaLRSearch(SearchPolicy(base=policy, **some), progress=False)
    bench.counter.SAMPLES.reset()
    bench.run.quiet()
    bench.fitting.fit(run, run.module(run.lr), [search])
    told = sum(record.train_passes for record in search.history) + run.epochs - len(search.history)
    assert bench.counter.SAMPLES.trained == pytest.approx(250 * told, abs=1)
    assert told == pytest.approx(6.0 if policy == "thesis" else 4.2)


@pytest.mark.parametrize("method", ["onecycle", "finder", "autolrs"])
def test_a_run_repeats_to_the_last_digit(bench: SimpleNamespace, method: str) -> None:
    first, second = (measured(bench, method) for _ in range(2))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_the_best_epoch_is_the_one_that_is_handed_over(bench: SimpleNamespace) -> None:
    run = bench.fitting.Run(bench.workloads.WORKLOADS["diabetes-sgd"], FOLDER, 20, 0, start=10.0)
    bench.run.quiet()
    last, best = (bench.methods.METHODS[name](run) for name in ("cosine", "cosine-best-epoch"))
    val = run.workload.splits(FOLDER, 0).val
    assert best.val_loss < last.val_loss
    assert best.module.measure(val)["loss"].item() == pytest.approx(best.val_loss, rel=1e-4)


def test_seeds_differ_and_share_the_test_samples(bench: SimpleNamespace) -> None:
    workload = bench.workloads.WORKLOADS["diabetes-sgd"]
    splits = [workload.splits(FOLDER, seed) for seed in (0, 1)]
    test = {tuple(x.tolist()) for x in bench.data.pool("diabetes", FOLDER).test[0]}
    train, val = ([{tuple(x.tolist()) for x in split[part][0]} for split in splits] for part in (0, 1))
    assert train[0] != train[1]
    for mine, theirs in zip(train, val, strict=True):
        assert (len(mine), len(theirs), len(test)) == (250, 90, 102)
        assert not mine & theirs
        assert not (mine | theirs) & test


def test_an_exponential_is_foretold(bench: SimpleNamespace) -> None:
    times = bench.entries.np.arange(16.0)
    curve = 0.02 * times**2 - 0.7 * times + 9  # a spline of the second degree leaves it as it is
    kept = bench.autolrs.clean(times, curve, by_validation=True)
    assert kept == pytest.approx(curve)
    falling = 2 * bench.entries.np.exp(-0.05 * times) + 1
    foretold = bench.autolrs.forecast(times, falling, 60.0, by_validation=True)
    assert foretold == pytest.approx(2 * bench.entries.np.exp(-3.0) + 1, abs=0.1)


def noted(seed: int, method: str, start: float, loss: float | None, **more: Any) -> dict[str, Any]:
    row = {"workload": "diabetes-sgd", "method": method, "epochs": 10, "seed": seed, "start": start}
    return row | {"passes": 1.0, "passes_all": 1.125, "val_loss": loss, "test_loss": loss, "rates": [0.1]} | more


@pytest.fixture
def rows(bench: SimpleNamespace) -> list[dict[str, Any]]:
    grid = bench.workloads.GRID
    found = [noted(seed, "cosine", start, 0.5 + 0.01 * abs(i - 2)) for seed in (0, 1) for i, start in enumerate(grid)]
    found += [noted(seed, "once", 1.0, loss, passes_all=1.75) for seed, loss in ((0, 0.525), (1, 0.475))]
    return [*found, noted(0, "constant", 1.0, None)]


def test_the_best_of_a_grid_costs_the_grid(bench: SimpleNamespace, rows: list[dict[str, Any]]) -> None:
    found = bench.entries.entries(rows)
    oracle = found[bench.entries.ORACLE]
    assert [row["start"] for row in oracle.runs.values()] == [bench.workloads.GRID[2]] * 2
    assert oracle.search == {0: 9.0, 1: 9.0}
    assert found["constant"].lost == 1
    assert found["constant"].mean("test_loss") == pytest.approx(1.0)  # counts as guessing


def test_differences_are_paired_by_seed(bench: SimpleNamespace, rows: list[dict[str, Any]]) -> None:
    found = bench.entries.entries(rows)
    gap = bench.entries.difference(found["once"], found[bench.entries.ORACLE], "loss")
    assert (gap.mean, gap.seeds) == (pytest.approx(0.0), 2)
    assert gap.half == pytest.approx(12.706 * 5.0, rel=1e-3)  # +5 % and -5 %: s.e. 5, one degree of freedom
    assert bench.entries.difference(found["once"], found[bench.entries.ORACLE], "accuracy") is None


def test_the_price_by_length_of_run(bench: SimpleNamespace, rows: list[dict[str, Any]]) -> None:
    assert "| 10 x 25 | 1 | 2 | 1.00 | 1.75 | +0.0 | +0.0 |" in bench.report.price_table(rows, "once")


def test_the_pages_are_made_of_the_rows(
    bench: SimpleNamespace, rows: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, docs = tmp_path / "noted", tmp_path / "docs"
    results.mkdir()
    (results / "diabetes-sgd-10.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (results / "versions.json").write_text('{"torch": "9.9"}')
    docs.mkdir()
    tables, short = docs / "results_tables.md", docs / "results.md"
    tables.write_text(f"before\n{bench.report.BEGIN}\nold\n{bench.report.END}\nafter\n")
    short.write_text("words\n{}\nold\n{}\n".format(*bench.report.SUMMARY))
    monkeypatch.setattr(sys, "argv", ["report.py", f"--results={results}", f"--docs={docs}"])
    bench.report.main()
    got = tables.read_text()
    assert got.startswith("before\n")
    assert got.endswith("after\n")
    assert "old" not in got
    assert "| **once** | 2 | 1.00 | 1.75 | - | 0.500 ± 0.035 | - | +0.00 ± 63.53 |" in got
    assert "Versions: torch 9.9." in got
    assert (docs / "images" / "benchmarks-10.svg").exists()
    words = short.read_text()
    assert words.startswith("words\n")
    assert "old" not in words
    assert "| **once** | 1.75 | +0.00 (+0.00) | - |" in words
    assert "![Test loss against cost, 10 epochs of 25 to 100 steps](images/benchmarks-10.svg)" in words


def test_noted_runs_are_not_made_again(bench: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--data-dir=.", "--workload=diabetes-sgd", "--method=cosine", "--epochs=1", f"--out={tmp_path}"]
    for seeds, lines in (("0", 1), ("0-1", 2), ("0,1", 2)):
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments, "--seeds", seeds])
        bench.run.main()
        assert len((tmp_path / "diabetes-sgd-1.jsonl").read_text().splitlines()) == lines
