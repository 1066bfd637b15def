"""A search in words: what was searched, what was found, what it cost, what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lightning_gammabo.records import EpochRecord, Result, SearchHistory, TrialState

__all__ = ["count", "duration", "percent", "summary"]

_SEARCHES = {
    "gamma": "Bayesian optimisation with a Gamma posterior of the precision",
    "gamma_thesis": "Bayesian optimisation by the thesis's equations 13 to 15",
    "gaussian": "Bayesian optimisation with a Gaussian process",
    "gaussian_log_ei": "Bayesian optimisation with a Gaussian process",
    "gaussian_pi": "Bayesian optimisation with a Gaussian process",
    "grid": "a grid",
    "random": "chance",
    "sobol": "a Sobol sequence",
    "list": "a list of rates",
}
_AT_THE_EDGE = 1.05
"""a rate within this factor of the range's end lies at it"""


def summary(history: SearchHistory, trained: int | None = None) -> dict[str, list[str]]:
    """What a reader wants to know first.

    Args:
        history: the records of one fit.
        trained: epochs that were trained, searched or not; None if not known.

    Returns:
        Sentences by heading, in the order of reading.

    Example:
        >>> summary(SearchHistory())
        {'What was searched': ['No epoch was searched.']}
    """
    if not history:
        return {"What was searched": ["No epoch was searched."]}
    return {
        "What was searched": _searched(history),
        "What was found": _found(history),
        "What it cost": _cost(history, trained),
        "What was left out": _left_out(history),
    }


