"""Bayesian optimisation of one learning rate by ask and tell: exact Student-t process on a grid, in milliseconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lightning_gammabo.bayesopt._asktell import AskTell
from lightning_gammabo.bayesopt._batch import fantasies
from lightning_gammabo.bayesopt._beliefs import WarmPrior, inside_log_prior
from lightning_gammabo.bayesopt._bounds import Bounds, away_from, space_filling
from lightning_gammabo.bayesopt._criterion import gaussian_log_ei, log_ei, log_pi
from lightning_gammabo.bayesopt._process import ROUGH, Fit, HyperGrid, Kernel, Mixture, fit, predict
from lightning_gammabo.bayesopt._view import SurrogateView, Units, newest_and_best
from lightning_gammabo.bayesopt.precision import ThesisReading, thesis_estimate
from lightning_gammabo.bayesopt.space import LearningRateSpace

__all__ = ["Acquisition", "BayesOpt", "Surrogate"]

Array = npt.NDArray[np.float64]
Surrogate = Literal["student_t", "gaussian"]
Acquisition = Literal["log_ei", "ei", "pi", "thesis"]

_PRIOR = (0.6, 3.0)
"""Gamma prior of the precision on standardised scores: df = 1.2 + n, so that a variance exists from the first score on,
and wide: few scores say little of how far the best one lies above them"""
_THESIS_PRIOR = (1.0, 1.0)
_MAX_POINTS = 256
"""the surrogate sees the better half and the newer half of so many scores, lest ask() grow without bound"""
_MIN_SCORES_TO_STOP = 4
_BESIDE = 0.02
"""trials that run side by side are at least so far apart on the unit interval"""
_DRAWS = 32
"""of what pending trials may score, for qEI"""
_TIE = 1e-10
"""log acquisitions as near as this are equal, and chance decides"""


@dataclass(frozen=True)
class _Belief:
    """The surrogate after the tells so far, in standardised scores."""

    rates: Array
    x: Array
    y: Array
    units: Units
    fitted: Fit
    best: float
    spread: float
    top: float
    futures: tuple[tuple[Fit, float], ...] = ()
    """with pending trials and qEI: surrogate and incumbent for each draw of what they may score"""


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
            is the incumbent; if not, the incumbent is the best posterior mean among the rates tried. In the first case
            bad scores are drawn together (:class:`~lightning_gammabo.bayesopt._view.Units`).
        hyperparameters: ``"average"`` over the nodes or ``"maximise"`` (the best node alone).
        precision_prior: concentration and rate of the Gamma prior for standardised scores; None for (0.6, 3), or
            (1, 1) in the thesis's acquisition.
        inside: how strongly it is believed that the optimum lies inside the range rather than at its ends: the power
            of :func:`~lightning_gammabo.bayesopt._beliefs.inside_log_prior`. 0 for none, as for a narrow region about
            a rate in use; the thesis's acquisition has none.
        batch: how trials that run side by side are chosen: ``"qei"`` (greedy qEI over 32 draws of what the pending ones
            may score; some 50 ms a trial), ``"believer"`` (they score their mean); None for qEI where it can be.
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
        inside: float = 2.0,
        batch: Literal["believer", "qei"] | None = None,
        thesis_reading: ThesisReading = "L2",
        grid_size: int = 512,
    ) -> None:
        super().__init__(space, seed=seed)
        _one_of("surrogate", surrogate, ("student_t", "gaussian"))
        _one_of("kernel", kernel, ("matern52", "rbf"))
        _one_of("acquisition", acquisition, ("log_ei", "ei", "pi", "thesis"))
        _one_of("hyperparameters", hyperparameters, ("average", "maximise"))
        batches = ("believer", "qei") if acquisition in ("ei", "log_ei") else ("believer",)
        self._batch = batches[-1] if batch is None else batch
        _one_of("batch", self._batch, batches)
        _one_of("thesis_reading", thesis_reading, ("L1", "L2", "L3"))
        _at_least("n_initial", n_initial, 0)
        _at_least("grid_size", grid_size, 8)
        _at_least("xi", xi, 0.0)
        _at_least("inside", inside, 0.0)
        _at_least("stop_below", 0.0 if stop_below is None else stop_below, 0.0)
        prior = precision_prior or (_THESIS_PRIOR if acquisition == "thesis" else _PRIOR)
        if len(prior) != 2 or not all(0.0 < p < math.inf for p in prior) or 2.0 * prior[0] <= 1.0:
            raise ValueError(f"precision_prior={prior!r}: need a concentration > 1/2 and a rate > 0, both finite")
        self.surrogate, self.kernel, self.acquisition = surrogate, kernel, acquisition
        self.xi, self.n_initial, self.stop_below, self.deterministic = xi, n_initial, stop_below, deterministic
        self.hyperparameters, self.thesis_reading = hyperparameters, thesis_reading
        self.inside, self.batch, self.grid_size, self.precision_prior = inside, batch, grid_size, precision_prior
        self._prior = (float(prior[0]), float(prior[1]))
        # a cliff must not set the scale; under noise a score is low by chance, and only disasters are drawn up
        self._drawn_at = math.inf if acquisition == "thesis" else 0.5 if deterministic else 10.0
        self._places = np.linspace(0.0, 1.0, grid_size)
        self._begin_from(None)

    # ------------------------------------------------------------------ what is known

    def _begin_from(self, warm: WarmPrior | None) -> None:
        self._warm = warm
        maximise = self.hyperparameters == "maximise"
        self._hyper = replace(ROUGH if warm else HyperGrid(), kernel=self.kernel, maximise=maximise)
        self._changed()

    def _changed(self) -> None:
        self._belief: _Belief | None = None

    def _places_of(self, rates: Iterable[float]) -> Array:
        return np.asarray([self.space.to_unit(lr) for lr in rates if self.space.has_place(lr)], dtype=np.float64)

    def _bounds(self) -> Bounds:
        return Bounds(
            finite=self._places_of(t.trial.lr for t in self._told if t.score is not None),
            diverged=self._places_of(t.trial.lr for t in self._told if t.score is None),
        )

    def _tried(self) -> Array:
        return self._places_of([*(t.trial.lr for t in self._told), *(t.lr for t in self._pending.values())])

    def _scored(self) -> tuple[Array, Array]:
        # rates and scores of the finite trials that have a place, at most _MAX_POINTS
        scored = [(t.trial.lr, t.score) for t in self._told if t.score is not None and self.space.has_place(t.trial.lr)]
        pairs = np.asarray(scored, dtype=np.float64).reshape(-1, 2)
        pairs = newest_and_best(pairs, _MAX_POINTS)
        return pairs[:, 0], pairs[:, 1]

    def _believe(self) -> _Belief | None:
        # the surrogate; None while no finite score with a place is known
        if self._belief is None:
            rates, raw = self._scored()
            if rates.size:
                self._belief = self._condition(rates, raw)
        return self._belief

    def _condition(self, rates: Array, raw: Array) -> _Belief:
        x = self._places_of(rates)
        units = Units.of(raw, self._drawn_at)
        y = units.standard(raw)
        fitted = self._fit(x, y)
        best, futures = self._incumbent(fitted, y), []
        pending = self._places_of(t.lr for t in self._pending.values())[-_MAX_POINTS:]
        if pending.size and self._batch == "qei":
            rng = np.random.default_rng((self.seed, self._count, 1))
            draws = fantasies(rng, fitted, self._fit, y, pending, _DRAWS)
            futures = [(after, self._incumbent(after, np.append(y, scores))) for after, scores in draws]
        elif pending.size:  # Kriging believer: a pending trial is believed to score its mean
            believed = np.append(y, predict(fitted, pending).mean)
            fitted = self._fit(np.append(x, pending), believed)
            best = max(best, float(believed[y.size :].max()))
        spread = (0.5 * raw.max() - 0.5 * raw.min()) / (0.5 * units.unit)
        return _Belief(rates, x, y, units, fitted, best, float(spread), float(raw.max()), tuple(futures))

    def _fit(self, x: Array, y: Array) -> Fit:
        a, b = (math.inf, math.inf) if self.surrogate == "gaussian" else self._prior
        return fit(x, y, self._hyper, a, b)

    def _incumbent(self, fitted: Fit, y: Array) -> float:
        return float(y.max() if self.deterministic else predict(fitted, fitted.x).mean.max())

    # ------------------------------------------------------------------ what is proposed

    def _propose(self, number: int) -> tuple[float, str]:
        starting = self._count < self.n_initial
        belief = None if starting else self._believe()
        if belief is None:
            warm = self._warm_start_rate() if starting else None
            return (self._space_filling(number) if warm is None else warm), "initial"
        allowed = self._allowed()
        if not allowed.any():
            return self._space_filling(number), "acquisition"
        places = self._places[allowed]
        value = self._log_value(belief, places)
        ties = np.flatnonzero(value >= value.max() - _TIE)
        return self.space.from_unit(float(places[self._rng(number).choice(ties)])), "acquisition"

    def _warm_start_rate(self) -> float | None:
        # the first of the warm prior's rates that was not tried and is not forbidden
        for lr in () if self._warm is None else self._warm.starts():
            place = np.clip([self.space.to_unit(lr)], 0.0, 1.0)
            if away_from(place, self._tried(), 1.0 / self.grid_size).all() and self._bounds().allows(place).all():
                return self.space.from_unit(float(place[0]))
        return None

    def _space_filling(self, number: int) -> float:
        cells = self.n_initial if self._count < self.n_initial else 0
        place = space_filling(self._rng(number), self._bounds(), self._tried(), cells, self._places)
        return self.space.from_unit(place)

    def _allowed(self) -> npt.NDArray[np.bool_]:
        # neither where rates diverged nor beside a pending trial nor, if scores repeat, where one was tried
        allowed = self._bounds().allows(self._places)
        allowed &= away_from(self._places, self._places_of(t.lr for t in self._pending.values()), _BESIDE)
        if self.deterministic:
            allowed &= away_from(self._places, self._tried(), 0.5 / (self.grid_size - 1))
        return allowed

    def _log_value(self, belief: _Belief, places: Array) -> Array:
        # what ask() maximises: the log acquisition in standardised scores and the priors of the optimum's place
        beliefs = [replace(belief, fitted=fitted, best=best) for fitted, best in belief.futures] or [belief]
        values = [self._log_acquisition(future, predict(future.fitted, places)) for future in beliefs]
        value = values[0] if len(values) == 1 else np.logaddexp.reduce(values) - math.log(len(values))
        return value + self._log_beliefs(belief, places)

    def _log_acquisition(self, belief: _Belief, mixture: Mixture) -> Array:
        best = belief.best + self.xi / belief.units.unit
        if self.acquisition == "pi":
            return log_pi(mixture, best)
        if self.acquisition != "thesis":
            return log_ei(mixture, best)
        at_y = predict(belief.fitted, belief.x).mean if self.thesis_reading == "L3" else None
        (a, b), reading = self._prior, self.thesis_reading
        mean, variance = thesis_estimate(
            mixture.mean, mixture.variance, belief.y, mean_at_y=at_y, concentration=a, rate=b, reading=reading
        )
        return gaussian_log_ei(mean, variance, best)

    def _log_beliefs(self, belief: _Belief, places: Array) -> Array:
        # the warm start's while the scores bear it out, else that the optimum lies inside the range
        if self._warm is not None and not self._warm.misleads(belief.top):
            return self._warm.log_prior(np.asarray([self.space.from_unit(u) for u in places]))
        if not self.inside or self.acquisition == "thesis":
            return np.zeros(places.shape)
        return self.inside * inside_log_prior(places, float(belief.x[belief.y.argmax()]), self._tried())

    # ------------------------------------------------------------------ what callers may know

    @property
    def finished(self) -> bool:
        """Whether the largest expected improvement is below ``stop_below`` of the spread; False without the rule."""
        if self.stop_below is None or self._queue or self._pending or self._count < self.n_initial:
            return False
        belief = self._believe()
        if belief is None or belief.y.size < _MIN_SCORES_TO_STOP or not belief.spread > 0.0:
            return False
        allowed = self._allowed()
        if not allowed.any():
            return True
        largest = math.exp(log_ei(predict(belief.fitted, self._places[allowed]), belief.best).max())
        return bool(largest < self.stop_below * belief.spread)

    def surrogate_at(self, lrs: npt.ArrayLike, *, observation_noise: bool = False) -> SurrogateView:
        """The surrogate's belief at some rates, in units of the score; for plots and calibration.

        Args:
            lrs: rates with a place on the scale, ``g``.
            observation_noise: whether the belief is about a new observation, not about the function.

        Returns:
            Frozen arrays. ``acquisition`` is what ``ask()`` maximises, the beliefs of the optimum's place included.

        Raises:
            RuntimeError: if no finite score was told yet.
        """
        belief = self._believe()
        if belief is None:
            raise RuntimeError("surrogate_at(): nothing is known before a finite score was told; tell one first")
        rates = np.atleast_1d(np.asarray(lrs, dtype=np.float64)).ravel()
        places = np.asarray([self.space.to_unit(float(lr)) for lr in rates])
        standard = predict(belief.fitted, places, observation_noise=observation_noise)
        value = self._log_value(belief, places)
        if self.acquisition != "pi":
            value = value + math.log(belief.units.unit)
        value = value if self.acquisition == "log_ei" else np.exp(value)
        return SurrogateView.of(rates, standard, belief.units, value)

    def suggest_best(self) -> float:
        """The rate to recommend: of the best score, or of the best posterior mean among those tried if noisy.

        Returns:
            A rate that was tried.

        Raises:
            RuntimeError: if no finite score was told yet.
        """
        belief = self._believe()
        if belief is None:
            raise RuntimeError("suggest_best(): no finite score was told yet; tell one first")
        worth = belief.y if self.deterministic else predict(belief.fitted, belief.x).mean
        return float(belief.rates[np.argmax(worth)])

    def warm_start(
        self, previous: Mapping[float, float | None] | Iterable[tuple[float, float | None]], *, strength: float = 1.0
    ) -> None:
        """Begin where the epoch before ended: its winner and half of it first, then a prior near it, a rougher process.

        See :class:`~lightning_gammabo.bayesopt._beliefs.WarmPrior` for what is carried over and when it is forgotten.

        Args:
            previous: rates and scores of the epoch before, of the same kind as those of this one; those without a
                finite score are left out, and with none left the search stays cold.
            strength: power of the prior; 0 for none.

        Raises:
            ValueError: if ``strength`` is negative or not finite.
        """
        if not 0.0 <= strength < math.inf:
            raise ValueError(f"warm_start(strength={strength!r}): need a finite number of at least 0")
        pairs = previous.items() if isinstance(previous, Mapping) else previous
        self._begin_from(WarmPrior.of(pairs, float(strength)) or self._warm)

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which :meth:`load_state_dict` continues identically.

        Returns:
            Strings, numbers, None, lists and dictionaries only.
        """
        warm = None if self._warm is None else [self._warm.winner, self._warm.reached, self._warm.strength]
        return {**super().state_dict(), "warm": warm}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state; the search must have been made with the same arguments.

        Args:
            state_dict: what :meth:`state_dict` gave.
        """
        super().load_state_dict(state_dict)
        warm = state_dict["warm"]
        self._begin_from(None if warm is None else WarmPrior(*map(float, warm)))


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"BayesOpt({name}={value!r}): the choices are {', '.join(map(repr, choices))}")


def _at_least(name: str, value: float, least: float) -> None:
    if not least <= value < math.inf:
        raise ValueError(f"BayesOpt({name}={value!r}): need a finite number of at least {least}")
