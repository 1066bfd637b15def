"""Ask and tell: any scores in any order, state, pending trials, divergence, warm start, stopping."""

from __future__ import annotations

import io
import itertools
import json
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_gammabo.bayesopt import BayesOpt, LearningRateSpace, PlacePrior, Search, make_search
from lightning_gammabo.records import Trial

SPACE = LearningRateSpace(1e-3, 0.5)
LINEAR = LearningRateSpace(0.0, 0.5, scale="linear")
FAST_KINDS = ["gamma", "gamma_thesis", "grid", "random", "sobol", "list"]
SCORES = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf, -2e36]))


def make(kind: str = "gamma", space: LearningRateSpace = SPACE, *, seed: int = 0, **options: Any) -> Any:
    candidates = [0.1, 0.01, 0.3, 0.002] * 5 if kind == "list" else None
    return make_search(kind, space, seed=seed, n_initial=2, n_trials=20, candidates=candidates, **options)


def parabola(lr: float) -> float:
    return -((math.log10(lr) + 1.5) ** 2)


def run(search: Any, scores: list[float | None]) -> list[float]:
    rates = []
    for score in scores:
        trial = search.ask()
        rates.append(trial.lr)
        search.tell(trial, score)
    return rates


@pytest.mark.parametrize("kind", [*FAST_KINDS, "gaussian", "gaussian_log_ei", "gaussian_pi"])
def test_every_kind_is_a_search(kind: str) -> None:
    search = make(kind)
    assert isinstance(search, Search)
    assert search.space is SPACE
    assert not search.finished


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(SCORES, min_size=1, max_size=14),
    kind=st.sampled_from(FAST_KINDS),
    space=st.sampled_from([SPACE, LINEAR]),
)
def test_whatever_comes_back_proposals_are_finite_and_in_range(
    scores: list[float | None], kind: str, space: LearningRateSpace
) -> None:
    search = make(kind, space)
    for score in scores:
        trial = search.ask()
        assert space.low <= trial.lr <= space.high
        search.tell(trial, score)


@settings(max_examples=30, deadline=None)
@given(
    scores=st.lists(SCORES, min_size=1, max_size=9),
    at=st.integers(0, 8),
    kind=st.sampled_from(FAST_KINDS),
    warm=st.booleans(),
)
def test_a_state_taken_at_any_moment_continues_identically(
    scores: list[float | None], at: int, kind: str, warm: bool
) -> None:
    def fresh() -> Any:
        search = make(kind, seed=3)
        if kind == "gamma" and warm:
            search.warm_start([(0.1, 1.0), (0.2, 0.5)])
        search.enqueue(0.02)
        return search

    straight, broken = fresh(), fresh()
    for number, score in enumerate(scores):
        if number == at % len(scores):
            pending = straight.ask(), broken.ask()
            assert pending[0] == pending[1]
            buffer = io.BytesIO()
            torch.save(broken.state_dict(), buffer)
            buffer.seek(0)
            state = torch.load(buffer, weights_only=True)
            assert json.loads(json.dumps(state, allow_nan=False)) == state
            broken = make(kind, seed=99)
            broken.load_state_dict(state)
            straight.tell(pending[0], 0.5)
            broken.tell(pending[1], 0.5)
        first, second = straight.ask(), broken.ask()
        assert first == second
        straight.tell(first, score)
        broken.tell(second, score)
    assert straight.state_dict() == broken.state_dict()


@pytest.mark.parametrize("kind", FAST_KINDS)
def test_same_seed_same_asks_and_no_global_generator(kind: str) -> None:
    python, numpy_, torch_ = random.getstate(), np.random.get_state(), torch.get_rng_state()
    scores = [0.1, 0.4, None, 0.3, 0.9, 0.2]
    random.seed(1)
    first = run(make(kind), scores)
    random.seed(2)
    np.random.seed(5)
    torch.manual_seed(7)
    assert run(make(kind), scores) == first
    random.setstate(python)
    np.random.set_state(numpy_)
    torch.set_rng_state(torch_)
    run(make(kind), scores)
    assert random.getstate() == python
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy_, strict=True))
    assert torch.equal(torch.get_rng_state(), torch_)


@pytest.mark.parametrize("kind", ["gamma", "random", "sobol"])
def test_another_seed_gives_other_asks(kind: str) -> None:
    assert run(make(kind, seed=1), [0.1, 0.2]) != run(make(kind, seed=2), [0.1, 0.2])


