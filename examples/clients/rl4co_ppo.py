"""rl4co, ``lightning.pytorch``: PPO on travelling salesmen, by hand, loaders made anew each epoch, no loss validated.

``pip install rl4co`` (0.7). Callbacks are those of rl4co's own Trainer. The tours are drawn. The validation logs a
reward and no loss, so without a word from the user the search ranks by the training loss; who wants the reward says
``objective="val/reward"``. PPO steps its ``MultiStepLR`` itself.
"""

from __future__ import annotations

from typing import Any

from client_check import EPOCHS, check
from rl4co.envs import TSPEnv
from rl4co.models import PPO, AttentionModelPolicy
from rl4co.utils import RL4COTrainer


def train(callbacks: list[Any]) -> Any:
    env = TSPEnv(generator_params={"num_loc": 6})
    policy = AttentionModelPolicy(env_name=env.name, embed_dim=16, num_encoder_layers=1, num_heads=2)
    model = PPO(
        env,
        policy,
        critic_kwargs={"embed_dim": 16, "hidden_dim": 16},
        batch_size=16,
        train_data_size=128,
        val_data_size=32,
        test_data_size=16,
        optimizer_kwargs={"lr": 1e-4},
        lr_scheduler="MultiStepLR",
        lr_scheduler_kwargs={"milestones": [1], "gamma": 0.5},
    )
    trainer = RL4COTrainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        precision="32-true",
        gradient_clip_val=None,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model)
    return trainer


if __name__ == "__main__":
    check("rl4co", "PPO", train)
