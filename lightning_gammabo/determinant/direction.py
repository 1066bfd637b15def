"""Whether a logged metric is better when it is lower or higher, by the words of its name."""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["Mode", "known_mode"]

Mode = Literal["min", "max"]

_LOWER = (
    "loss", "error", "err", "nll", "bce", "mse", "mae", "rmse", "mape", "smape", "perplexity", "ppl", "wer", "cer",
    "fid", "entropy", "crossentropy", "divergence", "eer",
)  # fmt: skip
_HIGHER = (
    "acc", "accuracy", "f1", "auc", "auroc", "auprc", "precision", "recall", "iou", "miou", "dice", "bleu", "rouge",
    "r2", "map", "mrr", "ndcg", "mcc", "psnr", "ssim", "top1", "top5", "reward", "likelihood",
)  # fmt: skip


def known_mode(name: str) -> Mode | None:
    """The direction of a metric whose name has one usual meaning.

    Args:
        name: name of a logged metric.

    Returns:
        ``min`` for loss-like names, ``max`` for accuracy-like ones; None where the words say neither, or both.

    Example:
        >>> known_mode("val_loss"), known_mode("valid/F1Score"), known_mode("val_CrossEntropy")
        ('min', 'max', 'min')
        >>> known_mode("val_score") is None
        True
    """
    words = re.findall(r"[a-z]+\d*", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower())
    joined = {"".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, i + 3)}
    lower = any(word in joined or any(part.endswith("loss") for part in joined) for word in _LOWER)
    higher = any(word in joined for word in _HIGHER)
    if lower == higher:
        return None
    return "min" if lower else "max"
