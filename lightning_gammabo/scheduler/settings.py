"""The settings of a search: checked once, when they are made, and frozen from then on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_gammabo.bayesopt import SearchFactory
from lightning_gammabo.determinant.objective import CustomObjective
from lightning_gammabo.policy import SearchPolicy

__all__ = ["SEARCH_NAMES", "SearchSettings"]

SEARCH_NAMES = (
    "gamma", "gamma_thesis", "gaussian", "gaussian_log_ei", "gaussian_pi", "grid", "random", "sobol",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """What :class:`~lightning_gammabo.GammaLRSearch` was asked for; its arguments are described there.

    Raises:
        TypeError: if a value is of the wrong type.
        ValueError: if a value is out of its domain, or two contradict each other.
    """

    policy: SearchPolicy
    lr_min: float | None
    lr_max: float | None
    candidates: Sequence[float] | None
    objective_mode: str
    kappa_lambda: float
    monitor_loss: str | None
    monitor_accuracy: str | None
    commit: str
    every_n_epochs: int
    start_epoch: int
    stop_epoch: int | None
    lr_schedulers: str | None
    score_dataloader: Any
    max_overhead: float | None
    overhead_unit: str
    seed: int
    history_file: str | None
    progress: bool
    log_figures: bool
    report_file: str | None

    def __post_init__(self) -> None:
        self._check_range()
        self._check_counts()
        self._check_words()
        self._check_schedulers()
        if self.candidates is not None:
            self._check_candidates(self.candidates)

    @property
    def objective(self) -> CustomObjective | str:
        """What is ranked."""
        return self.policy.objective

    def _check_range(self) -> None:
        for name in ("lr_min", "lr_max", "max_overhead"):
            if getattr(self, name) is not None:
                _require_number(name, getattr(self, name))
        _require_number("kappa_lambda", self.kappa_lambda)
        low = self.lr_min if self.lr_min is not None else min(self.lr_max or 1.0, 1.0) / 10.0
        high = self.lr_max if self.lr_max is not None else max(low, 1.0) * 10.0
        if not 0.0 < low < high < math.inf:
            raise ValueError(
                f"lr_min={self.lr_min!r}, lr_max={self.lr_max!r}: need 0 < lr_min < lr_max < inf (log scale), "
                "for example lr_min=1e-4, lr_max=1.0"
            )
        if self.max_overhead is not None and not 0.0 <= self.max_overhead < math.inf:
            raise ValueError(
                f"max_overhead={self.max_overhead!r}: the extra passes (or seconds) for each plain one, 0 or more, "
                "for example 1.0; None for no cap"
            )
        if not 0.0 < self.kappa_lambda <= 1.0:
            raise ValueError(f"kappa_lambda={self.kappa_lambda!r}: lambda of eqs. 11 and 12 lies in (0, 1]")

    def _check_counts(self) -> None:
        for name, least in (("every_n_epochs", 1), ("start_epoch", 0)):
            value = getattr(self, name)
            _require_int(name, value)
            if value < least:
                raise ValueError(f"{name}={value!r}: need at least {least}")
        _require_int("seed", self.seed)
        if self.seed < 0:
            raise ValueError(f"seed={self.seed!r}: a seed is not negative")
        if self.stop_epoch is not None:
            _require_int("stop_epoch", self.stop_epoch)
            if self.stop_epoch <= self.start_epoch:
                raise ValueError(
                    f"stop_epoch={self.stop_epoch!r}, start_epoch={self.start_epoch!r}: no epoch would be searched; "
                    "stop_epoch is the first epoch that is not searched any more, None for none"
                )

    def _check_words(self) -> None:
        choices: dict[str, tuple[str, ...]] = {
            "objective_mode": ("min", "max"),
            "commit": ("copy", "replay"),
            "lr_schedulers": ("override", "scale", "error"),
            "overhead_unit": ("passes", "seconds"),
        }
        for name, allowed in choices.items():
            value = getattr(self, name)
            if value not in allowed and not (name == "lr_schedulers" and value is None):
                raise ValueError(f"{name}={value!r}: choose one of {', '.join(map(repr, allowed))}")
        if not isinstance(self.policy.search, SearchFactory) and self.policy.search not in SEARCH_NAMES:
            names = ", ".join(map(repr, SEARCH_NAMES))
            raise ValueError(f"search={self.policy.search!r}: choose one of {names}, or a SearchFactory")
        for name in ("objective", "monitor_loss", "monitor_accuracy", "history_file", "report_file"):
            value = getattr(self, name)
            if (value is None and name != "objective") or isinstance(value, CustomObjective):
                continue
            if not isinstance(value, (str, Path) if name.endswith("_file") else str):
                raise TypeError(f"{name}={value!r}: need a name, not {type(value).__name__}")
            if not str(value):
                raise ValueError(f"{name}={value!r}: a name is not empty")
        if self.history_file is not None and Path(self.history_file).is_dir():
            raise ValueError(f"history_file={str(self.history_file)!r}: is a folder; name a file, .jsonl or .csv")
        for name in ("progress", "log_figures"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name}={getattr(self, name)!r}: need True or False")

    def _check_schedulers(self) -> None:
        anchor = self.policy.anchor
        if self.lr_schedulers == "scale" and anchor not in ("auto", "scheduler", "constant"):
            raise ValueError(
                f"lr_schedulers='scale', anchor={anchor!r}: the user's LR scheduler and the anchor would both move the "
                "rate; choose anchor='scheduler' (scale the user's) or lr_schedulers='override' (set it aside)"
            )
        if self.lr_schedulers == "override" and anchor == "scheduler":
            raise ValueError(
                "lr_schedulers='override', anchor='scheduler': an LR scheduler that is set aside cannot be the anchor; "
                "leave lr_schedulers out, or choose anchor='cosine'"
            )

    @staticmethod
    def _check_candidates(candidates: Any) -> None:
        if isinstance(candidates, str) or not isinstance(candidates, Sequence) or not candidates:
            raise ValueError(f"candidates={candidates!r}: need a list of rates, or None to search")
        for rate in candidates:
            _require_number("candidates", rate)
            if not 0.0 < rate < math.inf:
                raise ValueError(f"candidates={list(candidates)!r}: {rate!r} is no rate; each is above 0 and finite")


def _require_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}={value!r}: need a number, not {type(value).__name__}")


def _require_int(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r}: need a whole number, not {type(value).__name__}")