def count(n: int, noun: str) -> str:
    """A number and its noun.

    Args:
        n: how many.
        noun: in the singular; its plural ends on s.

    Returns:
        Such as ``1 epoch`` or ``2 epochs``.
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def percent(share: float) -> str:
    """A share in percent.

    Args:
        share: from 0 to 1.

    Returns:
        Such as ``97.2 %``.
    """
    return f"{100.0 * share:.1f} %"


def _searched(history: SearchHistory) -> list[str]:
    numbers = [len(record.results) for record in history]
    each = f"{numbers[0]} each" if len(set(numbers)) == 1 else f"{min(numbers)} to {max(numbers)} each"
    words = f"{count(len(history), 'epoch').capitalize()} ({_epochs(history)}) searched"
    words += f" with {count(sum(numbers), 'candidate')}" + (f", {each}." if len(history) > 1 else ".")
    last = history[-1]
    proposed = sorted({_SEARCHES.get(r.sampler, f"the search {r.sampler}") for r in history})
    sentences = [words, f"Rates were proposed by {' and '.join(proposed)}, and ranked by {last.objective}."]
    lows = [r.min_lr for r in history if r.min_lr is not None]
    highs = [r.max_lr for r in history if r.max_lr is not None]
    if lows and highs:
        sentences.append(f"The range went from {min(lows):g} to {max(highs):g}.")
    if any(record.share < 1.0 for record in history):
        shares = sorted({record.share for record in history})
        span = " or ".join(percent(s) for s in shares) if len(shares) < 4 else f"{percent(shares[0])} or more"
        sentences.append(f"A candidate trained {span} of its epoch.")
    return [*sentences, f"Policy: {last.policy}."]


def _found(history: SearchHistory) -> list[str]:
    chosen = [(record.epoch, record.chosen) for record in history if record.chosen is not None]
    if not chosen:
        return ["In no epoch a candidate could be committed."]
    (first_epoch, first), (last_epoch, last) = chosen[0], chosen[-1]
    if len(chosen) == 1:
        sentences = [f"Epoch {first_epoch} was committed with the rate {first.lr:.1e}."]
    else:
        sentences = [
            f"The rate began at {first.lr:.1e} (epoch {first_epoch}) and ended at {last.lr:.1e} (epoch {last_epoch}); "
            f"it lay between {min(r.lr for _, r in chosen):.1e} and {max(r.lr for _, r in chosen):.1e}."
        ]
    objective = history[-1].objective
    values = {"loss": "validation loss", "accuracy": "validation accuracy"}
    for name, noun in values.items() if objective in values else [("value", f"objective {objective}"), *values.items()]:
        sentences += _moved(name, noun, first, last)
    edges = [(record.epoch, side) for record in history for side in _edges(record)]
    for side, remedy in (("lower", "lr_min"), ("upper", "lr_max")):
        epochs = [epoch for epoch, s in edges if s == side]
        if epochs:
            sentences.append(
                f"In {_numbers(epochs)} the committed rate lay at the {side} end of the range: {remedy} widens it."
            )
    return sentences


def _moved(name: str, noun: str, first: Result, last: Result) -> list[str]:
    before, after = getattr(first, name), getattr(last, name)
    if before is None or after is None:
        return []
    form = percent if name == "accuracy" else lambda value: f"{value:.4g}"
    if first is last:
        return [f"Its {noun} was {form(after)}."]
    return [f"The {noun} went from {form(before)} to {form(after)}."]


def _edges(record: EpochRecord) -> list[str]:
    chosen, low, high = record.chosen, record.min_lr, record.max_lr
    narrow = any(result.origin == "region" for result in record.results)  # a later search moves on from its end
    if chosen is None or low is None or high is None or narrow:
        return []
    at = {"lower": chosen.lr <= low * _AT_THE_EDGE, "upper": chosen.lr >= high / _AT_THE_EDGE}
    return [side for side, lies in at.items() if lies]


def _cost(history: SearchHistory, trained: int | None) -> list[str]:
    n = max(len(history), trained or 0)
    passes = sum(r.train_passes for r in history) + n - len(history)
    plain = "the one epoch" if n == 1 else f"the {n} epochs"
    return [
        f"{passes:.1f} passes over the training data; a plain run takes {n} for {plain}, so the search made training "
        f"{passes / n:.2f} times as costly.",
        f"{sum(r.val_passes for r in history):.1f} passes over the validation data.",
        f"Searching took {duration(sum(r.seconds for r in history))}.",
    ]


def duration(seconds: float) -> str:
    """A time span as a reader says it.

    Args:
        seconds: of wall time.

    Returns:
        Such as ``2.5 s``, ``3 min 20 s``, ``2 h 05 min``.

    Example:
        >>> [duration(s) for s in (2.5, 200, 7500)]
        ['2.5 s', '3 min 20 s', '2 h 05 min']
    """
    if seconds < 100.0:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _left_out(history: SearchHistory) -> list[str]:
    states = Counter(result.state for record in history for result in record.results)
    total = sum(states.values())
    sentences = []
    for state, words in (
        (TrialState.PRUNED, "cut short because they fell hopelessly behind"),
        (TrialState.DIVERGED, "diverged"),
        (TrialState.FAILED, "failed"),
    ):
        if states[state]:
            sentences.append(f"{states[state]} of {count(total, 'candidate')} {words}.")
    none = [record.epoch for record in history if record.chosen is None]
    if none:
        sentences.append(f"No candidate could be committed in {_numbers(none)}: trained was a lower rate instead.")
    between = sorted(set(range(history[0].epoch, history[-1].epoch)) - {record.epoch for record in history})
    if between:
        sentences.append(f"Not searched between the first and the last search: {_numbers(between)}.")
    return [
        *(sentences or ["Every candidate came to its end, and every epoch in between was searched."]),
        "The scores are those on which the winners were chosen, so they are optimistic: judge the result on data that "
        "no search has seen.",
    ]


def _epochs(history: Sequence[EpochRecord]) -> str:
    first, last = history[0].epoch, history[-1].epoch
    return str(first) if first == last else f"{first} to {last}"


def _numbers(epochs: Sequence[int]) -> str:
    shown = ", ".join(map(str, epochs[:10])) + (f" and {len(epochs) - 10} more" if len(epochs) > 10 else "")
    return f"epoch {shown}" if len(epochs) == 1 else f"epochs {shown}"