@pytest.mark.parametrize("kind", FAST_KINDS)
@pytest.mark.parametrize("lr", [0.0, 1e-9, 3.0, 0.1])
def test_an_enqueued_rate_comes_next_wherever_it_lies(kind: str, lr: float) -> None:
    search = make(kind)
    search.tell(search.ask(), 0.2)
    search.enqueue(lr)
    search.enqueue(0.25, origin="list")
    first, second = search.ask(2)
    assert (first.lr, first.origin) == (lr, "current")
    assert (second.lr, second.origin) == (0.25, "list")
    search.tell(first, 0.9)
    search.tell(second, 0.1)
    run(search, [0.3, 0.4])


def test_a_rate_of_zero_is_recorded_but_not_modelled() -> None:
    search = make()
    search.enqueue(0.0)
    search.tell(search.ask(), 1e9)
    run(search, [0.5, 0.6, 0.2])
    assert search.told[0].trial.lr == 0.0
    assert search.suggest_best() > 0.0
    assert search.surrogate_at([0.1]).mean[0] < 10.0  # 1e9 is not among what the surrogate saw


def test_enqueued_trials_count_as_initial_ones() -> None:
    search = make()
    search.enqueue(0.01)
    origins = []
    for score in (0.1, 0.2, 0.3):
        trial = search.ask()
        origins.append(trial.origin)
        search.tell(trial, score)
    assert origins == ["current", "initial", "acquisition"]


@pytest.mark.parametrize("n_initial", [1, 2, 4])
def test_initial_trials_are_spread(n_initial: int) -> None:
    search = BayesOpt(SPACE, seed=5, n_initial=n_initial)
    places = [SPACE.to_unit(lr) for lr in run(search, [0.1] * n_initial)]
    assert sorted(int(u * n_initial) for u in places) == list(range(n_initial))


@pytest.mark.parametrize("kind", FAST_KINDS)
def test_trials_are_told_once_and_only_if_asked_for(kind: str) -> None:
    search = make(kind)
    trial = search.ask()
    with pytest.raises(ValueError, match=r"was not asked for by this search \(waiting for trials \[0\]\)"):
        search.tell(Trial(number=7, lr=0.1), 0.3)
    with pytest.raises(ValueError, match="was not asked for"):
        search.tell(Trial(number=0, lr=0.123), 0.3)
    search.tell(trial, 0.3)
    with pytest.raises(ValueError, match="was told before"):
        search.tell(trial, 0.3)
    search.discard(search.ask())
    assert [t.trial.number for t in search.told] == [0]
    assert search.pending == ()


def test_trials_come_back_in_any_order() -> None:
    scores = {0: 0.1, 1: 0.9, 2: None, 3: 0.3}
    asks = []
    for order in itertools.permutations(range(4)):
        search = make()
        trials = search.ask(4)
        for number in order:
            search.tell(trials[number], scores[number])
        asks.append(search.ask().lr)
    assert max(asks) - min(asks) < 1e-9 * max(asks)  # sums in another order differ in the last digit


def test_pending_trials_are_kept_away_from() -> None:
    search = make()
    run(search, [0.1, 0.5, 0.2])
    rates = [trial.lr for trial in search.ask(5)]
    places = sorted(SPACE.to_unit(lr) for lr in rates)
    assert min(np.diff(places)) > 0.005


def test_a_batch_before_any_score_fills_the_space() -> None:
    places = np.sort([SPACE.to_unit(trial.lr) for trial in make().ask(8)])
    assert np.diff(places).max() < 0.35
    assert np.diff(places).min() > 0.02


def test_it_finds_a_peak() -> None:
    for seed in range(5):
        search = make(seed=seed)
        for _ in range(9):
            trial = search.ask()
            search.tell(trial, parabola(trial.lr))
        assert math.log10(search.suggest_best()) == pytest.approx(-1.5, abs=0.05)


def test_a_wall_is_respected_and_approached() -> None:
    """Every rate above 0.1 diverges and the best one is just below it."""
    search = make(seed=1)
    diverged = 0
    for _ in range(14):
        trial = search.ask()
        diverged += trial.lr > 0.1
        search.tell(trial, None if trial.lr > 0.1 else math.log10(trial.lr))
    assert 0.08 < search.suggest_best() <= 0.1
    assert diverged <= 6


