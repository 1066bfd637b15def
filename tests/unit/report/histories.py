"""Histories to draw and to report: a real search of a made-up landscape, and one whose every word is hostile."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from lightning_gammabo.bayesopt import LearningRateSpace, make_search
from lightning_gammabo.records import EpochRate, EpochRecord, Result, RunInfo, SearchHistory, TrainedEpoch, TrialState

HOSTILE = "<script>window.harmed = 1</script>\"'& $x_$ $ </svg><img src=http://example.invalid/x onerror=harmed=1><b>"


def searched_epoch(epoch: int, search: str = "gamma", n: int = 7) -> EpochRecord:
    """What a search told of a smooth landscape, with its best at 0.02; rates above 0.5 diverge."""
    space = LearningRateSpace(1e-4, 1.0)
    candidates = [10.0**-k for k in range(1, n + 1)] if search == "list" else None
    asked = make_search(search, space, seed=epoch, n_initial=2, n_trials=n, candidates=candidates)
    results = []
    asked.enqueue(0.9)
    for number in range(n):
        trial = asked.ask()
        common = {"number": number, "lr": trial.lr, "origin": trial.origin, "seconds": 0.5, "steps": 10}
        if trial.lr > 0.5:
            results.append(Result(state=TrialState.DIVERGED, passes=0.3, message="its loss is nan", **common))
        else:
            score = 2.0 - math.log10(trial.lr / 0.02) ** 2
            values = {
                "score": score,
                "value": max(score, 0.0),
                "loss": 2.0 - 0.5 * score,
                "accuracy": 0.1 + 0.4 * score / 2,
            }
            metrics = {"val_loss": values["loss"], "val_acc": values["accuracy"], "val_f1": score / 3}
            results.append(Result(state=TrialState.COMPLETE, passes=1.0, metrics=metrics, **values, **common))
        asked.tell(trial, results[-1].score)
    best = max((r for r in results if r.score is not None), key=lambda r: r.score or 0.0)
    return EpochRecord(
        epoch=epoch,
        results=tuple(results),
        chosen_number=best.number,
        reason=f"highest score of {n} candidates",
        train_passes=sum(r.passes for r in results),
        val_passes=float(n + 1),
        seconds=0.5 * n,
        sampler=search,
        min_lr=space.low,
        max_lr=space.high,
        seed=epoch,
    )


def searched_history(epochs: int = 2) -> SearchHistory:
    return SearchHistory(searched_epoch(epoch) for epoch in range(epochs))


def trained_history() -> SearchHistory:
    """Two searches of four epochs; the third was lost."""
    losses = (0.5, 0.4, 5.0, 0.3)
    trained = [
        TrainedEpoch(
            epoch=e,
            rate=EpochRate(
                epoch=e, start=0.1 / (e + 1), end=0.05 / (e + 1), steps=5, peak=0.1, returned_to=1 if e == 3 else None
            ),
            loss=loss,
            accuracy=0.9,
            value=1.0 - loss,
            metrics={"val_loss": loss, "val_acc": 0.9},
            not_searched="" if e < 2 else "one search in 2 epochs, by its price",
        )
        for e, loss in enumerate(losses)
    ]
    run = RunInfo(
        started="2026-11-28T18:00:00+00:00",
        versions={"torch": "2.13"},
        settings={"seed": 0, "policy.first_random": 4},
        epochs=4,
        planned=2.0,
    )
    return SearchHistory(searched_history(2), trained, run)


def hostile_history() -> SearchHistory:
    record = searched_epoch(0)
    results = tuple(
        dataclasses.replace(r, message=HOSTILE, origin=HOSTILE, metrics={**r.metrics, HOSTILE: 1.5})
        for r in record.results
    )
    return SearchHistory(
        [
            dataclasses.replace(
                record, results=results, objective=HOSTILE, reason=HOSTILE, policy=HOSTILE, sampler="gamma"
            )
        ]
    )


# ---- for pictures


def complete(number: int, lr: float, **values: Any) -> Result:
    metrics = {"score": 1.0 - lr, "value": 1.5 - lr, "loss": 0.5 + lr, "accuracy": 0.9 - lr, "passes": 1.0} | values
    return Result(number=number, lr=lr, state=TrialState.COMPLETE, **metrics)


def lost(number: int, lr: float, state: TrialState = TrialState.DIVERGED) -> Result:
    return Result(number=number, lr=lr, state=state, passes=0.25)


def drawn_history() -> SearchHistory:
    first = EpochRecord(
        epoch=0,
        results=(complete(0, 0.1), complete(1, 0.01), lost(2, 0.9)),
        chosen_number=1,
        reason="best score",
        train_passes=2.25,
    )
    second = EpochRecord(
        epoch=2, results=(complete(0, 0.02),), chosen_number=0, reason="best score", train_passes=2.0, commit="replay"
    )
    nothing = EpochRecord(
        epoch=4, results=(lost(0, 0.5),), chosen_number=None, reason="diverged", train_passes=1.25, commit="replay"
    )
    return SearchHistory([first, second, nothing])


def labels(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def drawn(axes: Any) -> Any:
    axes.figure.canvas.draw()
    return axes
