"""Which of a module's logged metrics are its validation loss and its validation accuracy."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Mapping, Sequence

from lightning_gammabo.determinant.objective import NotLogged, Objective, ValidationMetrics
from lightning_gammabo.records import Outcome

__all__ = ["MetricKeys", "find_accuracy", "find_loss"]

# names met in projects that train with Lightning, the most usual first; compared without case and separators, with
# the prefixes some logging layers put before them ("ptl/val_loss") and what stands between ("val/cls/NLL")
_LOSS = ("loss", "nll", "crossentropy", "bce", "mse", "mae", "rmse", "elbo")
_ACCURACY = ("acc", "accuracy", "top1", "acc1", "accuracytop1")
_STAGES = ("validation", "valid", "val", "dev", "eval")
_STAGE_WORD = re.compile(rf"(?<![a-z])(?:{'|'.join(_STAGES)})(?![a-z])", flags=re.IGNORECASE)
_BARE = ("accuracy",)
"""names without a stage that were met as the validation's; taken where no other is found"""
# an accuracy of this kind reads "overall", "multiclass", "mean"; other adjectives ("per_class") are not the accuracy
_QUALIFIERS = r"(?:overall|multiclass|binary|mean|avg|total|macro|micro|cls|epoch)"


class MetricKeys:
    """Reads loss and accuracy off what a candidate logged.

    Args:
        objective: what will be ranked.
        monitor_loss: name of the logged validation loss; None to find it.
        monitor_accuracy: name of the logged validation accuracy; None to find it.

    Attributes:
        taken: what was read, in words, for the user to question; empty before the first reading.
        by_training: whether the loss that was read last is that of the training, for want of a validation's.
    """

    def __init__(self, objective: Objective, monitor_loss: str | None, monitor_accuracy: str | None) -> None:
        self.taken = ""
        self.by_training = False
        self._seen: set[str] = set()
        self._whole = False  # whether a whole validation was seen
        self._objective = objective
        self._loss = monitor_loss
        self._accuracy = monitor_accuracy

    @property
    def unverified(self) -> bool:
        """Whether a name that was given, or an accuracy to rank by, was not logged by any validation so far."""
        return not self._whole and bool(self._missing(self._seen))

    def see(self, logged: Iterable[str], *, whole: bool = False) -> None:
        """Note what a validation has logged; a whole one has logged the names that are a validation's.

        Args:
            logged: names; metrics of the training may come later.
            whole: whether it was more than a sanity check, in which modules may leave something out.

        Raises:
            NotLogged: if a whole one lacks a metric that was named as one of the validation.
        """
        if whole:
            self._check(logged, [named for named in self._named() if _of_validation(named[1])])
        self._seen.update(logged)
        self._whole = self._whole or whole

    def check_names(self, logged: Iterable[str]) -> None:
        """Refuse names that neither a whole validation nor a training step has logged.

        Args:
            logged: names that the first training step has logged.

        Raises:
            NotLogged: naming the argument.
        """
        if self._whole:
            self._check(self._seen, self._missing(self._seen | set(logged)))

    def tells(self, logged: Mapping[str, float]) -> bool:
        """Whether candidates can be ranked by what a validation has logged.

        Args:
            logged: values by name.

        Returns:
            Whether a name among them is read, by a custom objective any.
        """
        named = {self._loss, self._accuracy, self._objective.metric} & set(logged)
        found = find_loss(logged) is not None or find_accuracy(logged) is not None
        return bool(named or found or (logged and self._objective.custom is not None))

    def reference(self, outcome: Outcome) -> float | None:
        """The loss of the network at the start, which has trained nothing and logged only what validation logs.

        Args:
            outcome: the validation of that network.

        Returns:
            The loss that :meth:`measure` will read, or None where it is not there.
        """
        if self._loss is not None:
            return outcome.metrics.get(self._loss)
        found = find_loss(outcome.metrics)
        return outcome.metrics[found] if found is not None else outcome.val_loss

    def measure(self, outcome: Outcome) -> ValidationMetrics:
        """Loss and accuracy of one candidate.

        Args:
            outcome: a candidate that came to its end.

        Returns:
            What was measured; the loss comes from the logged metrics, else from what ``validation_step`` returns,
            else from the training steps.

        Raises:
            NotLogged: if a metric that was named is not among the logged ones.
        """
        logged = outcome.metrics
        self._check(logged, self._named())
        self.by_training = False
        accuracy_name = self._accuracy or find_accuracy(logged)
        loss_name = self._loss or find_loss(logged)
        if loss_name is not None:
            loss, source = logged[loss_name], f"loss {loss_name!r}"
        elif outcome.val_loss is not None:
            loss, source = outcome.val_loss, "loss that validation_step returns"
        elif outcome.train_loss is not None:
            loss, source, self.by_training = outcome.train_loss, "training loss of a candidate's last quarter", True
        else:
            loss, source = None, "no loss"
        self.taken = f"{source}, " + (f"accuracy {accuracy_name!r}" if accuracy_name else "no accuracy")
        return ValidationMetrics(loss=loss, accuracy=logged[accuracy_name] if accuracy_name else None, metrics=logged)

    def _named(self) -> list[tuple[str, str]]:
        named = {
            "monitor_loss": self._loss,
            "monitor_accuracy": self._accuracy,
            "objective": self._objective.metric,
        }
        return [(argument, name) for argument, name in named.items() if name is not None]

    def _missing(self, logged: Iterable[str]) -> list[tuple[str, str]]:
        # arguments whose names were not logged, and an accuracy to rank by that was not
        ranked = self._objective.name == "accuracy" and self._accuracy is None and find_accuracy(logged) is None
        return [named for named in self._named() if named[1] not in logged] + [("objective", "accuracy")] * ranked

    @staticmethod
    def _check(logged: Iterable[str], named: Iterable[tuple[str, str]]) -> None:
        for argument, name in named:
            if name not in logged:
                close = difflib.get_close_matches(name, logged, n=1, cutoff=0.75)
                raise NotLogged(
                    f"GammaLRSearch({argument}={name!r}): no such metric was logged by the validation"
                    f"{f' (did you mean {close[0]!r}?)' if close else ''}; logged are {sorted(logged)}. Log it in "
                    "`validation_step` or `on_validation_epoch_end`, or name one of these (metrics logged in "
                    "`on_train_epoch_end` come too late)."
                )

    def batches(self, outcome: Outcome) -> tuple[list[str], list[Sequence[tuple[float, float]]]]:
        """What a validation measured batch by batch, of the values that :meth:`measure` reads.

        Args:
            outcome: a candidate that came to its end.

        Returns:
            ``loss``, ``accuracy`` or the ranked metric's name, and for each mean and weight of every batch; those that
            were logged as metric objects, or not by ``validation_step``, are not among them.
        """
        wanted = {
            "loss": self._loss or find_loss(outcome.metrics),
            "accuracy": self._accuracy or find_accuracy(outcome.metrics),
        }
        if self._objective.metric is not None:
            wanted = {self._objective.metric: self._objective.metric}
        found = {}
        for name, key in wanted.items():
            # a value that is logged by step and by epoch has two names in the metrics
            logged = outcome.batches.get(key or "") or outcome.batches.get((key or "").removesuffix("_epoch"))
            if logged:
                found[name] = logged
        return list(found), list(found.values())


