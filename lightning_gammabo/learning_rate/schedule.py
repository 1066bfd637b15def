"""What a search found, as a schedule: kept in a file, and replayed by later runs at the cost of a plain run."""

from __future__ import annotations

import bisect
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lightning_gammabo.learning_rate.annealing import shape
from lightning_gammabo.learning_rate.param_groups import moved
from lightning_gammabo.records import EpochRate, EpochRecord

__all__ = ["GammaSchedule", "LRSchedule", "constant_rates"]

_PROGRESS: dict[str, Callable[[float], float]] = {
    "cosine": lambda value: math.acos(2.0 * value - 1.0) / math.pi,
    "linear": lambda value: 1.0 - value,
}
"""schedules that are functions of the run's progress, and the progress at which each has a value"""


def constant_rates(records: Iterable[EpochRecord]) -> list[EpochRate]:
    """The rates of epochs that were each searched and trained at one rate.

    Args:
        records: records of consecutive epochs.

    Returns:
        One rate for each record that committed a candidate.
    """
    chosen = [(record.epoch, record.chosen) for record in records]
    return [
        EpochRate(epoch=epoch, start=result.lr, end=result.lr, steps=result.steps, peak=result.lr)
        for epoch, result in chosen
        if result is not None
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LRSchedule:
    """The learning rate of a run, epoch by epoch.

    Args:
        rates: one for each epoch, without gaps.
        annealing: what the rate followed within an epoch: ``constant``, ``cosine``, ``linear``; for any other name it
            is a line between the rates at the epoch's two ends.

    Raises:
        ValueError: if there are no rates, a rate is negative or not finite, an epoch is missing or has no steps.

    Example:
        >>> found = LRSchedule(rates=(EpochRate(epoch=0, start=0.1, end=0.1, steps=5, peak=0.1),), annealing="constant")
        >>> found.at(3), LRSchedule.from_json(found.to_json()) == found
        (0.1, True)
    """

    rates: tuple[EpochRate, ...]
    annealing: str

    def __post_init__(self) -> None:
        if not self.rates:
            raise ValueError("LRSchedule(rates=()): no epoch was trained; a schedule is found by a fit")
        if not self.annealing:
            raise ValueError(f"LRSchedule(annealing={self.annealing!r}): a name is not empty, for example 'constant'")
        for rate in self.rates:
            values = (rate.start, rate.end, rate.peak)
            if rate.steps < 1 or not all(math.isfinite(value) and value >= 0.0 for value in values):
                raise ValueError(f"LRSchedule: {rate}: rates are finite and not negative, and an epoch has steps")
        for before, after in itertools.pairwise(self.rates):
            if after.epoch != before.epoch + 1:
                raise ValueError(
                    f"LRSchedule: epoch {after.epoch} follows epoch {before.epoch}; the rate of each epoch is needed: "
                    "take `callback.schedule()` of the run itself"
                )

    def at(self, step: float) -> float:
        """The reference rate at a batch.

        Args:
            step: batches trained before it, from the first epoch of the schedule on; a fraction is a position between.

        Returns:
            The rate; after the last epoch the one that stood at its end.
        """
        ends = list(itertools.accumulate(rate.steps for rate in self.rates))
        index = bisect.bisect_right(ends, step)
        if index == len(ends):
            return self.rates[-1].end
        rate = self.rates[index]
        return self._within(rate, step - (ends[index] - rate.steps))

    def at_share(self, epoch: int, share: float) -> float:
        """The reference rate at some point of an epoch.

        Args:
            epoch: number of the epoch, the first of the schedule being 0.
            share: how much of the epoch is over, in [0, 1).

        Returns:
            The rate; after the last epoch the one that stood at its end.
        """
        if epoch >= len(self.rates):
            return self.rates[-1].end
        return self._within(self.rates[epoch], share * self.rates[epoch].steps)

    def _within(self, rate: EpochRate, step: float) -> float:
        last = rate.steps - 1
        if step == 0.0 or self.annealing == "constant":
            return rate.start
        if step >= last:
            return rate.end
        if self.annealing in _PROGRESS and 0.0 < max(rate.start, rate.end) <= rate.peak:
            # neither the schedule's beginning nor the run's length is known: both ends tell where the epoch lay in it
            first, final = (_PROGRESS[self.annealing](value / rate.peak) for value in (rate.start, rate.end))
            return rate.peak * shape(self.annealing, first + (final - first) * step / last)
        return rate.start + (rate.end - rate.start) * step / last

    def to_dict(self) -> dict[str, Any]:
        """Plain values: strings, numbers, lists and dictionaries only.

        Returns:
            A dictionary from which :meth:`from_dict` makes an equal schedule.
        """
        return {"annealing": self.annealing, "rates": [asdict(rate) for rate in self.rates]}

    @classmethod
    def from_dict(cls, plain: Any) -> LRSchedule:
        """The schedule that :meth:`to_dict` described; keys that this version does not know are left out.

        Args:
            plain: what :meth:`to_dict` gave.

        Returns:
            An equal schedule.

        Raises:
            ValueError: if it describes none.
        """
        names = [field.name for field in fields(EpochRate)]
        try:
            rates = tuple(EpochRate(**{name: rate[name] for name in names if name in rate}) for rate in plain["rates"])
            return cls(rates=rates, annealing=plain["annealing"])
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"this is no schedule ({type(error).__name__}: {error}); one has `annealing` and `rates`, a list with "
                f"{', '.join(names)} for each epoch, as `callback.export_schedule(path)` writes it"
            ) from error

    def to_json(self) -> str:
        """The schedule as JSON.

        Returns:
            The text.
        """
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> LRSchedule:
        """Read :meth:`to_json` back.

        Args:
            text: JSON.

        Returns:
            An equal schedule.
        """
        return cls.from_dict(json.loads(text))

    def to_yaml(self) -> str:
        """The schedule as YAML.

        Returns:
            The text.
        """
        return str(yaml.safe_dump(self.to_dict(), sort_keys=False))

    @classmethod
    def from_yaml(cls, text: str) -> LRSchedule:
        """Read :meth:`to_yaml` back.

        Args:
            text: YAML.

        Returns:
            An equal schedule.
        """
        return cls.from_dict(yaml.safe_load(text))

    def save(self, path: str | Path) -> Path:
        """Write the schedule, by the ending of the file's name.

        Args:
            path: file to write: ``.json``, ``.yaml`` or ``.yml``.

        Returns:
            The path.
        """
        path = Path(path)
        path.write_text(_by_ending(path, self.to_json, self.to_yaml)(), encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> LRSchedule:
        """Read :meth:`save` back.

        Args:
            path: file to read: ``.json``, ``.yaml`` or ``.yml``.

        Returns:
            An equal schedule.
        """
        path = Path(path)
        read: Callable[[str], LRSchedule] = _by_ending(path, cls.from_json, cls.from_yaml)
        return read(path.read_text(encoding="utf-8"))


def _by_ending(path: Path, json_way: Callable[..., Any], yaml_way: Callable[..., Any]) -> Callable[..., Any]:
    ways = {".json": json_way, ".yaml": yaml_way, ".yml": yaml_way}
    if path.suffix not in ways:
        raise ValueError(f"schedule file {str(path)!r}: its name ends with {', '.join(ways)}")
    return ways[path.suffix]


class GammaSchedule(LRScheduler):
    """Replays a schedule that a search found; to be stepped once for each optimizer step.

    It is a schedule of rates. Where recovery took the searched run back to an earlier epoch's weights
    (``returned_to`` of a rate says so), a replay does not go back.

    All parameter groups move by one multiplier, so their ratios stay as the optimizer was given them. Within an epoch
    the rate is exact for the schedules ``constant``, ``cosine`` and ``linear``, and a line for others.

    Args:
        optimizer: the optimizer, with the rates that the searched run was configured with, or others in their ratio.
        schedule: the schedule, or the file that ``callback.export_schedule(path)`` wrote.
        steps_per_epoch: how often it is stepped in an epoch: the optimizer steps of one, ``1`` with Lightning's
            ``interval: epoch``; None for as many as the searched run had batches.
        reference: the configured rate that ``schedule`` tells of: that of the first group above 0 of the *first*
            optimizer, to be given for each further optimizer of a run; None for the one of this optimizer.
        last_epoch: number of the last step, -1 to begin.

    Raises:
        ValueError: if no group has a rate above 0, ``steps_per_epoch`` or ``reference`` is not above 0, or the file
            holds no schedule.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
        >>> rates = tuple(EpochRate(epoch=i, start=r, end=r, steps=2, peak=r) for i, r in enumerate((0.1, 0.01)))
        >>> replay = GammaSchedule(optimizer, LRSchedule(rates=rates, annealing="constant"))
        >>> seen = replay.get_last_lr()
        >>> for _ in range(4):
        ...     optimizer.step()
        ...     replay.step()
        ...     seen += replay.get_last_lr()
        >>> seen
        [0.1, 0.1, 0.01, 0.01, 0.01]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: LRSchedule | str | Path,
        steps_per_epoch: int | None = None,
        reference: float | None = None,
        last_epoch: int = -1,
    ) -> None:
        if steps_per_epoch is not None and steps_per_epoch < 1:
            raise ValueError(f"GammaSchedule(steps_per_epoch={steps_per_epoch!r}): need at least 1, or None")
        configured = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
        if reference is None:
            reference = next((rate for rate in configured if rate > 0.0), 0.0)
        if not 0.0 < reference < math.inf:
            raise ValueError(
                f"GammaSchedule(reference={reference!r}), rates of the optimizer {configured}: the schedule moves "
                "rates by a multiplier; give the optimizer a rate above 0"
            )
        self.schedule = schedule if isinstance(schedule, LRSchedule) else LRSchedule.load(schedule)
        self.steps_per_epoch = steps_per_epoch
        self.reference = reference
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Any]:
        """The rates of all groups for the step that comes.

        Returns:
            One rate for each group: its present one, moved as the schedule moves.
        """
        rate = self._rate(self.last_epoch)
        before = self._rate(self.last_epoch - 1) if self.last_epoch > 0 else self.reference
        if before > 0.0:
            # as a search moves them, from rate to rate: so a replay is equal to the bit
            return moved([float(group["lr"]) for group in self.optimizer.param_groups], before, rate)
        return moved([float(base) for base in self.base_lrs], self.reference, rate)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, as plain values.

        Returns:
            What :meth:`load_state_dict` takes.
        """
        plain = {key: value for key, value in super().state_dict().items() if key != "schedule"}
        return {**plain, "schedule": self.schedule.to_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's state, on the schedule that it holds.

        Args:
            state_dict: what :meth:`state_dict` gave.
        """
        super().load_state_dict({**state_dict, "schedule": LRSchedule.from_dict(state_dict["schedule"])})

    def _rate(self, step: int) -> float:
        if self.steps_per_epoch is None:
            return self.schedule.at(step)
        epoch, inside = divmod(step, self.steps_per_epoch)
        return self.schedule.at_share(epoch, inside / self.steps_per_epoch)
