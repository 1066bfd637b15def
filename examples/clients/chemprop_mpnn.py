"""chemprop, ``lightning.pytorch``: a message-passing network on molecules, validated, a Noam-like rate in each step.

``pip install chemprop`` (2.3). The user makes the Trainer, as in chemprop's notebooks. The molecules are alcohols,
ethers and chlorides that are spelled here; the target is their number of atoms, with noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from chemprop import data, models, nn
from client_check import EPOCHS, check
from lightning import pytorch as pl


def molecules() -> list[data.MoleculeDatapoint]:
    chains = [
        head + "C" * length + tail for length in range(1, 25) for head in ("C", "O", "Cl", "CO") for tail in ("", "O")
    ]
    noise = np.random.default_rng(0).standard_normal(len(chains))
    return [data.MoleculeDatapoint.from_smi(chain, [len(chain) + noise[i]]) for i, chain in enumerate(chains)]


def train(callbacks: list[Any]) -> Any:
    points = molecules()
    training = data.MoleculeDataset(points[::2])
    scaler = training.normalize_targets()
    validation = data.MoleculeDataset(points[1::4])
    validation.normalize_targets(scaler)
    transform = nn.UnscaleTransform.from_standard_scaler(scaler)
    model = models.MPNN(
        nn.BondMessagePassing(d_h=16),
        nn.MeanAggregation(),
        nn.RegressionFFN(input_dim=16, hidden_dim=16, output_transform=transform),
        batch_norm=True,
        warmup_epochs=1,
    )
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        model,
        data.build_dataloader(training, batch_size=8, num_workers=0, seed=0),
        data.build_dataloader(validation, batch_size=8, num_workers=0, shuffle=False),
    )
    return trainer


if __name__ == "__main__":
    check("chemprop", "message-passing network", train)
