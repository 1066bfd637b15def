"""Bayesian optimisation of one learning rate by ask and tell, over a BoTorch model and a BoTorch acquisition.

BoTorch is imported when a model is first asked, not before: importing it takes a second or more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_gammabo.bayesopt.belief import Belief, condition, in_double, log_values, marginals_at, mean_at
from lightning_gammabo.bayesopt.bounds import away_from
from lightning_gammabo.bayesopt.places import MAX_POINTS, PlacedSearch
from lightning_gammabo.bayesopt.priors import PlacePrior, PriorModule, WarmStart, inside_log_prior
from lightning_gammabo.bayesopt.space import LearningRateSpace
from lightning_gammabo.bayesopt.surrogate import SurrogateView

if TYPE_CHECKING:
    from botorch.acquisition.acquisition import AcquisitionFunction
    from botorch.models.model import Model

    from lightning_gammabo.bayesopt.precision import ThesisReading

__all__ = ["Acquisition", "BayesOpt", "Surrogate"]

Array = npt.NDArray[np.float64]
Surrogate = Literal["student_t", "gaussian"]
Acquisition = Literal["log_ei", "ei", "pi", "thesis"]

_PRIOR = (0.6, 3.0)
"""Gamma prior of the precision on standardised scores: df = 1.2 + n, so that a variance exists from the first score on,
and wide: few scores say little of how far the best one lies above them"""
_THESIS_PRIOR = (1.0, 1.0)
_MIN_SCORES_TO_STOP = 4
_TIE = 1e-10
"""log acquisitions as near as this are equal, and chance decides"""


class BayesOpt(PlacedSearch):
    """Which learning rate next: :class:`GammaPrecisionGP` asked through an acquisition, on a grid of places.

    The surrogate is a process with a Gamma posterior of the precision: Student-t marginals, Matern-5/2, averaged over
    84 hyperparameter nodes. The unit interval is a grid, so that one call of the acquisition finds the best place.

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
            bad scores are drawn together (:class:`~lightning_gammabo.bayesopt.surrogate.Units`).
        hyperparameters: ``"average"`` over the nodes or ``"maximise"`` (the best node alone).
        precision_prior: concentration and rate of the Gamma prior for standardised scores; None for (0.6, 3), or
            (1, 1) in the thesis's acquisition.
        inside: how strongly it is believed that the optimum lies inside the range rather than at its ends: the power
            of :func:`~lightning_gammabo.bayesopt.priors.inside_log_prior`. 0 for none, as for a narrow region about
            a rate in use; the thesis's acquisition has none.
        prior: where the optimum is believed to lie, in place of ``inside``; None for ``inside``.
        thesis_reading: which reading of eqs. 13-15, see
            :class:`~lightning_gammabo.bayesopt.LogThesisExpectedImprovement`.
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

    _fantasies = 32
    """draws of what pending trials may score"""

    def __init__(
        self,
        space: LearningRateSpace,
        *,
        seed: int = 0,
        surrogate: Surrogate = "student_t",
        kernel: Literal["matern52", "rbf"] = "matern52",
        acquisition: Acquisition = "log_ei",
        xi: float = 0.0,
        n_initial: int = 2,
        stop_below: float | None = None,
        deterministic: bool = True,
        hyperparameters: Literal["average", "maximise"] = "average",
        precision_prior: tuple[float, float] | None = None,
        inside: float = 2.0,
        prior: PlacePrior | None = None,
        thesis_reading: ThesisReading = "L2",
        grid_size: int = 512,
    ) -> None:
        super().__init__(space, seed=seed, n_initial=n_initial, deterministic=deterministic, grid_size=grid_size)
        self._one_of("surrogate", surrogate, ("student_t", "gaussian"))
        self._one_of("kernel", kernel, ("matern52", "rbf"))
        self._one_of("acquisition", acquisition, ("log_ei", "ei", "pi", "thesis"))
        self._one_of("hyperparameters", hyperparameters, ("average", "maximise"))
        self._one_of("thesis_reading", thesis_reading, ("L1", "L2", "L3"))
        self._at_least("xi", xi, 0.0)
        self._at_least("inside", inside, 0.0)
        self._at_least("stop_below", 0.0 if stop_below is None else stop_below, 0.0)
        of_precision = precision_prior or (_THESIS_PRIOR if acquisition == "thesis" else _PRIOR)
        if len(of_precision) != 2 or not all(0.0 < p < math.inf for p in of_precision) or of_precision[0] <= 0.5:
            raise ValueError(f"precision_prior={precision_prior!r}: need a concentration > 1/2 and a rate > 0, finite")
        if not isinstance(prior, PlacePrior | None):
            raise ValueError(f"prior={prior!r}: give PlacePrior(centre, scale, df), or None")
        self.surrogate, self.kernel, self.acquisition = surrogate, kernel, acquisition
        self.xi, self.stop_below = xi, stop_below
        self.hyperparameters, self.thesis_reading = hyperparameters, thesis_reading
        self.inside, self.prior, self.precision_prior = inside, prior, precision_prior
        self._gamma_prior = (float(of_precision[0]), float(of_precision[1]))
        self._begin_from(None)

    # ------------------------------------------------------------------ the model and its acquisition

    def _arithmetic(self) -> AbstractContextManager[None]:
        return in_double()

    def _make_model(self, x: Tensor, y: Tensor) -> Model:
        # a fitted model of places n x 1 and standardised scores n x 1
        from lightning_gammabo.bayesopt.hyperparameters import ROUGH, HyperGrid, averaged_nodes
        from lightning_gammabo.bayesopt.model import GammaPrecisionGP

        return GammaPrecisionGP(
            x,
            y,
            kernel=self.kernel,
            hyperparameters=averaged_nodes(ROUGH if self._warm else HyperGrid(), torch.ones(1, dtype=torch.float64)),
            precision_prior=(math.inf, math.inf) if self.surrogate == "gaussian" else self._gamma_prior,
            prune=1.0 if self.hyperparameters == "maximise" else 1e-3,
            outcome_transform=None,
        )

    def _make_acquisition(self, belief: Belief) -> AcquisitionFunction:
        from lightning_gammabo.bayesopt import acquisition

        model, best, xi = belief.ahead, belief.best, self.xi / belief.units.unit
        if self.acquisition == "pi":
            return acquisition.LogStudentTProbabilityOfImprovement(model, best, xi=xi)
        if self.acquisition != "thesis":
            return acquisition.LogStudentTExpectedImprovement(model, best, xi=xi)
        (a, b), reading = self._gamma_prior, self.thesis_reading
        return acquisition.LogThesisExpectedImprovement(
            model, best, belief.x, belief.y, xi=xi, concentration=a, rate=b, reading=reading
        )

    def _make_log_ei(self, belief: Belief) -> AcquisitionFunction:
        from lightning_gammabo.bayesopt.acquisition import LogStudentTExpectedImprovement

        return LogStudentTExpectedImprovement(belief.ahead, belief.best)

    def _prior_of_place(self, belief: Belief) -> tuple[Callable[[Tensor], Tensor], float] | None:
        # log prior and power: the warm start's while the scores bear it out, else the given one, else the inside
        place, power = self.prior, 1.0
        if self._warm is not None and not self._warm.misleads(belief.top):
            place, power = self._warm.prior, self._warm.strength
        if place is not None:
            return (lambda places: place.log_density(self.space.log10_rates(places))), power
        if not self.inside or self.acquisition == "thesis":
            return None
        best, tried = float(belief.x[belief.y.argmax()]), torch.as_tensor(self._tried())
        return (lambda places: inside_log_prior(places, best, tried)), self.inside

    def _acquisition_function(self, belief: Belief) -> AcquisitionFunction:
        # what ask() maximises
        from botorch.acquisition.prior_guided import PriorGuidedAcquisitionFunction

        function, log = _averaged(self._make_acquisition(belief), belief, log=self._in_logs), self._in_logs
        prior = self._prior_of_place(belief)
        if prior is None:
            return function
        log_prior, power = prior
        return PriorGuidedAcquisitionFunction(function, PriorModule(log_prior, log=log), log=log, prior_exponent=power)

    # ------------------------------------------------------------------ what is known

    def _begin_from(self, warm: WarmStart | None) -> None:
        self._warm = warm
        self._changed()

    def _changed(self) -> None:
        self._belief: Belief | None = None

    @property
    def _in_logs(self) -> bool:
        # whether the acquisition's values are logs
        return True

    @property
    def _drawn_at(self) -> float:
        # a cliff must not set the scale; under noise a score is low by chance, and only disasters are drawn up
        return math.inf if self.acquisition == "thesis" else 0.5 if self.deterministic else 10.0

    def _believe(self) -> Belief | None:
        # the surrogate; None while no finite score with a place is known
        if self._belief is None:
            rates, scores = self._scored()
            if rates.size:
                with self._arithmetic():
                    self._belief = condition(
                        self._make_model,
                        self._places_of(rates),
                        scores,
                        self._pending_places()[-MAX_POINTS:],
                        drawn_at=self._drawn_at,
                        deterministic=self.deterministic,
                        fantasies=self._fantasies,
                        seed=self._seed_of(1),
                    )
        return self._belief

    # ------------------------------------------------------------------ what is proposed

    def _propose(self, number: int) -> tuple[float, str]:
        starting = self._count < self.n_initial
        belief = None if starting else self._believe()
        if belief is None:
            warm = self._warm_start_rate() if starting else None
            return (self._space_filling(number) if warm is None else warm), "initial"
        places = self._places[self._allowed()]
        if not places.size:
            return self._space_filling(number), "acquisition"
        with self._arithmetic():
            value = log_values(self._acquisition_function(belief), places, log=self._in_logs)
        ties = np.flatnonzero(value >= value.max() - _TIE)
        return self.space.from_unit(float(places[self._rng(number).choice(ties)])), "acquisition"

    def _seed_of(self, use: int) -> int:
        return int(np.random.SeedSequence((self.seed, self._count, use)).generate_state(1)[0])

    def _warm_start_rate(self) -> float | None:
        # the first of the warm start's rates that was not tried and is not forbidden
        for lr in () if self._warm is None else self._warm.starts():
            place = np.clip([self.space.to_unit(lr)], 0.0, 1.0)
            if away_from(place, self._tried(), 1.0 / self.grid_size).all() and self._bounds().allows(place).all():
                return self.space.from_unit(float(place[0]))
        return None

    # ------------------------------------------------------------------ what callers may know

    @property
    def finished(self) -> bool:
        """Whether the largest expected improvement is below ``stop_below`` of the spread; False without the rule."""
        if self.stop_below is None or self._queue or self._pending or self._count < self.n_initial:
            return False
        belief = self._believe()
        if belief is None or len(belief.y) < _MIN_SCORES_TO_STOP or not belief.spread > 0.0:
            return False
        return bool(self._largest_ei(belief) < self.stop_below * belief.spread)

    def _largest_ei(self, belief: Belief) -> float:
        places = self._places[self._allowed()]
        if not places.size:
            return 0.0
        with self._arithmetic():
            function = _averaged(self._make_log_ei(belief), belief, log=True)
            return math.exp(log_values(function, places, log=True).max())

    def expected_gain(self) -> float | None:
        """By how much the next trial is expected to improve on the best score: whether another one pays.

        Returns:
            The largest expected improvement among the places that may be proposed, in units of the score, without
            margin and priors of the place; after fantasies of what is pending. 0.0 where no place is left, None before
            a finite score was told.
        """
        belief = self._believe()
        return None if belief is None else self._largest_ei(belief) * belief.units.unit

    def surrogate_at(self, lrs: npt.ArrayLike, *, observation_noise: bool = False) -> SurrogateView:
        """The surrogate's belief at some rates, in units of the score; for plots and calibration.

        Args:
            lrs: rates with a place on the scale, ``g``.
            observation_noise: whether the belief is about a new observation, not about the function.

        Returns:
            Frozen arrays. ``acquisition`` is what ``ask()`` maximises, the priors of the optimum's place included.

        Raises:
            RuntimeError: if no finite score was told yet.
        """
        belief = self._believe()
        if belief is None:
            raise RuntimeError("surrogate_at(): nothing is known before a finite score was told; tell one first")
        rates = np.atleast_1d(np.asarray(lrs, dtype=np.float64)).ravel()
        places = np.asarray([self.space.to_unit(float(lr)) for lr in rates])
        with self._arithmetic():
            posterior = marginals_at(belief.model, places, observation_noise=observation_noise)
            value = log_values(self._acquisition_function(belief), places, log=self._in_logs)
            if self.acquisition != "pi":
                value = value + math.log(belief.units.unit)
            value = value if self.acquisition == "log_ei" else np.exp(value)
            return SurrogateView.of(rates, posterior, belief.units, value)

    def suggest_best(self) -> float:
        """The rate to recommend: of the best score, or of the best posterior mean among those tried if noisy.

        Returns:
            A rate that was tried.

        Raises:
            RuntimeError: if no finite score was told yet.
        """
        rates, worth = self._scored()
        if not rates.size:
            raise RuntimeError("suggest_best(): no finite score was told yet; tell one first")
        if not self.deterministic:
            belief = self._believe()
            assert belief is not None  # there is a score
            with self._arithmetic():
                worth = mean_at(belief.model, belief.x).numpy()
        return float(rates[np.argmax(worth)])

    def warm_start(
        self, previous: Mapping[float, float | None] | Iterable[tuple[float, float | None]], *, strength: float = 1.0
    ) -> None:
        """Begin where the epoch before ended: its winner and half of it first, then a prior near it, a rougher process.

        See :class:`~lightning_gammabo.bayesopt.priors.WarmStart` for what is carried over and when it is forgotten.

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
        self._begin_from(WarmStart.of(pairs, float(strength)) or self._warm)

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
        self._begin_from(None if warm is None else WarmStart(*map(float, warm)))


def _averaged(function: AcquisitionFunction, belief: Belief, *, log: bool) -> AcquisitionFunction:
    from lightning_gammabo.bayesopt.acquisition import FantasyAverage

    return FantasyAverage(function, log) if belief.fantasies else function
