"""AutoLRS as published (Jin et al., ICLR 2021, arXiv 2105.10762), written again for this comparison; not its own code.

Training is cut into stages of tau steps at one constant rate each. For each stage ten rates are tried, each for
tau' = tau / 10 steps from the stage's start; an exponential ``a exp(b t) + c`` fitted to the cleaned losses of a trial
foretells its loss after tau steps, and a Gaussian process on log rates proposes the next one by the lower confidence
bound. The stage is then trained with the rate of the least forecast. tau doubles up to a largest value; at the largest
the validation loss is foretold, before that the training loss. As in its code: the bound is pure exploration
(kappa = 1e6), a trial that diverges is told as a loss of 1e6, the surrogate starts anew at each stage, no warm-up.

In its favour: a curve whose training loss jumps to twice that of the start is not extrapolated (in its code a threshold
of 10 is commented out; without one, falling from a spike foretells the best of losses, and most runs here were lost).

What had to be scaled down, since its stages (1,000 to 8,000 steps) are longer than our runs: tau starts at a tenth of
the run and its largest value is 4 times that; validation is measured 8 times in a trial, on the samples of 5 batches.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import NDArray

from benchmarks.training.fitting import Fitted, Run
from benchmarks.training.trainee import Trainee

Floats = NDArray[np.float64]

RATES = 10
KAPPA = 1e6
DIVERGED = 1e6
CURVE = 8
OUTLIERS = 0.03
JUMP = 2.0
LOOK = 5


def clean(times: Floats, losses: Floats, *, by_validation: bool) -> Floats:
    """Smooth by a quadratic spline, of a curve without what lies furthest off it in its first half."""
    from scipy.interpolate import UnivariateSpline

    half = times[(len(times) - 1) // 2]
    kept_times, kept = times, losses
    for _ in range(1 if by_validation else 10):
        off = np.abs(kept - UnivariateSpline(kept_times, kept, k=2)(kept_times))
        count = 1 if by_validation else round(OUTLIERS * len(off))
        drop = [i for i in np.argsort(off)[len(off) - count :] if kept_times[i] < half]
        kept_times, kept = np.delete(kept_times, drop), np.delete(kept, drop)
    return np.asarray(UnivariateSpline(kept_times, kept, k=2)(times))


def forecast(times: Floats, losses: Floats, at: float, *, by_validation: bool) -> float:
    """``a exp(b t) + c`` with b < 0: a and c by least squares for each b, b by the simplex method."""
    from scipy.optimize import fmin

    smooth = clean(times, losses, by_validation=by_validation)

    def solve(log_b: float) -> tuple[Floats, float]:
        columns = np.stack([np.exp(-math.exp(log_b) * times), np.ones_like(times)], axis=1)
        solution, *_ = np.linalg.lstsq(columns, smooth, rcond=None)
        return solution, float(((columns @ solution - smooth) ** 2).sum())

    log_b = float(fmin(lambda b: solve(float(b[0]))[1], 0.0, xtol=1e-5, ftol=1e-5, disp=False)[0])
    (a, c), _ = solve(log_b)
    return float(a * math.exp(-math.exp(log_b) * at) + c)


def propose(tried: list[float], told: list[float], low: float, high: float, seed: int) -> float:
    """The next log rate by the lower confidence bound of a Gaussian process (Matern-5/2, as scikit-optimize has it)."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    grid = np.linspace(math.log(low), math.log(high), 201)
    if not tried:
        return float(np.random.default_rng(seed).choice(grid))
    kernel = ConstantKernel() * Matern(nu=2.5) + WhiteKernel()
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length scale at its bound
        process.fit(np.array(tried)[:, None], np.array(told))
    mean, deviation = process.predict(grid[:, None], return_std=True)
    return float(grid[(mean - KAPPA * deviation).argmin()])


def try_rate(trainee: Trainee, lr: float, tau: int, first_loss: float, *, by_validation: bool) -> float:
    """Train tau' steps and foretell the loss after tau; a curve that jumps is not extrapolated."""
    steps = max(tau // RATES, CURVE // 2)
    every = max(steps // CURVE, 1) if by_validation else 1
    losses = []
    for step in range(1, steps + 1):
        loss = trainee.step(lr)
        if not math.isfinite(loss):
            return DIVERGED
        if step % every == 0:
            losses.append(trainee.validate(LOOK * trainee.batch)["val_loss"] if by_validation else loss)
    curve = np.array(losses)
    if not np.isfinite(curve).all():
        return DIVERGED
    if curve.max() >= (1 if by_validation else JUMP) * first_loss:
        return float(curve[-(len(curve) // 4) or None :].mean())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a spline through losses that explode
        foretold = forecast(np.arange(len(curve), dtype=float), curve, tau / every, by_validation=by_validation)
    return foretold if math.isfinite(foretold) else DIVERGED


def autolrs(run: Run) -> Fitted:
    """The whole run; each epoch's rate is that of the stage at its first step."""
    trainee, total = Trainee(run), run.plain // run.workload.batch
    first = max(total // 10, RATES)
    tau, done, schedule = first, 0, []
    low, high = run.workload.range
    first_loss = trainee.validate(LOOK * trainee.batch)["val_loss"]
    while done < total:
        stage = min(tau, total - done)
        start, tried, told = trainee.keep(), [], []
        for number in range(RATES):
            seed = 1000 * run.seed + len(schedule) + number
            tried.append(propose(tried, told, low, high, seed))
            told.append(try_rate(trainee, math.exp(tried[-1]), stage, first_loss, by_validation=tau == 4 * first))
            trainee.rewind(start)
        rate = math.exp(tried[int(np.argmin(told))])
        for _ in range(stage):
            trainee.step(rate)
        schedule += [rate] * stage
        done, tau = done + stage, min(2 * tau, 4 * first)
    return Fitted(trainee.module, trainee.validate(run.workload.val), schedule[:: total // run.epochs])
