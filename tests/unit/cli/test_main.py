"""One project of ordinary Lightning code, searched in every way that needs no line of it changed."""

from __future__ import annotations

import importlib
import inspect
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_gammabo import GammaLRSearch, GammaSchedule, LRSchedule, SearchHistory
from lightning_gammabo.cli.environment import VARIABLE
from lightning_gammabo.cli.main import main, make_cli
from lightning_gammabo.trainer.compat import NAMESPACES
from tests.integration.identity.fingerprint import without_times

pytest.importorskip("jsonargparse")
pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[3]
PROJECT = ROOT / "tests" / "integration" / "project" / "config.yaml"
CONFIGS = sorted((ROOT / "examples" / "configs").glob("*.yaml"))
MODEL, DATA = "tests.integration.project.model.Classifier", "tests.integration.project.model.Numbers"
POLICY = {"base": "thesis", "first_random": 2, "first_model": 1}
SEARCHED = {"policy": POLICY, "sampler": "random", "max_lr": 0.5}
FLAGS = {f"policy.{name}": value for name, value in POLICY.items()} | {"sampler": "random", "max_lr": 0.5}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    return lambda *given: monkeypatch.setattr(sys, "argv", ["program", *map(str, given)])


def project_main() -> Any:
    return importlib.import_module("tests.integration.project.main").main()


def write(name: str, content: Any) -> str:
    Path(name).write_text(yaml.safe_dump(content), encoding="utf-8")
    return name


def listed(**arguments: Any) -> dict[str, Any]:
    entry = {"class_path": "lightning_gammabo.GammaLRSearch", "init_args": arguments}
    return {"trainer": {"callbacks": [entry]}}


