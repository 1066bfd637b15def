"""PINA, ``lightning.pytorch``: a competitive physics-informed network, two optimizers by hand, nothing validated.

``pip install pina-mathlab`` (0.3). Callbacks are those of PINA's own ``Trainer``. The problem is PINA's Poisson
equation, its points are drawn. The solver steps the bare optimizers, past Lightning's wrappers, counts Lightning's
steps itself, and steps its LR schedulers after every batch.
"""

from __future__ import annotations

from typing import Any

import torch
from client_check import EPOCHS, check
from pina import Trainer
from pina.model import FeedForward
from pina.optim import TorchOptimizer, TorchScheduler
from pina.problem.zoo import Poisson2DSquareProblem
from pina.solver import CompetitivePhysicsInformedSolver


def train(callbacks: list[Any]) -> Any:
    problem = Poisson2DSquareProblem()
    problem.discretise_domain(200, "random")
    solver = CompetitivePhysicsInformedSolver(
        problem,
        model=FeedForward(input_dimensions=2, output_dimensions=1, inner_size=8),
        optimizer_model=TorchOptimizer(torch.optim.Adam, lr=1e-3),
        optimizer_discriminator=TorchOptimizer(torch.optim.Adam, lr=5e-4),
        scheduler_model=TorchScheduler(torch.optim.lr_scheduler.ExponentialLR, gamma=0.99),
        scheduler_discriminator=TorchScheduler(torch.optim.lr_scheduler.ExponentialLR, gamma=0.98),
    )
    trainer = Trainer(
        solver,
        batch_size=16,
        max_epochs=EPOCHS,
        accelerator="cpu",
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.train()
    return trainer


if __name__ == "__main__":
    check("pina-mathlab", "competitive physics-informed network", train)
