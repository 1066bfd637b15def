from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from lightning_gammabo import GammaLRSearch, SearchPolicy
from lightning_gammabo.bayesopt import BayesOpt, LearningRateSpace, make_search
from lightning_gammabo.records import EpochRecord, Result, TrialState
from lightning_gammabo.report.surrogate import plot_surrogate, rebuild_search
from tests.helpers.trainers import loaders, trainer_of
from tests.integration.identity.scenarios import Net
from tests.unit.report.histories import searched_epoch

plt = pytest.importorskip("matplotlib.pyplot")
PLACES = np.geomspace(1e-4, 1.0, 33)


@pytest.mark.parametrize("search", ["gamma", "gamma_thesis"])
def test_the_search_is_rebuilt_to_the_bit(search: str) -> None:
    record = searched_epoch(3, search)
    first = make_search(search, LearningRateSpace(1e-4, 1.0), seed=3, n_initial=2, n_trials=7)
    first.enqueue(0.9)
    for result in record.results:
        trial = first.ask()
        assert trial.lr == result.lr
        first.tell(trial, result.score)
    again = rebuild_search(record)
    for name in ("mean", "scale", "acquisition"):
        np.testing.assert_array_equal(
            getattr(again.surrogate_at(PLACES), name), getattr(first.surrogate_at(PLACES), name)
        )
    assert again.ask() == first.ask()


def test_the_belief_about_the_place_is_rebuilt_with_the_search() -> None:
    search = GammaLRSearch(SearchPolicy(base="once", min_steps=3), progress=False)
    asked: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        ask = BayesOpt.ask
        patch.setattr(BayesOpt, "ask", lambda self, *given: (asked.append((self, self.prior)), ask(self, *given))[1])
        trainer_of(search, max_epochs=3).fit(Net(), *loaders())
    used, prior = asked[-1]
    record = EpochRecord.from_dict(search.history[0].to_dict())
    assert prior is not None
    assert record.prior == dataclasses.astuple(prior)
    rebuilt = rebuild_search(record)
    np.testing.assert_array_equal(rebuilt.surrogate_at(PLACES).acquisition, used.surrogate_at(PLACES).acquisition)
    without = rebuild_search(dataclasses.replace(record, prior=None)).surrogate_at(PLACES)
    assert not np.array_equal(without.acquisition, used.surrogate_at(PLACES).acquisition)


def test_a_pruned_candidate_is_not_told_and_a_diverged_one_is() -> None:
    record = searched_epoch(0)
    pruned = dataclasses.replace(record.results[2], state=TrialState.PRUNED, score=None)
    diverged = dataclasses.replace(pruned, state=TrialState.DIVERGED)

    def told(result: Result) -> list[tuple[float, float | None]]:
        results = (*record.results[:2], result, *record.results[3:])
        search = rebuild_search(dataclasses.replace(record, results=results, chosen_number=None))
        return [(told.trial.lr, told.score) for told in search.told]

    others = [(r.lr, r.score) for k, r in enumerate(record.results) if k != 2]
    assert told(pruned) == others
    assert told(diverged) == [*others[:2], (pruned.lr, None), *others[2:]]


def test_fewer_candidates_know_less() -> None:
    record = searched_epoch(0)
    assert [t.trial.lr for t in rebuild_search(record, after=3).told] == [r.lr for r in record.results[:3]]
    belief, _ = plot_surrogate(record, after=4)
    assert belief.get_title(loc="left") == "epoch 0: belief after 4 candidates"


def test_no_belief_is_made_up_from_two_scores() -> None:
    record = searched_epoch(0)
    assert [result.score is None for result in record.results[:3]] == [True, False, False]
    with pytest.raises(
        ValueError, match="epoch 0: only 2 candidates with a score; a belief from fewer than 3 is the prior's"
    ):
        plot_surrogate(record, after=3)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (searched_epoch(4, "grid"), r"epoch 4: the sampler 'grid' has no surrogate to show; 'landscape' shows"),
        (searched_epoch(4, "sobol"), r"the sampler 'sobol' has no surrogate"),
        (searched_epoch(4, "list"), r"the sampler 'list' has no surrogate"),
        (dataclasses.replace(searched_epoch(4), sampler="mine.Search"), r"the sampler 'mine.Search' has no surrogate"),
        (dataclasses.replace(searched_epoch(4), min_lr=None), r"does not say between which rates was searched"),
        (
            dataclasses.replace(searched_epoch(4), results=searched_epoch(4).results[:1], chosen_number=None),
            r"epoch 4: no candidate has a score",
        ),
    ],
)
def test_where_there_is_no_surrogate_the_words_say_so(record: EpochRecord, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plot_surrogate(record)


def test_the_picture_has_belief_samples_winner_and_acquisition() -> None:
    record = searched_epoch(0)
    belief, acquisition = plot_surrogate(record)
    curve = belief.lines[0]
    view = rebuild_search(record).surrogate_at(curve.get_xdata())
    np.testing.assert_array_equal(curve.get_ydata(), view.mean)
    band = belief.collections[0].get_paths()[0].vertices
    low, high = view.interval(0.95)
    assert band[:, 1].min() == pytest.approx(low.min())
    assert band[:, 1].max() == pytest.approx(high.max())
    labels = [text.get_text() for text in belief.get_legend().get_texts()]
    assert labels[:3] == ["95 % band", "belief", "tried"]
    assert {"without score", "committed"} <= set(labels)
    star = next(c for c in belief.collections if c.get_label() == "committed")
    assert record.chosen is not None
    assert star.get_offsets().tolist() == [[record.chosen.lr, record.chosen.score]]
    shares = acquisition.lines[0].get_ydata()
    assert shares.max() == 1.0
    assert curve.get_xdata()[shares.argmax()] == pytest.approx(rebuild_search(record).ask().lr, rel=0.1)
    assert belief.get_xscale() == acquisition.get_xscale() == "log"


def test_one_disaster_does_not_hide_the_others() -> None:
    record = searched_epoch(0)
    worst = dataclasses.replace(record.results[-1], score=-1e6)
    belief, _ = plot_surrogate(dataclasses.replace(record, results=(*record.results[:-1], worst)))
    assert belief.get_ylim()[0] > -100.0
    below = next(c for c in belief.collections if c.get_label() == "far below")
    assert below.get_offsets().tolist() == [[worst.lr, belief.get_ylim()[0]]]


def test_equal_scores_can_be_drawn() -> None:
    record = searched_epoch(0)
    equal = tuple(dataclasses.replace(r, score=1.0) for r in record.results if r.score is not None)
    belief, _ = plot_surrogate(dataclasses.replace(record, results=equal, chosen_number=equal[0].number))
    belief.figure.canvas.draw()
    low, high = belief.get_ylim()
    assert low < 1.0 < high


def test_on_given_axes_there_is_the_belief_alone() -> None:
    _, ax = plt.subplots()
    assert plot_surrogate(searched_epoch(0), ax) == (ax,)