def test_a_diverged_score_is_no_number_to_the_surrogate() -> None:
    with_wall, without = make(), make()
    for search in (with_wall, without):
        for lr, score in ((0.01, 0.2), (0.05, 0.6)):
            search.enqueue(lr)
            search.tell(search.ask(), score)
    with_wall.enqueue(0.4)
    with_wall.tell(with_wall.ask(), math.nan)
    rates = np.geomspace(1e-3, 0.5, 20)
    np.testing.assert_array_equal(with_wall.surrogate_at(rates).mean, without.surrogate_at(rates).mean)
    assert with_wall.ask().lr < 0.4


def test_one_bad_draw_below_good_rates_does_not_end_the_search() -> None:
    search = make()
    for lr, score in ((0.2, 0.5), (0.01, None), (0.001, 0.1)):
        search.enqueue(lr)
        search.tell(search.ask(), score)
    rates = [search.ask().lr for _ in range(30)]
    assert max(rates) > 0.05
    assert all(abs(math.log(lr / 0.01)) > 0.5 for lr in rates)


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_an_optimum_at_an_end_is_reached(end: float) -> None:
    for seed in range(5):
        search = make(seed=seed)
        for _ in range(8):
            trial = search.ask()
            search.tell(trial, -abs(SPACE.to_unit(trial.lr) - end))
        assert abs(SPACE.to_unit(search.suggest_best()) - end) < 0.02


@pytest.mark.parametrize("factor", [1.1, 3.0])
@pytest.mark.parametrize(("scores", "low", "high"), [((0.5, 0.6, 0.1), 0.5, 1.0), ((0.5, 0.1, 0.6), 0.0, 0.5)])
def test_a_narrow_region_is_searched_beside_its_best_rate(factor: float, scores: Any, low: float, high: float) -> None:
    """As a later search does it: the rate in use, both ends of the region, then what the search asks for."""
    space = LearningRateSpace(0.02 / factor, 0.02 * factor)
    search = make(space=space, inside=0.0)
    for lr, score in zip((0.02, 0.02 * factor, 0.02 / factor), scores, strict=True):
        search.enqueue(lr, origin="region")
        search.tell(search.ask(), score)
    first = search.ask()
    search.tell(first, 0.55)
    second = search.ask()
    assert low < space.to_unit(first.lr) < high
    assert low < space.to_unit(second.lr) < high
    assert first.lr != second.lr


def test_a_narrow_region_of_noise_is_explored() -> None:
    """Scores that differ by nothing but noise draw no rate twice and do not pile up."""
    space = LearningRateSpace(0.02 / 1.1, 0.02 * 1.1)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        search = make(space=space, seed=seed, inside=0.0)
        for lr in (0.02, 0.02 * 1.1, 0.02 / 1.1):
            search.enqueue(lr)
        rates = run(search, [float(0.5 + 0.003 * rng.normal()) for _ in range(7)])
        gaps = np.diff(sorted(space.to_unit(lr) for lr in rates))
        assert gaps.min() > 0.5 / 512
        assert gaps.max() < 0.5


def test_all_diverged_goes_down_by_halves() -> None:
    search = make()
    rates = run(search, [None] * 8)
    places = [SPACE.to_unit(lr) for lr in rates]
    assert min(places) < 0.05
    assert search.ask().lr >= SPACE.low


@pytest.mark.parametrize("kind", ["gamma", "gamma_thesis"])
def test_deterministic_scores_are_not_asked_for_twice(kind: str) -> None:
    search = make(kind)
    rates = []
    for _ in range(40):
        trial = search.ask()
        rates.append(trial.lr)
        search.tell(trial, parabola(trial.lr))
    places = sorted(SPACE.to_unit(lr) for lr in rates)
    assert min(np.diff(places)) > 0.5 / 512


def test_noisy_scores_may_be_asked_for_again_and_the_mean_recommends() -> None:
    search = make(deterministic=False)
    rng = np.random.default_rng(0)
    for _ in range(25):
        trial = search.ask()
        search.tell(trial, parabola(trial.lr) + 0.2 * rng.normal())
    assert math.log10(search.suggest_best()) == pytest.approx(-1.5, abs=0.35)
    assert search.suggest_best() in [t.trial.lr for t in search.told]


def test_five_hundred_tells_ties_and_duplicates() -> None:
    search = make()
    rng = np.random.default_rng(1)
    for number in range(500):
        search.enqueue(float(SPACE.from_unit(rng.integers(0, 20) / 20)))
        search.tell(search.ask(), [0.0, 1.0, None, float(rng.normal())][number % 4])
    assert search.surrogate_at([0.1]).df == 1.2 + 256  # the surrogate sees no more than so many
    assert SPACE.low <= search.ask().lr <= SPACE.high


