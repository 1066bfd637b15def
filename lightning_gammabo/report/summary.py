"""A search in words: what was searched, what was found, what it cost, what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from lightning_gammabo.records import EpochRecord, SearchHistory, TrainedEpoch, TrialState
from lightning_gammabo.records.words import count, percent

__all__ = ["duration", "summary"]

_SAMPLERS = {
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


def summary(history: SearchHistory) -> dict[str, list[str]]:
    """What a reader wants to know first.

    Args:
        history: the records of one fit.

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
        "What was found": [*_rates(history), *_ended(history), *_scores(history), *_edges(history)],
        "What it cost": _cost(history),
        "What was left out": _left_out(history),
    }


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


def _searched(history: SearchHistory) -> list[str]:
    numbers = [len(record.results) for record in history]
    each = f"{numbers[0]} each" if len(set(numbers)) == 1 else f"{min(numbers)} to {max(numbers)} each"
    words = f"{count(len(history), 'epoch').capitalize()} ({_epochs(history)}) searched"
    words += f" with {count(sum(numbers), 'candidate')}" + (f", {each}." if len(history) > 1 else ".")
    last = history[-1]
    proposed = sorted({_SAMPLERS.get(r.sampler, f"the sampler {r.sampler}") for r in history})
    sentences = [words, f"Rates were proposed by {' and '.join(proposed)}, and ranked by {last.ranked_by}."]
    lows = [r.min_lr for r in history if r.min_lr is not None]
    highs = [r.max_lr for r in history if r.max_lr is not None]
    if lows and highs:
        sentences.append(f"The range went from {min(lows):.3g} to {max(highs):.3g}.")
    if any(record.share < 1.0 for record in history):
        shares = sorted({record.share for record in history})
        span = " or ".join(percent(s) for s in shares) if len(shares) < 4 else f"{percent(shares[0])} or more"
        sentences.append(f"A candidate trained {span} of its epoch.")
    if last.score_samples is not None:
        where = f"on {last.score_samples} validation samples" if last.score_samples else "by its own training loss"
        sentences.append(f"A candidate was scored {where}.")
    return [*sentences, f"Policy: {last.policy}."]


def _rates(history: SearchHistory) -> list[str]:
    peaks = [(record.epoch, record.peak) for record in history if record.peak is not None]
    if not peaks:
        return ["In no epoch a candidate could be committed."]
    (first_epoch, first), (last_epoch, last) = peaks[0], peaks[-1]
    noun = "The peak rate" if any(record.annealing != 1.0 for record in history) else "The rate"
    if len(peaks) == 1:
        return [f"{noun} found in epoch {first_epoch} is {first:.1e}."]
    return [
        f"{noun} began at {first:.1e} (epoch {first_epoch}) and ended at {last:.1e} (epoch {last_epoch}); "
        f"it lay between {min(peak for _, peak in peaks):.1e} and {max(peak for _, peak in peaks):.1e}."
    ]


def _ended(history: SearchHistory) -> list[str]:
    # what the epochs ended with, as the Trainer logged it
    sentences = []
    named = {"loss": "validation loss", "accuracy": "validation accuracy"}
    objective = history[-1].ranked_by
    for name in named if objective in named else (*named, "value"):
        kept = [end for end in history.trained if end.epoch not in history.lost and getattr(end, name) is not None]
        if not kept:
            continue
        noun, ended = named.get(name, objective), getattr(kept[-1], name)
        words = f"The run ended with a {noun} of {_value(name, ended)} (epoch {kept[-1].epoch}"
        if name != "value":
            best = (min if name == "loss" else max)(kept, key=lambda end, name=name: getattr(end, name))  # type: ignore[misc]
            at = f"; best: {_value(name, getattr(best, name))}, epoch {best.epoch}"
            words += at if best.epoch != kept[-1].epoch else ", its best"
        sentences.append(f"{words}).")
    return sentences


def _scores(history: SearchHistory) -> list[str]:
    chosen = [record.chosen for record in history if record.chosen is not None]
    if not chosen or chosen[0].value is None or chosen[-1].value is None:
        return []
    name = "accuracy" if history[-1].ranked_by == "accuracy" else "value"
    first, last = _value(name, chosen[0].value), _value(name, chosen[-1].value)
    moved = f"went from {first} to {last}" if len(chosen) > 1 else f"was {first}"
    return [f"The search score, {history[-1].ranked_by} of the chosen candidate as the search measured it, {moved}."]


