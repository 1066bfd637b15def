"""Histories to draw and to report: a real search of a made-up landscape, and one whose every word is hostile."""

from __future__ import annotations

import dataclasses
import math

from lightning_gammabo.bayesopt import LearningRateSpace, make_search
from lightning_gammabo.records import EpochRecord, Result, SearchHistory, TrialState

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
