"""Tune something that is no learning rate, with the package's model and BoTorch's own optimiser.

A controller is to bring a tank to its set point: it adds heat in proportion to the error (gain ``K``) and to the error
summed up so far (gain ``I``), and what it does is felt half a second later. Too little gain is slow, too much swings.
Which pair of gains is best? Each answer costs a simulation; sixteen are allowed, of which five are spread out.

    python examples/tune_2d.py            # a few seconds
    python examples/tune_2d.py --batch 2  # two simulations side by side, proposed jointly

``GammaPrecisionGP`` is a BoTorch ``Model``: it is fitted when it is made, and ``optimize_acqf`` and BoTorch's Monte
Carlo acquisitions run on it unchanged. Its posterior is Student-t, so the closed-form acquisition has to be the one
made for it; BoTorch's own ``LogExpectedImprovement`` would take the Gaussian's formula.
"""

from __future__ import annotations

import argparse

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.logei import qLogExpectedImprovement
from botorch.optim.optimize import optimize_acqf
from torch import Tensor
from torch.quasirandom import SobolEngine

from lightning_gammabo.bayesopt import GammaPrecisionGP, LogStudentTExpectedImprovement

LOW = torch.tensor([0.1, 0.01], dtype=torch.float64)
HIGH = torch.tensor([10.0, 10.0], dtype=torch.float64)
UNIT_SQUARE = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
SPREAD, BUDGET = 5, 16


def gains(place: Tensor) -> Tensor:
    """Places in the unit square, ``n x 2``, as gains ``K`` and ``I`` on logarithmic scales."""
    return LOW * (HIGH / LOW) ** place


def score(place: Tensor) -> Tensor:
    """Minus the log of the squared error over ten seconds, ``n x 1``: greater is better."""
    proportional, integral = gains(place).unbind(dim=-1)
    step, delay = 0.02, 25
    level = summed = total = torch.zeros_like(proportional)
    pipe = [torch.zeros_like(proportional)] * delay
    for _ in range(500):
        error = 1.0 - level
        summed = summed + step * error
        total = total + step * error**2
        pipe.append((proportional * error + integral * summed).clamp(-5.0, 5.0))  # the heater has its limits
        level = level + step * (pipe.pop(0) - level)
    return -total.log().unsqueeze(-1)


def propose(places: Tensor, scores: Tensor, batch: int) -> Tensor:
    """The next places to simulate, ``batch x 2``."""
    model = GammaPrecisionGP(places, scores)
    best = scores.max()
    acquisition: AcquisitionFunction = LogStudentTExpectedImprovement(model, best_f=best)
    if batch > 1:  # the joint improvement of several points has no closed form
        acquisition = qLogExpectedImprovement(model, best_f=best)
    candidates, _ = optimize_acqf(acquisition, UNIT_SQUARE, q=batch, num_restarts=4, raw_samples=64)
    return candidates.detach()


def tune(seed: int = 0, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Run the search.

    Args:
        seed: of the spread-out start and of BoTorch's optimiser.
        batch: simulations that run side by side.

    Returns:
        Places ``n x 2`` and scores ``n x 1``, in the order of simulation.
    """
    torch.manual_seed(seed)
    places = SobolEngine(2, scramble=True, seed=seed).draw(SPREAD, dtype=torch.float64)
    scores = score(places)
    while len(places) < BUDGET:
        new = propose(places, scores, min(batch, BUDGET - len(places)))
        places, scores = torch.cat([places, new]), torch.cat([scores, score(new)])
    return places, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1)
    arguments = parser.parse_args()
    places, scores = tune(arguments.seed, arguments.batch)
    print("  n      K       I    log squared error")
    for n, (pair, value) in enumerate(zip(gains(places), scores.squeeze(-1), strict=True), start=1):
        mark = "  <- best" if value == scores.max() else "  (spread out)" if n <= SPREAD else ""
        print(f"{n:3d} {pair[0]:7.3f} {pair[1]:7.3f} {-value:9.4f}{mark}")
    fine = torch.cartesian_prod(*[torch.linspace(0.0, 1.0, 101, dtype=torch.float64)] * 2)
    rank = int((score(fine) > scores.max()).sum())
    print(f"Of a grid of {len(fine)} pairs, {rank} are better than the best of these {len(places)}.")


if __name__ == "__main__":
    main()