def test_a_full_grid_goes_on_between_its_places() -> None:
    search = BayesOpt(SPACE, grid_size=8)
    rates = run(search, [0.5] * 30)
    assert all(SPACE.low <= lr <= SPACE.high for lr in rates)


def test_stopping_rule() -> None:
    search, never = make(stop_below=0.01), make()
    used = 0
    while not search.finished and used < 30:
        trial = search.ask()
        assert not search.finished or search.pending == ()
        search.tell(trial, parabola(trial.lr))
        used += 1
    assert 4 <= used < 20
    run(never, [parabola(lr) for lr in np.geomspace(1e-3, 0.5, 12)])
    assert not never.finished


def test_stopping_waits_for_scores_that_differ() -> None:
    search = make(stop_below=0.5)
    run(search, [1.0] * 6)
    assert not search.finished


def test_warm_start_begins_at_the_winner_and_its_half() -> None:
    search = make()
    search.warm_start({0.2: None, 0.1: 0.9, 0.4: math.nan, 0.02: 0.5})
    assert run(search, [0.5, 0.6]) == pytest.approx([0.1, 0.05])
    current = make()
    current.warm_start([(0.1, 0.9)])
    current.enqueue(0.1)
    assert run(current, [0.5, 0.6]) == pytest.approx([0.1, 0.05])  # the winner itself was tried already


def test_warm_start_looks_near_and_is_forgotten() -> None:
    warm, cold, jumped = make(), make(), make()
    for search, reached in ((warm, 0.4), (jumped, 0.6)):
        search.warm_start([(0.004, reached), (0.1, 0.1)])
    for search in (warm, cold, jumped):
        search.enqueue(0.004)
        search.enqueue(0.002)
        run(search, [0.5, 0.5])
    proposed = cold.ask().lr
    assert warm.ask().lr < 0.02 < min(proposed, jumped.ask().lr)  # no score of the jumped one has reached the winner's


def test_a_later_epoch_is_believed_to_be_rougher() -> None:
    warm, cold = make(), make()
    warm.warm_start([(0.1, 0.5)])
    for search in (warm, cold):
        for lr in (0.01, 0.03, 0.1):
            search.enqueue(lr)
        run(search, [0.2, 0.5, 0.6])
    between = [0.017, 0.055]
    assert (warm.surrogate_at(between).scale > 1.1 * cold.surrogate_at(between).scale).all()
    cold.warm_start([(0.1, 0.5)])  # after its scores: nothing of the former belief is kept
    np.testing.assert_array_equal(cold.surrogate_at(between).scale, warm.surrogate_at(between).scale)


def test_a_warm_start_in_a_landscape_that_jumped_finds_its_peak() -> None:
    search = make()
    search.warm_start([(0.004, 1.0)] * 12)
    for _ in range(10):
        trial = search.ask()
        search.tell(trial, -((math.log10(trial.lr) + 0.7) ** 2))
    assert math.log10(search.suggest_best()) == pytest.approx(-0.7, abs=0.1)


def test_a_cold_start_needs_no_epoch_before() -> None:
    search = make()
    search.warm_start([(0.1, None), (0.0, 3.0)])
    assert search.state_dict()["warm"] is None
    for strength in (-0.5, math.inf, math.nan):
        with pytest.raises(ValueError, match="at least 0"):
            search.warm_start([(0.1, 1.0)], strength=strength)


@pytest.mark.parametrize("acquisition", ["log_ei", "ei", "pi", "thesis"])
@pytest.mark.parametrize("surrogate", ["student_t", "gaussian"])
@pytest.mark.parametrize("hyperparameters", ["average", "maximise"])
def test_all_acquisitions_are_finite_and_peak_where_ask_goes(
    acquisition: Any, surrogate: Any, hyperparameters: Any
) -> None:
    search = BayesOpt(SPACE, acquisition=acquisition, surrogate=surrogate, hyperparameters=hyperparameters)
    for lr in (0.002, 0.01, 0.3):
        search.enqueue(lr)
        search.tell(search.ask(), parabola(lr))
    rates = [SPACE.from_unit(u) for u in np.linspace(0.0, 1.0, 512)]
    view = search.surrogate_at(rates)
    assert np.isfinite(view.acquisition).all()
    top = rates[int(view.acquisition.argmax())]
    assert search.ask().lr == pytest.approx(top) or acquisition == "thesis"  # may sit on a tried rate, which is masked