def _of_validation(name: str) -> bool:
    return _STAGE_WORD.search(name) is not None and "train" not in name.lower()


def find_loss(names: Iterable[str]) -> str | None:
    """The name of the validation loss.

    Args:
        names: names of logged metrics.

    Returns:
        The best match, or None.

    Example:
        >>> find_loss(["val/acc", "ptl/val_loss", "train_loss"])
        'ptl/val_loss'
        >>> find_loss(["Loss_val", "train_loss"])
        'Loss_val'
    """
    return _find(tuple(names), _LOSS)


def find_accuracy(names: Iterable[str]) -> str | None:
    """The name of the validation accuracy.

    Args:
        names: names of logged metrics.

    Returns:
        The best match, or None.

    Example:
        >>> find_accuracy(["valAcc", "val_loss"])
        'valAcc'
        >>> find_accuracy(["train_acc", "val_loss"]) is None
        True
    """
    return _find(tuple(names), _ACCURACY)


@functools.lru_cache(maxsize=64)  # a fit logs the same names again and again
def _find(names: tuple[str, ...], kinds: tuple[str, ...]) -> str | None:
    stage = "(?:" + "|".join(_STAGES) + ")"
    found: list[tuple[int, int, str]] = []
    for name in names:
        plain = re.sub(r"dataloaderidx0$", "", re.sub(r"[^a-z0-9]", "", name.lower()))
        for rank, kind in enumerate(kinds):
            exact = re.fullmatch(rf"(?:ptl|metrics|lightning)?{stage}{_QUALIFIERS}*{kind}(?:epoch)?", plain)
            turned = re.fullmatch(rf"{_QUALIFIERS}*{kind}{stage}", plain)
            if exact or turned:
                found.append((rank, len(plain), name))
            elif plain == kind and kind in _BARE:
                found.append((len(kinds), len(plain), name))
    return min(found)[2] if found else None
