"""The command line: a LightningCLI with the search at hand, and what can be done with a finished run.

``fit``, ``validate``, ``test`` and ``predict`` are Lightning's own, for any module and data module, with one group of
arguments more: ``--search.*``. ``report`` and ``export`` read what a searched fit left in its folder.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.utilities import rank_zero_info

from lightning_gammabo.callback import GammaLRSearch
from lightning_gammabo.cli import sentences
from lightning_gammabo.learning_rate.schedule import LRSchedule, constant_rates
from lightning_gammabo.records import SearchHistory
from lightning_gammabo.trainer.compat import NAMESPACES, join_namespaces

__all__ = ["HISTORY_FILE", "SCHEDULE_FILE", "SearchArguments", "main", "make_cli"]

HISTORY_FILE = "history.jsonl"
SCHEDULE_FILE = "schedule.json"
"""what a fit of the command line leaves in its folder"""

_LIGHTNING = {
    "fit": "search the learning rate of a project while it trains",
    "validate": "Lightning's own",
    "test": "Lightning's own",
    "predict": "Lightning's own",
}


class SearchArguments:
    """What turns a ``LightningCLI``, of either namespace, into one with a search: to be mixed in before it."""

    config_init: Any
    subcommand: str | None
    trainer: Any

    def add_arguments_to_parser(self, parser: Any) -> None:
        """Offer every argument of the callback.

        Args:
            parser: the parser of a subcommand.
        """
        parser.add_class_arguments(GammaLRSearch, "search", sub_configs=True)

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Make the Trainer, with the search among its callbacks.

        Args:
            **kwargs: arguments of the Trainer that override the configured ones.

        Returns:
            The Trainer.

        Raises:
            ValueError: if a search is configured twice.
        """
        config = self.config_init[self.subcommand] if self.subcommand is not None else self.config_init
        listed = config.trainer.callbacks or []
        listed = listed if isinstance(listed, list) else [listed]
        if not any(isinstance(callback, GammaLRSearch) for callback in listed):
            listed = [*listed, config.search]
        elif _arguments(config.search) != _arguments(GammaLRSearch()):
            raise ValueError("a GammaLRSearch stands in trainer.callbacks: give its arguments there, or by --search.*")
        return super().instantiate_trainer(**{**kwargs, "callbacks": listed})  # type: ignore[misc]

    def after_fit(self) -> None:
        """Leave history and schedule in the run's folder."""
        folder = self.trainer.log_dir or self.trainer.default_root_dir
        search = GammaLRSearch.of(self.trainer)
        if not self.trainer.is_global_zero or not search.history:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        search.history.save(Path(folder, HISTORY_FILE))
        search.export_schedule(Path(folder, SCHEDULE_FILE))
        rank_zero_info(f"GammaLRSearch: {HISTORY_FILE} and {SCHEDULE_FILE} are in {folder}")