def test_ei_and_log_ei_ask_alike() -> None:
    scores = [0.1, 0.8, 0.3, 0.9, 0.2]
    assert run(make(acquisition="ei"), scores) == run(make(acquisition="log_ei"), scores)


def test_a_margin_explores() -> None:
    def width(xi: float) -> float:
        search = make(xi=xi, inside=0.0)
        for lr in (0.02, 0.03, 0.04):
            search.enqueue(lr)
            search.tell(search.ask(), parabola(lr))
        return min(abs(math.log(search.ask().lr / lr)) for lr in (0.02, 0.03, 0.04))

    assert width(10.0) >= width(0.0)


CHOICES: dict[str, list[dict[str, Any]]] = {
    "acquisition": [{"acquisition": name} for name in ("log_ei", "pi", "thesis")],
    "thesis_reading": [{"acquisition": "thesis", "thesis_reading": name} for name in ("L1", "L2", "L3")],
    "hyperparameters": [{"hyperparameters": name} for name in ("average", "maximise")],
    "surrogate": [{"surrogate": name} for name in ("student_t", "gaussian")],
    "kernel": [{"kernel": name} for name in ("matern52", "rbf")],
}


@pytest.mark.parametrize("option", CHOICES)
def test_what_an_option_offers_is_told_apart(option: str) -> None:
    rates = [SPACE.from_unit(u) for u in np.linspace(0.0, 1.0, 16)]
    found = []
    for options in CHOICES[option]:
        search = BayesOpt(SPACE, inside=0.0, **options)
        for lr, score in ((0.002, 0.2), (0.01, 0.7), (0.05, 0.5), (0.3, 0.1)):
            search.enqueue(lr)
            search.tell(search.ask(), score)
        found.append(search.surrogate_at(rates).acquisition)
    for one, other in itertools.combinations(found, 2):
        assert not np.allclose(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"acquisition": "ucb"}, "'log_ei', 'ei', 'pi', 'thesis'"),
        ({"surrogate": "forest"}, "'student_t', 'gaussian'"),
        ({"kernel": "linear"}, "'matern52', 'rbf'"),
        ({"hyperparameters": "sample"}, "'average', 'maximise'"),
        ({"thesis_reading": "L4"}, "'L1', 'L2', 'L3'"),
        ({"xi": -1.0}, "at least 0"),
        ({"inside": math.nan}, "at least 0"),
        ({"n_initial": -1}, "at least 0"),
        ({"grid_size": 2}, "at least 8"),
        ({"stop_below": -0.1}, "at least 0"),
        ({"prior": 0.1}, "PlacePrior"),
        ({"seed": -1}, "not negative"),
        ({"seed": 1.5}, "an integer"),
        ({"precision_prior": (0.4, 1.0)}, "concentration > 1/2"),
        ({"precision_prior": (1.0, 0.0)}, "rate > 0"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match) as refused:
        BayesOpt(SPACE, **options)
    assert next(iter(options)) in str(refused.value)


def test_a_foreign_state_is_refused() -> None:
    with pytest.raises(ValueError, match="state of 'RandomSearch', version 1, does not fit 'BayesOpt'"):
        make().load_state_dict(make("random").state_dict())
    with pytest.raises(ValueError, match="version 2"):
        make().load_state_dict({**make().state_dict(), "version": 2})


def test_impossible_rates_are_not_enqueued() -> None:
    for lr in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="finite and not negative"):
            make().enqueue(lr)


def with_scores(search: Any) -> Any:
    for lr in (0.002, 0.01, 0.3):
        search.enqueue(lr)
        search.tell(search.ask(), parabola(lr))
    return search


