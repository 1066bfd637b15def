"""Bayesian optimisation of one learning rate by ask and tell: exact Student-t process on a grid, in milliseconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lightning_gammabo.bayesopt import student_t
from lightning_gammabo.bayesopt._asktell import AskTell
from lightning_gammabo.bayesopt._bounds import Bounds, WarmRegion, away_from
from lightning_gammabo.bayesopt._process import Fit, HyperGrid, Kernel, Mixture, fit, predict
from lightning_gammabo.bayesopt._view import SurrogateView, mixture_in_units, standardise
from lightning_gammabo.bayesopt.precision import ThesisReading, thesis_estimate
from lightning_gammabo.bayesopt.space import LearningRateSpace

__all__ = ["Acquisition", "BayesOpt", "Surrogate"]

Array = npt.NDArray[np.float64]
Surrogate = Literal["student_t", "gaussian"]
Acquisition = Literal["log_ei", "ei", "pi", "thesis"]

_PRIOR = (1.5, 1.5)
"""Gamma prior of the precision on standardised scores: df = 3 + n, so that a variance exists from the first score on"""
_THESIS_PRIOR = (1.0, 1.0)
_MAX_POINTS = 256
"""the surrogate sees the better half and the newer half of so many scores, lest ask() grow without bound"""
_MIN_SCORES_TO_STOP = 4
_TIE = 1e-10


@dataclass(frozen=True)
class _Belief:
    """The surrogate after the tells so far, in standardised scores."""

    x: Array
    y: Array
    centre: float
    unit: float
    fitted: Fit
    best: float


class BayesOpt(AskTell):
    """Which learning rate next, by expected improvement under a Student-t (or Gaussian) process.

    The surrogate is a process with a Gamma posterior of the precision: Student-t marginals, Matern-5/2, averaged over
    84 hyperparameter nodes. Neither BoTorch nor a gradient is needed: the unit interval is a grid.

    Args:
        space: the rates that may be proposed.
        seed: not negative; the same seed and the same tells give the same asks.
        surrogate: ``"student_t"``, or ``"gaussian"`` (the limit of a known precision).
        kernel: ``"matern52"`` or ``"rbf"``.
        acquisition: ``"log_ei"`` and ``"ei"`` (same maximum), ``"pi"``, or ``"thesis"`` (eqs. 13-15, then EI).
        xi: margin by which the best score is to be improved on, in units of the score.
        n_initial: trials before the surrogate is asked; enqueued ones count.
        stop_below: ``finished`` once the largest expected improvement is below this share of the spread of the scores
            seen (0.01 saves about a third of twelve trials); None for never.
        deterministic: whether a repeated rate would repeat its score: if so none is proposed twice and the best score
            is the incumbent; if not, the incumbent is the best posterior mean among the rates tried.
        hyperparameters: ``"average"`` over the nodes or ``"maximise"`` (the best node alone).
        precision_prior: concentration and rate of the Gamma prior for standardised scores; None for (1.5, 1.5), or
            (1, 1) in the thesis's acquisition.
        thesis_reading: which reading of eqs. 13-15, see :func:`~lightning_gammabo.bayesopt.precision.thesis_estimate`.
        grid_size: number of places on the unit interval.

    Raises:
        ValueError: if an option is unknown or out of its range.

    Example:
        >>> from lightning_gammabo.bayesopt import BayesOpt, LearningRateSpace
        >>> search = BayesOpt(LearningRateSpace(1e-3, 0.5), seed=0)
        >>> for _ in range(8):
        ...     trial = search.ask()
        ...     search.tell(trial, -(math.log10(trial.lr) + 1.5) ** 2)
        >>> abs(math.log10(search.suggest_best()) + 1.5) < 0.05
        True
    """

    def __init__(
        self,
        space: LearningRateSpace,
        *,
        seed: int = 0,
        surrogate: Surrogate = "student_t",
        kernel: Kernel = "matern52",
        acquisition: Acquisition = "log_ei",
        xi: float = 0.0,
        n_initial: int = 2,
        stop_below: float | None = None,
        deterministic: bool = True,
        hyperparameters: Literal["average", "maximise"] = "average",
        precision_prior: tuple[float, float] | None = None,
        thesis_reading: ThesisReading = "L2",
        grid_size: int = 512,
    ) -> None:
        super().__init__(space, seed=seed)
        _one_of("surrogate", surrogate, ("student_t", "gaussian"))
        _one_of("kernel", kernel, ("matern52", "rbf"))
        _one_of("acquisition", acquisition, ("log_ei", "ei", "pi", "thesis"))
        _one_of("hyperparameters", hyperparameters, ("average", "maximise"))
        _one_of("thesis_reading", thesis_reading, ("L1", "L2", "L3"))
        _at_least("n_initial", n_initial, 0)
        _at_least("grid_size", grid_size, 8)
        _at_least("xi", xi, 0.0)
        _at_least("stop_below", 0.0 if stop_below is None else stop_below, 0.0)
        prior = precision_prior or (_THESIS_PRIOR if acquisition == "thesis" else _PRIOR)
        if len(prior) != 2 or not all(0.0 < p < math.inf for p in prior) or 2.0 * prior[0] <= 1.0:
            raise ValueError(f"precision_prior={prior!r}: need a concentration > 1/2 and a rate > 0, both finite")
        self.surrogate, self.kernel, self.acquisition = surrogate, kernel, acquisition
        self.xi, self.n_initial, self.stop_below, self.deterministic = xi, n_initial, stop_below, deterministic
        self.hyperparameters, self.precision_prior, self.thesis_reading = (
            hyperparameters,
            precision_prior,
            thesis_reading,
        )
        self.grid_size = grid_size
        self._prior = (float(prior[0]), float(prior[1]))
        self._hyper = HyperGrid(kernel=kernel, maximise=hyperparameters == "maximise")
        self._places = np.linspace(0.0, 1.0, grid_size)
        self._warm: WarmRegion | None = None
        self._belief: _Belief | None = None

    # ------------------------------------------------------------------ what is known

    def _changed(self) -> None:
        self._belief = None

    def _scores(self) -> tuple[Array, Array]:
        # places and scores of the finite trials that have a place; at most ``_MAX_POINTS``
        finite = [
            (self.space.to_unit(t.trial.lr), t.score) for t in self._told if t.score is not None and self._placed(t)
        ]
        if len(finite) > _MAX_POINTS:
            by_score = sorted(range(len(finite)), key=lambda i: finite[i][1], reverse=True)
            newest = range(len(finite) - _MAX_POINTS // 2, len(finite))
            better = [i for i in by_score if i not in newest][: _MAX_POINTS // 2]
            finite = [finite[i] for i in sorted({*better, *newest})]
        pairs = np.asarray(finite, dtype=np.float64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def _placed(self, told: Any) -> bool:
        return self.space.has_place(told.trial.lr)

    def _places_of(self, rates: Iterable[float]) -> Array:
        return np.asarray([self.space.to_unit(lr) for lr in rates if self.space.has_place(lr)], dtype=np.float64)

    def _bounds(self) -> Bounds:
        return Bounds(
            finite=self._places_of(t.trial.lr for t in self._told if t.score is not None),
            diverged=self._places_of(t.trial.lr for t in self._told if t.score is None),
        )

    def _tried(self) -> Array:
        rates = [t.trial.lr for t in self._told] + [t.lr for t in self._pending.values()]
        return self._places_of(rates)

    def _believe(self) -> _Belief | None:
        # the surrogate; None while no finite score with a place is known
        if self._belief is None:
            x, raw = self._scores()
            if x.size:
                self._belief = self._condition(x, raw)
        return self._belief

    def _condition(self, x: Array, raw: Array) -> _Belief:
        y, centre, unit = standardise(raw)
        a, b = (math.inf, math.inf) if self.surrogate == "gaussian" else self._prior
        fitted = fit(x, y, self._hyper, a, b)
        best = float(y.max()) if self.deterministic else float(predict(fitted, x).mean.max())
        pending = self._places_of(t.lr for t in self._pending.values())[-_MAX_POINTS:]
        if pending.size:  # Kriging believer: a pending trial is believed to score its mean
            believed = predict(fitted, pending).mean
            fitted = fit(np.concatenate([x, pending]), np.concatenate([y, believed]), self._hyper, a, b)
        return _Belief(x, y, centre, unit, fitted, best)

    # ------------------------------------------------------------------ what is proposed

    def _propose(self, number: int) -> tuple[float, str]:
        belief = self._believe()
        starting = self._count < self.n_initial
        if starting:
            warm = self._warm_start_rate()
            if warm is not None:
                return warm, "initial"
        if starting or belief is None:
            return self.space.from_unit(self._space_filling(number)), "initial"
        allowed = self._allowed()
        places = self._places[allowed] if allowed.any() else np.asarray([self._space_filling(number)])
        value = self._criterion(belief, places)
        ties = np.flatnonzero(value >= value.max() - _TIE)
        return self.space.from_unit(float(places[self._rng(number).choice(ties)])), "acquisition"

    def _warm_start_rate(self) -> float | None:
        if self._warm is None:
            return None
        tried, step = self._tried(), 1.0 / self.grid_size
        allowed = self._bounds()
        for lr in self._warm.starts():
            place = np.clip([self.space.to_unit(lr)], 0.0, 1.0)
            if away_from(place, tried, step).all() and allowed.allows(place).all():
                return self.space.from_unit(float(place[0]))
        return None

    def _space_filling(self, number: int) -> float:
        # a random free one of ``n_initial`` cells; else the place farthest from all that was tried
        rng, bounds, tried = self._rng(number), self._bounds(), self._tried()
        cells = np.arange(max(self.n_initial, 1))
        taken = np.floor(tried * cells.size)
        free = cells[~np.isin(cells, taken)]
        if self._count < self.n_initial and free.size:
            place = (rng.choice(free) + rng.uniform(0.25, 0.75)) / cells.size
            if bounds.allows(np.asarray([place])).all():
                return float(place)
        if math.isfinite(bounds.wall) and not bounds.finite.size:
            half = np.asarray([0.5 * max(bounds.wall, 0.0)])
            if half[0] == 0.0 or away_from(half, tried, 1.0 / self.grid_size).all():
                return float(half[0])
        allowed = bounds.allows(self._places)
        places = self._places[allowed] if allowed.any() else self._places
        distance = np.abs(places[:, None] - tried[None, :]).min(axis=1) if tried.size else np.ones(places.size)
        return float(places[rng.choice(np.flatnonzero(distance >= distance.max() - _TIE))])

    def _allowed(self) -> npt.NDArray[np.bool_]:
        # not diverged, not a repetition, in the warm region while that leaves any
        allowed = self._bounds().allows(self._places)
        if self.deterministic:
            allowed &= away_from(self._places, self._tried(), 0.5 / (self.grid_size - 1))
        if self._warm is not None:
            low, high = self._warm.edges(self._best_rate(), [t.trial.lr for t in self._told if t.score is None])
            rates = np.asarray([self.space.from_unit(u) for u in self._places])
            inside = allowed & (rates >= low) & (rates <= high)
            allowed = inside if inside.any() else allowed
        return np.asarray(allowed)

    def _criterion(self, belief: _Belief, places: Array) -> Array:
        # the acquisition, greater is better: log EI in standardised scores, or the probability
        return self._acquire(belief, places, predict(belief.fitted, places))

    def _acquire(self, belief: _Belief, places: Array, mixture: Mixture) -> Array:
        xi = self.xi / belief.unit
        if self.acquisition == "thesis":
            a, b = self._prior
            at_y = predict(belief.fitted, belief.x).mean if self.thesis_reading == "L3" else None
            mean, variance = thesis_estimate(
                mixture.mean,
                mixture.variance,
                belief.y,
                mean_at_y=at_y,
                concentration=a,
                rate=b,
                reading=self.thesis_reading,
            )
            scale = np.sqrt(variance)
            return np.asarray(np.log(scale) + student_t.log_h((mean - belief.best - xi) / scale, math.inf))
        z = (mixture.loc - belief.best - xi) / mixture.scale
        if self.acquisition == "pi":
            return np.asarray(mixture.weights @ student_t.cdf(z, mixture.df))
        return _log_ei(mixture, z)

    # ------------------------------------------------------------------ what callers may know

    @property
    def finished(self) -> bool:
        """Whether the largest expected improvement is below ``stop_below`` of the spread; False without the rule."""
        if self.stop_below is None or self._queue or self._pending or len(self._told) < max(4, self.n_initial):
            return False
        belief = self._believe()
        if belief is None or belief.y.size < _MIN_SCORES_TO_STOP or not np.ptp(belief.y) > 0.0:
            return False
        allowed = self._allowed()
        if not allowed.any():
            return True
        mixture = predict(belief.fitted, self._places[allowed])
        largest = math.exp(_log_ei(mixture, (mixture.loc - belief.best) / mixture.scale).max())
        return bool(largest < self.stop_below * np.ptp(belief.y))

    def surrogate_at(self, lrs: npt.ArrayLike, *, observation_noise: bool = False) -> SurrogateView:
        """The surrogate's belief at some rates, in units of the score; for plots and calibration.

        Args:
            lrs: rates with a place on the scale, ``g``.
            observation_noise: whether the belief is about a new observation, not about the function.

        Returns:
            Frozen arrays: ``mean``, ``scale``, ``variance``, ``df``, ``acquisition`` and the mixture itself.

        Raises:
            RuntimeError: if no finite score was told yet.
        """
        belief = self._believe()
        if belief is None:
            raise RuntimeError("surrogate_at(): nothing is known before a finite score was told; tell one first")
        rates = np.atleast_1d(np.asarray(lrs, dtype=np.float64)).ravel()
        places = np.asarray([self.space.to_unit(float(lr)) for lr in rates])
        standard = predict(belief.fitted, places, observation_noise=observation_noise)
        value = self._criterion(belief, places)
        if self.acquisition == "log_ei" or self.acquisition != "pi":
            value = value + math.log(belief.unit)
        value = value if self.acquisition in ("log_ei", "pi") else np.exp(value)
        return mixture_in_units(rates, standard, belief.centre, belief.unit, value)

    def _best_rate(self) -> float | None:
        finite = [t for t in self._told if t.score is not None and self._placed(t)]
        return (
            max(finite, key=lambda t: t.score or 0.0 if t.score is not None else -math.inf).trial.lr if finite else None
        )

    def suggest_best(self) -> float:
        """The rate to recommend: of the best score, or of the best posterior mean among those tried if noisy.

        Returns:
            A rate that was tried.

        Raises:
            RuntimeError: if no finite score was told yet.
        """
        belief, best = self._believe(), self._best_rate()
        if belief is None or best is None:
            raise RuntimeError("suggest_best(): no finite score was told yet; tell one first")
        if self.deterministic:
            return best
        return self.space.from_unit(float(belief.x[np.argmax(predict(belief.fitted, belief.x).mean)]))

    def warm_start(self, previous: Mapping[float, float | None] | Iterable[tuple[float, float | None]]) -> None:
        """Begin where the epoch before ended: its winner and half of it first, then near it (:class:`WarmRegion`).

        Args:
            previous: rates and scores of the epoch before; scores that are None or not finite are left out.
        """
        pairs = previous.items() if isinstance(previous, Mapping) else previous
        finite = [(lr, s) for lr, s in pairs if s is not None and math.isfinite(s) and lr > 0.0]
        if finite:
            self._warm = WarmRegion(winner=float(max(finite, key=lambda pair: pair[1])[0]))

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which :meth:`load_state_dict` continues identically.

        Returns:
            Strings, numbers, None, lists and dictionaries only.
        """
        return {**super().state_dict(), "warm_winner": None if self._warm is None else self._warm.winner}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state; the search must have been made with the same arguments.

        Args:
            state_dict: what :meth:`state_dict` gave.
        """
        super().load_state_dict(state_dict)
        winner = state_dict["warm_winner"]
        self._warm = None if winner is None else WarmRegion(winner=float(winner))


def _log_ei(mixture: Mixture, z: Array) -> Array:
    # ``ln sum_k w_k s_k h(z_k)``, ``g``
    log_h = student_t.log_h(z, math.inf) if math.isinf(mixture.df) else student_t.log_h_table(mixture.df)(z)
    terms = log_h + np.log(mixture.scale * mixture.weights[:, None])
    top = terms.max(axis=0)
    return np.asarray(top + np.log(np.exp(terms - top).sum(axis=0)))


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"BayesOpt({name}={value!r}): the choices are {', '.join(map(repr, choices))}")


def _at_least(name: str, value: float, least: float) -> None:
    if not least <= value < math.inf:
        raise ValueError(f"BayesOpt({name}={value!r}): need a finite number of at least {least}")