def make_cli(namespace: str) -> Callable[..., Any]:
    """The command line for modules of one of Lightning's namespaces.

    Args:
        namespace: ``lightning.pytorch`` or ``pytorch_lightning``.

    Returns:
        A subclass of its ``LightningCLI``.
    """
    base = importlib.import_module(f"{namespace}.cli").LightningCLI
    join_namespaces(GammaLRSearch)
    return type("SearchCLI", (SearchArguments, base), {})


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: its arguments; None for those of the process.

    Raises:
        SystemExit: with words, if something that is needed is not there.
    """
    words = list(sys.argv[1:] if args is None else args)
    # a project that is not installed is looked for where the command is given, as with `python -m`
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    first = words[0] if words else "--help"
    if first in _LIGHTNING or (first.startswith("-") and first not in ("-h", "--help")):
        _run_lightning(words)
        return
    chosen = _own_parser().parse_args(words or ["--help"])
    try:
        print(chosen.run(chosen))
    except (OSError, ValueError, ModuleNotFoundError) as error:
        raise SystemExit(f"lightning-gammabo {first}: {error}") from error


def _run_lightning(words: list[str]) -> None:
    if importlib.util.find_spec("jsonargparse") is None:
        raise SystemExit(f"lightning-gammabo {words[0]} needs jsonargparse: pip install 'lightning_gammabo[cli]'")
    given = sys.argv
    # Lightning reads them there, and starts the other processes of a run with them
    sys.argv = [given[0], *words]
    quiet: dict[str, Any] = {"exit_on_error": False}
    each = {name: {"prog": f"lightning-gammabo {name}", **quiet} for name in _LIGHTNING}
    try:
        make_cli(_namespace_of(words))(parser_kwargs={"prog": "lightning-gammabo", **quiet, **each})
    except Exception as error:
        parsed = isinstance(error, argparse.ArgumentError)
        said = sentences.of_parser(str(error)) if parsed else sentences.of_exception(error)
        if said is None:
            raise
        raise SystemExit(f"lightning-gammabo {words[0]}: {said}") from error
    finally:
        sys.argv = given


def _own_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("lightning-gammabo", description="Tune the learning rate while training.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, words in _LIGHTNING.items():
        commands.add_parser(name, help=words)  # shown only: these never come here
    run = f"folder of a run that has {HISTORY_FILE}, or a history file (.jsonl)"
    report = commands.add_parser("report", help="pictures and report of a searched run, as one HTML file")
    report.add_argument("RUN", type=Path, help=run)
    report.add_argument("--out", type=Path, help="file to write; default: report.html beside the history")
    report.set_defaults(run=_report)
    export = commands.add_parser("export", help="the schedule that a searched run found, to be replayed")
    export.add_argument("RUN", type=Path, help=run)
    export.add_argument("--out", type=Path, help="file to write, .json or .yaml; default: schedule.yaml beside it")
    export.set_defaults(run=_export)
    return parser


def _report(chosen: argparse.Namespace) -> str:
    path, history = _history(chosen.RUN)
    try:
        html = importlib.import_module("lightning_gammabo.report.html")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"a report needs {error.name}: pip install 'lightning_gammabo[report]'", name=error.name
        ) from error
    out = chosen.out or path.with_name("report.html")
    html.write_report(history, out)
    return f"{history}\nreport: {out}"


def _export(chosen: argparse.Namespace) -> str:
    run: Path = chosen.RUN
    if run.is_dir() and (run / SCHEDULE_FILE).is_file():
        path, found = run / SCHEDULE_FILE, LRSchedule.load(run / SCHEDULE_FILE)
    else:
        path, history = _history(run)
        found = _schedule_of(path, history)
    out = chosen.out or path.with_name("schedule.yaml")
    return f"schedule of {len(found.rates)} epochs: {found.save(out)}"


def _history(run: Path) -> tuple[Path, SearchHistory]:
    path = run / HISTORY_FILE if run.is_dir() else run
    if not path.is_file():
        raise ValueError(f"{path} is not there; name a run's folder, or the file that history_file=... wrote")
    return path, SearchHistory.load(path)


def _schedule_of(path: Path, history: SearchHistory) -> LRSchedule:
    # from a history alone the rates are known only where each epoch was searched, and kept constant
    if any(not record.policy.startswith("thesis") or record.annealing != 1.0 for record in history):
        raise ValueError(
            f"{path} holds the searches, and the rates between them were annealed; the run itself knows them: "
            f"`callback.export_schedule({SCHEDULE_FILE!r})` in its folder"
        )
    return LRSchedule(rates=tuple(constant_rates(history)), annealing="constant")


def _arguments(search: GammaLRSearch) -> dict[str, Any]:
    return {name: value for name, value in vars(search).items() if not name.startswith("_")}


def _namespace_of(words: Sequence[str]) -> str:
    """The namespace that the model or the data module of a command line is made for.

    Args:
        words: the arguments, unparsed: which parser reads them depends on this.

    Returns:
        ``pytorch_lightning`` if one of them is derived from its classes, else ``lightning.pytorch``.
    """
    look = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for part in ("model", "data"):
        look.add_argument(f"--{part}", f"--{part}.class_path", action="append", default=[])
    look.add_argument("-c", "--config", action="append", default=[])
    found = look.parse_known_args(words)[0]
    paths = [*found.model, *found.data]
    for config in found.config:
        plain = yaml.safe_load(Path(config).read_text(encoding="utf-8")) if Path(config).is_file() else None
        sections = [plain, *plain.values()] if isinstance(plain, dict) else []
        values = [section.get(part) for section in sections if isinstance(section, dict) for part in ("model", "data")]
        paths += [value.get("class_path") if isinstance(value, dict) else value for value in values]
    return next(
        (NAMESPACES[1] for path in paths if isinstance(path, str) and _is_of(path, NAMESPACES[1])), NAMESPACES[0]
    )


def _is_of(class_path: str, namespace: str) -> bool:
    module, _, name = class_path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name) if module else None
    except (ImportError, AttributeError):
        return False  # the parser says it better
    return any(base.__module__.split(".")[0] == namespace for base in getattr(found, "__mro__", ()))