def test_the_default_search_asks_gamma_precision_gp_through_botorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Model, acquisition and prior are BoTorch's classes or ours of BoTorch's, and the proposal is their maximum."""
    from botorch.acquisition import prior_guided
    from botorch.acquisition.acquisition import AcquisitionFunction
    from botorch.models.model import Model

    from lightning_gammabo.bayesopt import acquisition, model

    seen: dict[str, Any] = {}

    class SpyModel(model.GammaPrecisionGP):
        def __init__(self, X: Any, Y: Any, **options: Any) -> None:
            super().__init__(X, Y, **options)
            seen["model"] = self

    class SpyAcquisition(acquisition.LogStudentTExpectedImprovement):
        def forward(self, X: Any) -> Any:
            seen["acquisition"] = self
            return super().forward(X)

    class SpyPrior(prior_guided.PriorGuidedAcquisitionFunction):
        def forward(self, X: Any) -> Any:
            seen["value"] = super().forward(X)
            seen["X"] = X
            return seen["value"]

    monkeypatch.setattr(model, "GammaPrecisionGP", SpyModel)
    monkeypatch.setattr(acquisition, "LogStudentTExpectedImprovement", SpyAcquisition)
    monkeypatch.setattr(prior_guided, "PriorGuidedAcquisitionFunction", SpyPrior)
    trial = with_scores(make()).ask()
    assert isinstance(seen["model"], Model)
    assert isinstance(seen["acquisition"], AcquisitionFunction)
    assert seen["acquisition"].model is seen["model"]
    assert seen["model"].train_X.shape == (3, 1)
    assert SPACE.to_unit(trial.lr) == pytest.approx(seen["X"][seen["value"].argmax()].item())


def test_the_proposal_is_the_models_own_optimum() -> None:
    """optimize_acqf_discrete over the same grid, from a model made by hand, proposes the same rate."""
    from botorch.optim.optimize import optimize_acqf_discrete

    from lightning_gammabo.bayesopt import GammaPrecisionGP, LogStudentTExpectedImprovement
    from lightning_gammabo.bayesopt.surrogate import Units

    search = with_scores(make(inside=0.0))
    scores = np.array([told.score for told in search.told])
    x = torch.tensor([[SPACE.to_unit(told.trial.lr)] for told in search.told], dtype=torch.float64)
    y = torch.as_tensor(Units.of(scores, 0.5).standard(scores)).unsqueeze(-1)
    model = GammaPrecisionGP(x, y, precision_prior=(0.6, 3.0), outcome_transform=None)
    grid = torch.linspace(0.0, 1.0, 512, dtype=torch.float64).unsqueeze(-1)
    best, _ = optimize_acqf_discrete(LogStudentTExpectedImprovement(model, y.max()), q=1, choices=grid)
    assert SPACE.to_unit(search.ask().lr) == pytest.approx(best.item(), abs=1e-9)


def test_the_expected_gain_is_the_improvement_in_units_of_the_score() -> None:
    search = make(acquisition="ei", inside=0.0)
    assert search.expected_gain() is None
    with_scores(search)
    rates = [SPACE.from_unit(u) for u in np.linspace(0.0, 1.0, 512)]
    gain = search.expected_gain()
    assert gain == pytest.approx(search.surrogate_at(rates).acquisition.max(), rel=1e-6)
    larger = make()
    for lr in (0.002, 0.01, 0.3):
        larger.enqueue(lr)
        larger.tell(larger.ask(), 100.0 * parabola(lr) + 7.0)
    assert larger.expected_gain() == pytest.approx(100.0 * gain, rel=1e-6)  # the prior of the place is not in it
    search.ask()
    assert 0.0 < search.expected_gain() < gain  # part of it is expected of the pending trial


def test_the_expected_gain_falls_as_the_peak_is_found() -> None:
    search, gains = make(), []
    for _ in range(12):
        trial = search.ask()
        search.tell(trial, parabola(trial.lr))
        gains.append(search.expected_gain())
    assert gains[-1] < 0.05 * max(gains)


def test_a_prior_of_the_place_draws_proposals_and_is_outvoted() -> None:
    near_top = PlacePrior(centre=math.log10(0.2), scale=0.1, df=1.0)
    free, drawn = with_scores(make()), with_scores(make(prior=near_top))
    assert free.ask().lr < 0.1 < drawn.ask().lr
    search = make(prior=near_top)
    for _ in range(12):
        trial = search.ask()
        search.tell(trial, parabola(trial.lr))
    assert math.log10(search.suggest_best()) == pytest.approx(-1.5, abs=0.1)


def test_a_warm_start_comes_before_the_prior_of_the_place_while_it_holds() -> None:
    there = PlacePrior(centre=math.log10(0.3), scale=0.05, df=1.0)
    warm, misled = make(prior=there), make(prior=there)
    warm.warm_start([(0.004, -9.0)])
    misled.warm_start([(0.004, 9.0)])
    for search in (warm, misled):
        for lr in (0.004, 0.002):
            search.enqueue(lr)
        run(search, [0.5, 0.5])
    assert warm.ask().lr < 0.05 < misled.ask().lr