def test_every_way_gives_the_same_history(words: Any, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    found = {}
    words("fit", "-c", PROJECT, "-c", write("search.yaml", listed(**SEARCHED)), "--trainer.default_root_dir=yaml")
    found["YAML alone"] = GammaLRSearch.of(project_main().trainer).history

    flags = [f"--trainer.callbacks.{name}={value}" for name, value in FLAGS.items()]
    search = "--trainer.callbacks=lightning_gammabo.GammaLRSearch"
    words("fit", "-c", PROJECT, search, *flags, "--trainer.default_root_dir=flags")
    found["flags alone"] = GammaLRSearch.of(project_main().trainer).history

    own = yaml.safe_load(PROJECT.read_text())
    for part, class_path in (("model", MODEL), ("data", DATA)):
        own[part] = {"class_path": class_path, "init_args": own[part]}
    flags = [f"--search.{name}={value}" for name, value in FLAGS.items()]
    words("fit", "-c", write("own.yaml", own), *flags, "--trainer.default_root_dir=module")
    runpy.run_path(str(ROOT / "lightning_gammabo" / "__main__.py"), run_name="__main__")
    found["python -m lightning_gammabo"] = SearchHistory.from_jsonl((folder / "module/history.jsonl").read_text())

    monkeypatch.setenv(VARIABLE, ",".join(f"{name}={value}" for name, value in SEARCHED.items()))
    words("fit", "-c", PROJECT, "--trainer.default_root_dir=environment")
    found["environment"] = GammaLRSearch.of(project_main().trainer).history

    first, *others = [without_times(history) for history in found.values()]
    assert len(first) == 2
    assert [len(record.results) for record in first] == [3, 3]
    assert all(other == first for other in others), found


def test_every_argument_goes_round_in_a_file(words: Any, capsys: pytest.CaptureFixture[str]) -> None:
    objects = {
        "objective": {"class_path": "tests.integration.project.own.Weighted", "init_args": {"weight": 0.25}},
        "sampler": {"class_path": "tests.integration.project.own.Coarse", "init_args": {"points": 4}},
    }
    printed = []
    for config in (write("search.yaml", listed(**objects, policy={"base": "once", "when": [0.5]})), "printed.yaml"):
        words("fit", "-c", PROJECT, "-c", config, "--print_config")
        with pytest.raises(SystemExit):
            project_main()
        printed.append(capsys.readouterr().out)
        Path("printed.yaml").write_text(printed[-1], encoding="utf-8")
    assert printed[0] == printed[1]
    (entry,) = yaml.safe_load(printed[0])["trainer"]["callbacks"]
    assert entry["class_path"] == "lightning_gammabo.GammaLRSearch"
    assert list(entry["init_args"]) == list(inspect.signature(GammaLRSearch).parameters)
    assert {name: entry["init_args"][name] for name in objects} == objects


def test_objects_come_by_flags(words: Any) -> None:
    cli = make_cli(NAMESPACES[0])
    words()
    objects = ["--search.objective=tests.integration.project.own.Weighted", "--search.objective.weight=0.25"]
    objects += [
        "--search.sampler=tests.integration.project.own.Coarse",
        "--search.sampler.points=4",
        "--search.policy=thesis",
    ]
    found = cli(args=[f"--model={MODEL}", *objects], run=False).config_init.search
    assert (type(found.objective).__name__, found.objective.weight) == ("Weighted", 0.25)
    assert (type(found.sampler).__name__, found.sampler.points) == ("Coarse", 4)


def test_own_objects_rank_and_propose(words: Any, folder: Path) -> None:
    objects = [
        "--search.objective=tests.integration.project.own.Weighted",
        "--search.sampler=tests.integration.project.own.Coarse",
    ]
    common = ["--trainer.max_epochs=1", "--trainer.logger=false", "--trainer.accelerator=cpu", "--search.policy=thesis"]
    main(["fit", f"--model={MODEL}", f"--data={DATA}", *objects, *common, "--trainer.enable_progress_bar=false"])
    (record,) = SearchHistory.from_jsonl((folder / "history.jsonl").read_text())
    assert (record.objective, record.sampler) == ("Weighted", "Coarse")
    assert [result.origin for result in record.results] == ["current", "grid", "grid"]
    for result in record.results:
        assert result.score == pytest.approx(result.metrics["val_acc"] - 0.5 * result.metrics["val_loss"])
    assert record.chosen == max(record.results, key=lambda result: result.score)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_configurations_are_taken(config: Path, words: Any) -> None:
    # half a pass for each of a few epochs, which economical.yaml allows, is less than one search costs
    epochs = 20 if config.stem == "economical" else 1
    words("fit", "-c", PROJECT, "-c", config, f"--trainer.max_epochs={epochs}", "--trainer.limit_val_batches=1")
    assert len(GammaLRSearch.of(project_main().trainer).history) == 1


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_modules_of_both_namespaces_are_taken(namespace: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(namespace)
    source = PROJECT.with_name("model.py").read_text().replace("lightning.pytorch", namespace)
    name = f"project_of_{namespace.replace('.', '_')}"
    (folder / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    model = {"class_path": f"{name}.Classifier", "init_args": {"width": 6}}
    config = write("model.yaml", {"model": model, "data": {"class_path": f"{name}.Numbers"}})
    options = ["--trainer.max_epochs=1", "--trainer.logger=false", "--trainer.accelerator=cpu"]
    main(["fit", "-c", config, *options, "--search.policy.first_model=0", "--search.sampler=random"])
    assert len(SearchHistory.from_jsonl((folder / "history.jsonl").read_text())) == 1
    assert (folder / "config.yaml").read_text().startswith(f"# {namespace}==")


def test_a_listed_search_is_not_doubled(words: Any, folder: Path) -> None:
    config = write("search.yaml", listed(**SEARCHED))
    common = ["-c", config, f"--model={MODEL}", f"--data={DATA}", "--trainer.max_epochs=1", "--trainer.logger=false"]
    main(["fit", *common])
    (record,) = SearchHistory.from_jsonl((folder / "history.jsonl").read_text())
    assert record.sampler == "random"
    with pytest.raises(
        SystemExit,
        match=r"^lightning-gammabo fit: a GammaLRSearch stands in trainer\.callbacks: give its arguments there, or",
    ):
        main(["fit", *common, "--search.seed=3"])


def test_export_and_replay(words: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [f"--search.{name}={value}" for name, value in FLAGS.items()]
    common = ["--trainer.max_epochs=2", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    main(["fit", f"--model={MODEL}", f"--data={DATA}", *flags, *common, "--trainer.default_root_dir=run"])
    capsys.readouterr()

    main(["export", "run"])
    assert capsys.readouterr().out == "schedule of 2 epochs: run/schedule.yaml\n"
    found = LRSchedule.load("run/schedule.yaml")
    history = SearchHistory.from_jsonl(Path("run/history.jsonl").read_text())
    assert [rate.start for rate in found.rates] == [record.chosen.lr for record in history]
    # from the history alone: the steps are those of the optimizer
    main(["export", "run/history.jsonl", "--out", "again.json"])
    assert LRSchedule.load("again.json") == found

    replay = ["--optimizer=SGD", "--optimizer.lr=0.05", "--lr_scheduler=lightning_gammabo.GammaSchedule"]
    replay += ["--lr_scheduler.schedule=run/schedule.yaml", "--lr_scheduler.steps_per_epoch=1"]
    words("fit", "-c", PROJECT, *replay)
    trainer = project_main().trainer
    (scheduler,) = [config.scheduler for config in trainer.lr_scheduler_configs]
    assert isinstance(scheduler, GammaSchedule)
    assert trainer.optimizers[0].param_groups[0]["lr"] == found.rates[-1].end


def test_a_report_is_made_beside_the_history(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    written = []
    html: Any = types.ModuleType("lightning_gammabo.report.html")
    html.write_report = lambda history, path: written.append((history, path))
    monkeypatch.setitem(sys.modules, "lightning_gammabo.report.html", html)
    history = SearchHistory()
    (folder / "run").mkdir()
    history.save(folder / "run" / "history.jsonl")
    main(["report", "run"])
    main(["report", "run/history.jsonl", "--out", "other.html"])
    assert written == [(history, Path("run/report.html")), (history, Path("other.html"))]


def test_words_for_what_a_report_needs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_gammabo.report.html", None)
    SearchHistory().save(folder / "history.jsonl")
    with pytest.raises(SystemExit, match=r"lightning-gammabo report: a report needs .*\[report\]"):
        main(["report", "history.jsonl"])


def test_words_for_what_is_no_history(folder: Path) -> None:
    with pytest.raises(SystemExit, match=r"lightning-gammabo report: nowhere is not there; name a run's folder, or"):
        main(["report", "nowhere"])
    with pytest.raises(SystemExit, match=r"lightning-gammabo export: history\.jsonl is not there"):
        main(["export", "."])
    Path("history.csv").write_text("epoch,chosen\n0,True\n")
    with pytest.raises(SystemExit, match=r"export: history\.csv: a CSV file lacks half of each record"):
        main(["export", "history.csv"])


def test_a_history_with_an_annealing_is_no_schedule(words: Any, folder: Path) -> None:
    options = ["--trainer.max_epochs=2", "--trainer.logger=false", "--search.policy.base=once"]
    options += ["--search.policy.smooth_first=false", "--search.sampler=random"]
    main(["fit", f"--model={MODEL}", f"--data={DATA}", *options])
    main(["export", "."])
    found = LRSchedule.load("schedule.yaml")
    assert found.annealing == "linear"
    assert [rate.epoch for rate in found.rates] == [0, 1]
    assert found.rates[0].start > found.rates[0].end > found.rates[1].start > found.rates[1].end
    with pytest.raises(SystemExit, match=r"holds the searches, .*`callback\.export_schedule\('schedule\.json'\)`"):
        main(["export", "history.jsonl"])


def test_words_where_jsonargparse_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jsonargparse" else find(name))
    with pytest.raises(SystemExit, match=r"fit needs jsonargparse: pip install 'lightning_gammabo\[cli\]'"):
        main(["fit", f"--model={MODEL}"])


@pytest.mark.parametrize("given", [[], ["--help"], ["-h"]])
def test_help_names_all_commands(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(given)
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert all(f"\n    {name} " in out for name in ("fit", "validate", "test", "predict", "report", "export"))


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serach"])
    assert "invalid choice: 'serach'" in capsys.readouterr().err


def test_a_run_is_tested_with_the_configuration_it_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
    main(["fit", f"--model={MODEL}", f"--data={DATA}", *common, "--trainer.max_epochs=1", "--search.sampler=random"])
    shutil.move("config.yaml", "run.yaml")
    capsys.readouterr()
    main(["test", "-c", "run.yaml"])
    out = capsys.readouterr().out
    assert "Test metric" in out
    assert "val_acc" in out
