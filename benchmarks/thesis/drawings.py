"""The thesis's pictures from what was noted: landscapes over rates, confusions with the diagonal left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.pages import save_picture
from lightning_gammabo.report.heatmap import plot_confusion

Row = dict[str, Any]
CLASSES = 10


def draw_landscapes(rows: Sequence[Row], path: Path) -> Path:
    """Accuracy, loss and kappa (eq. 12, lambda 1, the loss measured against guessing) after 1 and 50 epochs."""
    figure = Figure(figsize=(12, 6), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True)
    for line, epochs in zip(axes, ("1", "50"), strict=True):
        for seed in sorted({row["seed"] for row in rows}):
            here = sorted((row for row in rows if row["seed"] == seed), key=lambda row: row["lr"])
            lr = np.array([row["lr"] for row in here])
            loss, accuracy = (np.array([row[epochs][n] for row in here], dtype=float) for n in ("loss", "accuracy"))
            kappa = accuracy**2 - np.log(loss / np.log(CLASSES))
            for ax, values, name in zip(line, (accuracy, loss, kappa), ("accuracy", "loss", "kappa"), strict=True):
                ax.plot(lr, values, linewidth=1, alpha=0.7)
                ax.set(title=f"{name}, epoch {epochs}", ylim=(0, 4) if name == "loss" else None)
    for ax in axes[-1]:
        ax.set_xlabel("learning rate")
    return save_picture(figure, path)


def draw_confusion(rows: Sequence[Row], path: Path) -> Path:
    """One panel for each search and objective, the first seed's last epoch; rows are true classes."""
    kinds = dict.fromkeys((row["search"], row["objective"]) for row in rows)
    chosen = [next(row for row in rows if (row["search"], row["objective"]) == kind) for kind in kinds]
    wide = min(len(chosen), 3)
    tall = -(-len(chosen) // wide)
    figure = Figure(figsize=(4.6 * wide, 4.2 * tall), layout="constrained")
    axes = figure.subplots(tall, wide, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, row in zip(axes.flat, chosen, strict=False):
        ax.axis("on")
        plot_confusion(row["epochs_found"][-1]["confusion"], ax, title=f"{row['search']}, {row['objective']}")
    return save_picture(figure, path)
