"""The arguments of a search: what a fit reads of them, and the checks when they are given."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lightning_gammabo.bayesopt import SAMPLER_NAMES, SamplerFactory
from lightning_gammabo.determinant.direction import known_mode
from lightning_gammabo.determinant.kappa import Kappa
from lightning_gammabo.determinant.objective import CustomObjective, Objective
from lightning_gammabo.policy import SearchPolicy, make_policy

__all__ = ["Cap", "SearchArguments", "check_arguments", "check_paths"]

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*%\s*s")


class SearchArguments(Protocol):
    """The arguments of :class:`~lightning_gammabo.GammaLRSearch`, as given; they are described there."""

    policy: str | SearchPolicy
    min_lr: float | None
    max_lr: float | None
    sampler: str | SamplerFactory
    objective: str | Kappa | CustomObjective
    mode: Any
    monitor_loss: str | None
    monitor_accuracy: str | None
    val_dataloaders: Any
    lr_schedulers: Any
    commit: Any
    max_overhead: float | str | None
    seed: int
    history_file: str | None
    report: str | None
    progress: bool
    log_figures: bool
    log_metrics: Any


@dataclass(frozen=True, slots=True)
class Cap:
    """Upper limit of what searches cost.

    Args:
        share: extra cost per plain pass; None for no cap.
        unit: ``passes`` over the training data, or ``seconds``.

    Example:
        >>> Cap.parse("30%s")
        Cap(share=0.3, unit='seconds')
    """

    share: float | None
    unit: str = "passes"

    @classmethod
    def parse(cls, value: float | str | None) -> Cap:
        """The cap that ``max_overhead`` asks for.

        Args:
            value: extra passes per plain pass, ``"30%s"`` for 30 % of the training time in seconds, or None.

        Returns:
            The cap.

        Raises:
            ValueError: if the value is negative, not finite, or a word of another form.
            TypeError: if it is neither a number nor a word.
        """
        remedy = "give extra passes per plain pass such as 0.5, a share of the time such as '30%s', or None for no cap"
        if value is None:
            return cls(None)
        if isinstance(value, str):
            found = _SECONDS.fullmatch(value.strip())
            if found is None:
                raise ValueError(f"max_overhead={value!r}: {remedy}")
            return cls(float(found.group(1)) / 100.0, "seconds")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"max_overhead={value!r}: need a number or a word, not {type(value).__name__}; {remedy}")
        if not 0.0 <= value < math.inf:
            raise ValueError(f"max_overhead={value!r}: {remedy}")
        return cls(float(value))


def check_arguments(given: SearchArguments) -> None:
    """Refuse arguments that are out of their domain, or contradict each other.

    Args:
        given: the arguments.

    Raises:
        TypeError: if one is of the wrong type.
        ValueError: if one is out of its domain, or two contradict each other.
    """
    policy = make_policy(given.policy)
    Cap.parse(given.max_overhead)
    _check_range(given)
    _check_words(given)
    _check_names(given)
    Objective(given.objective, mode=given.mode)
    _check_schedulers(given, policy)


def _check_range(given: SearchArguments) -> None:
    for name in ("min_lr", "max_lr"):
        value = getattr(given, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise TypeError(f"{name}={value!r}: need a number, not {type(value).__name__}")
    low = given.min_lr if given.min_lr is not None else min(given.max_lr or 1.0, 1.0) / 10.0
    high = given.max_lr if given.max_lr is not None else max(low, 1.0) * 10.0
    if not 0.0 < low < high < math.inf:
        raise ValueError(
            f"min_lr={given.min_lr!r}, max_lr={given.max_lr!r}: need 0 < min_lr < max_lr < inf (log scale), "
            "for example min_lr=1e-4, max_lr=1.0"
        )
    if isinstance(given.seed, bool) or not isinstance(given.seed, int):
        raise TypeError(f"seed={given.seed!r}: need a whole number, not {type(given.seed).__name__}")
    if given.seed < 0:
        raise ValueError(f"seed={given.seed!r}: a seed is not negative")


def _check_words(given: SearchArguments) -> None:
    choices: dict[str, tuple[str | None, ...]] = {
        "commit": ("copy", "replay"),
        "lr_schedulers": ("override", "scale", "error", None),
        "log_metrics": ("epoch", "off"),
    }
    for name, allowed in choices.items():
        if getattr(given, name) not in allowed:
            raise ValueError(f"{name}={getattr(given, name)!r}: choose one of {', '.join(map(repr, allowed))}")
    for name in ("progress", "log_figures"):
        if not isinstance(getattr(given, name), bool):
            raise TypeError(f"{name}={getattr(given, name)!r}: need True or False")
    if not isinstance(given.sampler, SamplerFactory) and given.sampler not in SAMPLER_NAMES:
        names = ", ".join(map(repr, SAMPLER_NAMES))
        remedy = "ListSampler([...]) for a list of rates, or a SamplerFactory"
        raise ValueError(f"sampler={given.sampler!r}: choose one of {names}, {remedy}")


def _check_names(given: SearchArguments) -> None:
    for name in ("monitor_loss", "monitor_accuracy", "history_file", "report"):
        value = getattr(given, name)
        if value is None:
            continue
        is_file = name in ("history_file", "report")
        if not isinstance(value, (str, Path) if is_file else str):
            raise TypeError(f"{name}={value!r}: need a {'path' if is_file else 'name'}, not {type(value).__name__}")
        if not str(value):
            raise ValueError(f"{name}={value!r}: a name is not empty")
        wrong = {"monitor_loss": "max", "monitor_accuracy": "min"}.get(name)
        if wrong is not None and known_mode(str(value)) == wrong:
            better, noun = ("higher", "loss") if wrong == "max" else ("lower", "accuracy")
            raise ValueError(
                f"{name}={value!r}: by its name it is better when it is {better}, so it is no {noun}. "
                f"Leave {name} out, or rank by this metric: objective={value!r}"
            )
        endings = {"history_file": (".jsonl", ".csv"), "report": (".html", ".htm")}.get(name)
        if endings is not None and (Path(value).is_dir() or Path(value).suffix not in endings):
            kind = "is a folder" if Path(value).is_dir() else f"ends in {Path(value).suffix!r}"
            raise ValueError(f"{name}={str(value)!r}: {kind}; name a file that ends in {' or '.join(endings)}")


def check_paths(given: SearchArguments) -> None:
    """Refuse files that could not be written, before anything is trained.

    Args:
        given: the arguments.

    Raises:
        ValueError: if the folder of a file is a file, or may not be written to.
    """
    for name in ("history_file", "report"):
        path = getattr(given, name)
        if path is None:
            continue
        folder = next(parent for parent in Path(path).absolute().parents if parent.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            why = "may not be written to" if folder.is_dir() else "is no folder"
            raise ValueError(f"GammaLRSearch({name}={str(path)!r}): {folder} {why}; name another file")


def _check_schedulers(given: SearchArguments, policy: SearchPolicy) -> None:
    annealing = policy.annealing
    if given.lr_schedulers == "scale" and annealing not in ("auto", "scheduler", "constant", "configured"):
        raise ValueError(
            f"lr_schedulers='scale', annealing={annealing!r}: the module's LR scheduler and the annealing would both "
            "move the rate; choose annealing='scheduler' (scale the module's) or lr_schedulers='override' (set it "
            "aside)"
        )
    if given.lr_schedulers == "override" and annealing == "scheduler":
        raise ValueError(
            "lr_schedulers='override', annealing='scheduler': an LR scheduler that is set aside cannot anneal the "
            "rate; leave lr_schedulers out, or choose annealing='cosine'"
        )
