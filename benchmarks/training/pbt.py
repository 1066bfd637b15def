"""Population based training by Ray Tune: four runs side by side, of which the worst takes over the state of the best.

Rates begin anywhere in the range that searches of ours have, and are multiplied by 1.2 or 0.8, or drawn anew, as
Ray's own defaults say. Every member's samples are counted where it trains, and added up. Ray's order of events is not
fixed by a seed, so this is the one method here that may not repeat its numbers.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from compare import quiet
from lightning.pytorch import seed_everything

from benchmarks.training.counter import SAMPLES
from benchmarks.training.fitting import Fitted, Run
from benchmarks.training.trainee import Trainee

MEMBERS = 4
PROCESSES = MEMBERS
"""All members train at the same time: with fewer processes Ray stopped for good when members waited for each other."""


def trainable() -> Any:
    """The class that Ray runs; made late, since Ray is imported only where it is asked for."""
    from ray import tune

    class Member(tune.Trainable):
        def setup(self, config: dict[str, Any], run: Run) -> None:
            torch.set_num_threads(1)
            quiet()
            self.run, self.trainee = run, Trainee(run)

        def step(self) -> dict[str, Any]:
            from benchmarks.training.counter import (
                SAMPLES,  # the process's own: this class travels as a copy of itself and its names
            )

            SAMPLES.reset()
            run = self.run
            for _ in range(run.plain // run.epochs // run.workload.batch):
                self.trainee.step(self.config["lr"])
            scores = self.trainee.validate(run.workload.val)
            finite = math.isfinite(scores["val_loss"])
            told = scores | {"told": scores["val_loss"] if finite else 1e6, "lr": self.config["lr"]}
            return told | {"trained": SAMPLES.trained, "validated": SAMPLES.validated}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            torch.save(self.trainee.keep(), Path(checkpoint_dir) / "state.pt")

        def load_checkpoint(self, checkpoint_dir: str) -> None:
            self.trainee.rewind(torch.load(Path(checkpoint_dir) / "state.pt"))

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.config = new_config
            return True

    return Member


def pbt(run: Run) -> Fitted:
    import ray
    from ray import tune
    from ray.tune.schedulers import PopulationBasedTraining

    if not ray.is_initialized():
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        where = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}}
        ray.init(
            num_cpus=PROCESSES, include_dashboard=False, log_to_driver=False, logging_level="ERROR", runtime_env=where
        )
    seed_everything(run.seed, verbose=False)  # Ray draws from the global generators
    rates = tune.loguniform(*run.workload.range)
    low, high = map(math.log, run.workload.range)
    population = PopulationBasedTraining(
        perturbation_interval=max(run.epochs // 10, 1),
        hyperparam_mutations={"lr": lambda: math.exp(np.random.uniform(low, high))},
    )
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_parameters(trainable(), run=run),
            param_space={"lr": rates},
            tune_config=tune.TuneConfig(
                metric="told", mode="min", scheduler=population, num_samples=MEMBERS, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                stop={"training_iteration": run.epochs},
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True, num_to_keep=2),
                verbose=0,
            ),
        )
        results = tuner.fit()
        best = results.get_best_result()
        trainee = Trainee(run)
        trainee.rewind(torch.load(Path(best.checkpoint.path) / "state.pt"))
    frames = [result.metrics_dataframe for result in results]
    SAMPLES.trained = sum(int(frame["trained"].sum()) for frame in frames)
    SAMPLES.validated = sum(int(frame["validated"].sum()) for frame in frames)
    scores = {name: best.metrics[name] for name in ("val_loss", "val_acc") if name in best.metrics}
    return Fitted(trainee.module, scores, list(best.metrics_dataframe["lr"]))
