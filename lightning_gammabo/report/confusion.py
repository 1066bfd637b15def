"""The confusion matrices that the user's own metrics hold when a validation ends.

Nothing is computed, reset or logged: the counts are read where they stand. Lightning calls callbacks before the module,
so they are read before the module's own ``on_validation_epoch_end`` may reset them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

__all__ = ["read_confusion"]

_OTHER_STAGES = ("train", "test", "predict")


def read_confusion(
    module: nn.Module, add_up: Callable[[Tensor], Tensor] = lambda counts: counts
) -> dict[str, list[list[float]]]:
    """The matrices of all torchmetrics ``ConfusionMatrix`` in a module, and of metrics made of one (kappa, MCC, IoU).

    Args:
        module: the user's module.
        add_up: gives the sum over the processes that train together; called equally often in each of them.

    Returns:
        By the metric's name in the module: a row for each true class, ``C x C``. Left out are metrics named for
        another stage than validation, matrices of several labels, and those that counted nothing.
    """
    found = {}
    for name, metric in module.named_modules():
        counts = getattr(metric, "confmat", None)
        if not _is_confusion(metric) or not isinstance(counts, Tensor) or counts.ndim != 2:
            continue
        if any(stage in name.lower() for stage in _OTHER_STAGES):
            continue
        total = add_up(counts.detach().clone())
        if total.sum() > 0:
            found[name] = total.double().cpu().tolist()
    return found


# by name, since torchmetrics has a class for each task and a metric of its own may be made like them
def _is_confusion(metric: Any) -> bool:
    return any(base.__name__.endswith("ConfusionMatrix") for base in type(metric).__mro__)