def _value(name: str, value: float) -> str:
    return percent(value) if name == "accuracy" else f"{value:.4g}"


def _edges(history: SearchHistory) -> list[str]:
    found: dict[tuple[str, bool], list[int]] = {}
    for record in history:
        side = _edge(record)
        if side is not None:
            found.setdefault((side, _is_narrow(record)), []).append(record.epoch)
    sentences = []
    for (side, narrow), epochs in sorted(found.items()):
        end = "lower" if side == "min_lr" else "upper"
        where = "trust region: the next search goes on from there" if narrow else f"range: {side} widens it"
        sentences.append(f"In {_numbers(epochs)} the best score lay at the {end} end of the {where}.")
    return sentences


def _edge(record: EpochRecord) -> str | None:
    # the bound at which the best score lies, if it does
    scored = [result for result in record.results if result.score is not None]
    if len(scored) < 2 or record.min_lr is None or record.max_lr is None:
        return None
    best = max(scored, key=lambda result: result.score or 0.0)
    if best.lr <= record.min_lr * _AT_THE_EDGE:
        return "min_lr"
    return "max_lr" if best.lr >= record.max_lr / _AT_THE_EDGE else None


def _is_narrow(record: EpochRecord) -> bool:
    # whether rates were proposed in a trust region around the present one
    return any(result.origin == "region" for result in record.results)


def _cost(history: SearchHistory) -> list[str]:
    cost = history.cost
    plain = "the one epoch" if cost.epochs == 1 else f"the {cost.epochs} epochs"
    words = cost.in_words()
    return [
        f"{words[0].upper()}{words[1:]}.",
        f"{cost.train_passes:.1f} passes over the training data; a plain fit takes {cost.epochs} for {plain}.",
        f"{cost.val_passes:.1f} passes over the validation data.",
        f"Searching took {duration(cost.seconds)}.",
    ]


def _left_out(history: SearchHistory) -> list[str]:
    states = Counter(result.state for record in history for result in record.results)
    total = sum(states.values())
    sentences = []
    for state, words in (
        (TrialState.PRUNED, "were pruned: their training loss fell hopelessly behind"),
        (TrialState.DIVERGED, "diverged"),
        (TrialState.FAILED, "failed"),
    ):
        if states[state]:
            sentences.append(f"{states[state]} of {count(total, 'candidate')} {words}.")
    none = [record.epoch for record in history if record.chosen is None]
    if none:
        sentences.append(f"No candidate could be committed in {_numbers(none)}: a lower rate was trained instead.")
    sentences += [*_recoveries(history.trained), *_unsearched(history)]
    return [
        *(sentences or ["Every candidate came to its end, and every epoch was searched."]),
        "The scores are those on which the winners were chosen, so they are optimistic: judge the result on data that "
        "no search has seen.",
    ]


def _recoveries(trained: Iterable[TrainedEpoch]) -> list[str]:
    return [
        f"Recovery: at the start of epoch {end.epoch} the run went back to the end of epoch {end.returned_to}, at half "
        f"the rate; {count(end.epoch - 1 - end.returned_to, 'epoch')} lost."
        for end in trained
        if end.returned_to is not None
    ]


def _unsearched(history: SearchHistory) -> list[str]:
    searched = {record.epoch for record in history}
    why: dict[str, list[int]] = {}
    for end in history.trained:
        if end.epoch not in searched:
            why.setdefault(end.not_searched, []).append(end.epoch)
    if not history.trained:
        between = sorted(set(range(history[0].epoch, history[-1].epoch)) - searched)
        why = {"": between} if between else {}
    return [f"Not searched: {_numbers(epochs)}{f' ({reason})' if reason else ''}." for reason, epochs in why.items()]


def _epochs(history: Sequence[EpochRecord]) -> str:
    first, last = history[0].epoch, history[-1].epoch
    return str(first) if first == last else f"{first} to {last}"


def _numbers(epochs: Sequence[int]) -> str:
    # consecutive epochs as spans: 1 to 4, 7
    spans: list[list[int]] = []
    for epoch in epochs:
        if spans and epoch == spans[-1][1] + 1:
            spans[-1][1] = epoch
        else:
            spans.append([epoch, epoch])
    shown = ", ".join(str(a) if a == b else f"{a} and {b}" if b == a + 1 else f"{a} to {b}" for a, b in spans[:8])
    more = f" and {len(spans) - 8} spans more" if len(spans) > 8 else ""
    return f"epoch {shown}" if len(epochs) == 1 else f"epochs {shown}{more}"
