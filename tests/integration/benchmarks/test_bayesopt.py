"""The benchmark's machinery: problems, runs that begin alike, every search without BoTorch, and the tables."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

PARTS = ("problems", "functions", "stock", "searches", "calibration", "report", "warm", "thesis")
FAST = ("gamma", "gamma_own_start", "gamma_no_inside", "gamma_one_node", "gamma_thesis", "grid", "sobol", "random")


@pytest.fixture(scope="module")
def bench() -> SimpleNamespace:
    return SimpleNamespace(**{part: importlib.import_module(f"benchmarks.bayesopt.benchmark_{part}") for part in PARTS})


def test_regret_is_zero_at_the_best_and_one_at_the_worst(bench: SimpleNamespace) -> None:
    problem = bench.problems.function_problem("wall")
    assert np.isnan(problem.values).any()
    assert problem.regrets.min() == 0.0
    assert problem.regrets.max() == pytest.approx(1.0)  # diverged points count as the floor


def test_krasser_has_its_known_optimum(bench: SimpleNamespace) -> None:
    problem = bench.problems.function_problem("krasser")
    best = int(problem.values.argmax())
    assert 3 * problem.unit[best] - 1 == pytest.approx(-0.36)
    assert problem.values[best] == pytest.approx(0.5004, abs=1e-4)


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("group", ["wall", "krasser_noise"])
def test_every_search_recommends_what_it_has_seen(bench: SimpleNamespace, name: str, group: str) -> None:
    run = bench.problems.Run(bench.problems.function_problem(group), 3)
    recommended = bench.searches.SEARCHES[name](run, 6)
    assert len(recommended) == 6
    if name not in ("grid", "sobol", "gamma_own_start"):
        assert run.index[:2] == bench.problems.Run(run.problem, 3).initial
    if name != "grid":  # whose recommendation after n is that of a grid of n
        assert all(index in run.index[: n + 1] for n, index in enumerate(recommended))


def test_side_by_side_trials_are_asked_before_they_are_told(bench: SimpleNamespace) -> None:
    problem = bench.problems.function_problem("wall")
    alone, four = bench.problems.Run(problem, 3), bench.problems.Run(problem, 3)
    recommended = bench.searches.SEARCHES["gamma_four"](four, 8)
    bench.searches.SEARCHES["gamma"](alone, 8)
    assert four.index[:2] == alone.index[:2]
    assert four.index != alone.index
    assert len(recommended) == len(four.index) == 8
    regrets = problem.regrets
    assert [regrets[i] for i in recommended] == np.minimum.accumulate(regrets[four.index]).tolist()


def test_report_of_two_searches(bench: SimpleNamespace, tmp_path: Path) -> None:
    folder = tmp_path / "regret"
    folder.mkdir()
    for name, index in (("stock", 0), ("gamma", 5)):
        runs = [
            {"cluster": r, "part": 0, "repetition": r, "index": [index] * 12, "recommended": [index] * 12}
            for r in range(4)
        ]
        (folder / f"{name}-krasser.json").write_text(json.dumps(runs), encoding="utf-8")
    row = bench.report.regret_summary(folder)["krasser"]["gamma"]
    regrets = bench.problems.function_problem("krasser").regrets
    assert row["regret 8"] == pytest.approx(regrets[5])
    assert row["against stock"]["ratio"] == pytest.approx(regrets[5] / regrets[0])
    assert row["evaluations to 5%"] is None


def test_report_replaces_the_marked_part_of_a_page(bench: SimpleNamespace, tmp_path: Path) -> None:
    folder = tmp_path / "regret"
    folder.mkdir()
    for name, index in (("stock", 0), ("gamma", 5)):
        runs = [{"cluster": r, "part": 0, "repetition": r, "recommended": [index] * 12} for r in range(4)]
        (folder / f"{name}-krasser.json").write_text(json.dumps(runs), encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text("intro\n<!-- benchmark: begin -->\nstale rows\n<!-- benchmark: end -->\nend\n", encoding="utf-8")
    (tmp_path / "versions.json").write_text('{"torch": "9.9"}', encoding="utf-8")
    bench.report.write_report(tmp_path, ["stock", "gamma"], page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("intro\n<!--")
    assert text.endswith("-->\nend\n")
    assert "stale rows" not in text
    assert "torch 9.9" in text
    better = bench.problems.function_problem("krasser").regrets[[0, 5]]
    assert f"| {better[1] / better[0]:.2f} [" in text
    assert f"worse on: {'none' if better[1] <= better[0] else 'krasser'} |" in text


def test_a_moved_landscape_keeps_its_gain(bench: SimpleNamespace) -> None:
    problem = bench.problems.landscape_problems("digits")[0]
    moved = bench.warm.shifted(problem, -30)
    assert np.isnan(moved.values[-30:]).all()
    assert moved.values[0] == problem.values[30]
    gain = np.nanmax(moved.values) - moved.worst
    assert gain == pytest.approx(np.nanmax(problem.values) - problem.worst)


def test_held_out_regret_is_of_the_same_choice_on_other_images(bench: SimpleNamespace) -> None:
    cases = bench.warm.sequences("digits", 0)[:1]
    seen, unseen, clusters = bench.warm.measure_cell(cases, 3, warm=True, repetitions=1)
    chosen = bench.warm.follow(cases[0], 3, warm=True, repetition=0)
    held = {(p.cluster, p.part): p.regrets for p in bench.problems.landscape_problems("digits", held_out=True)}
    assert clusters == [0]
    assert seen[0].tolist() == [p.regrets[i] for p, i in zip(cases[0], chosen, strict=True)][1:]
    assert unseen[0].tolist() == [held[0, p.part][i] for p, i in zip(cases[0], chosen, strict=True)][1:]
    assert held[0, 0].min() == 0.0


def test_foresight_grows_with_what_is_foreseen(bench: SimpleNamespace) -> None:
    problem = bench.problems.landscape_problems("digits")[1]
    assert bench.warm.foreseen(problem, 1, 1e-6) == 0.0  # nothing is blurred: the best one itself
    assert bench.warm.foreseen(problem, 121, 1.0) == 0.0  # all are looked at
    blurred = np.mean([bench.warm.foreseen(p, 6, 0.27) for p in bench.problems.landscape_problems("digits")])
    assert blurred > np.mean([bench.warm.foreseen(p, 6, 0.07) for p in bench.problems.landscape_problems("digits")])


def test_gamma_re_estimate_by_hand(bench: SimpleNamespace) -> None:
    mean, var = bench.thesis.gamma_moments(np.array([0.0]), np.array([1.0]), np.array([1.0, -1.0]))
    # E[precision] = (1 + 1) / (1 * 2 + 2 / 2) = 2/3; 1/V = 1 + 2 * 2/3; the observations sum to 0
    assert var[0] == pytest.approx(3 / 7)
    assert mean[0] == pytest.approx(0.0)
