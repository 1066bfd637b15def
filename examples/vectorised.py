"""What K candidates cost when they are trained together, as a multiple of one candidate's training.

Each network is trained on random images by SGD with momentum, in two loops: a plain one (forward, backward, step) and
the Trainer's, without logger, checkpoints and progress bar. In the Trainer's loop a stacked step stands where the
Trainer would train one candidate, so what the Trainer adds to each step is paid once for all. The figures are medians
over rounds, all in one process and in turn: time of a stacked step over time of a single candidate's step. Training
K candidates one after the other costs K in either loop; the last column shows what the machine's noise makes of it.

Usage: ``python examples/vectorised.py [--device cuda] [--candidates 1 2 4 8] [--steps 20] [--rounds 5]``
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_gammabo.vectorised import VectorisedTrainer, check_equal


class Classifier(LightningModule):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(*layers)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)


def mlp() -> Classifier:
    return Classifier(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def mlp_norm_dropout() -> Classifier:
    hidden = [nn.Linear(784, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 64)]
    return Classifier(nn.Flatten(), *hidden, nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))


def lenet() -> Classifier:
    convolutions = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU()]
    dense = [nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    return Classifier(*convolutions, nn.MaxPool2d(2), nn.Flatten(), *dense)


NETWORKS: dict[str, Callable[[], Classifier]] = {
    "MLP 784-128-64-10": mlp,
    "the same, BatchNorm and dropout": mlp_norm_dropout,
    "LeNet": lenet,
}
Batches = list[tuple[Tensor, Tensor]]


def batches_of(steps: int, size: int, device: str) -> Batches:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(steps, size, 1, 28, 28, generator=generator).to(device)
    labels = torch.randint(10, (steps, size), generator=generator).to(device)
    return list(zip(images, labels, strict=True))


def now(device: str) -> float:
    """Seconds; on a CPU those that this process had, so that others on the machine do not count."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def seconds(work: Callable[[], object], device: str) -> float:
    began = now(device)
    work()
    return now(device) - began


def train_alone(model: Any, optimizer: torch.optim.Optimizer, batches: Batches) -> None:
    for number, batch in enumerate(batches):
        optimizer.zero_grad()
        model.training_step(batch, number).backward()
        optimizer.step()


def train_together(trainer: VectorisedTrainer, batches: Batches) -> None:
    for number, batch in enumerate(batches):
        trainer.step(batch, number)


def stacked(model: Any, optimizer: Any, candidates: int) -> VectorisedTrainer:
    rates = [[0.01 * 2.0**-number] for number in range(candidates)]
    return VectorisedTrainer(model, [optimizer], candidates=candidates, rates=lambda _: rates)


class Epochs(Callback):
    """Seconds of each epoch; puts the stacked step in the place of the Trainer's own."""

    def __init__(self, candidates: int, device: str) -> None:
        self.seconds: list[float] = []
        self.candidates = candidates
        self.device_ = device

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.candidates:
            return
        together = stacked(pl_module, trainer.optimizers[0], self.candidates)

        def run(optimizer: Any, batch_idx: int, kwargs: Any) -> dict[str, Any]:
            together.step(kwargs["batch"], batch_idx)
            progress.increment_ready()
            progress.increment_completed()
            return {}

        automatic: Any = trainer.fit_loop.epoch_loop.automatic_optimization
        progress = automatic.optim_progress.optimizer.step
        automatic.run = run

    def on_train_epoch_start(self, *args: Any) -> None:
        self.began = now(self.device_)

    def on_train_epoch_end(self, *args: Any) -> None:
        self.seconds.append(now(self.device_) - self.began)


def fit(network: str, batches: Batches, device: str, candidates: int = 0) -> float:
    """Seconds of an epoch in the Trainer's loop: of one candidate, or of several together."""
    epochs = Epochs(candidates, device)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    where = {"accelerator": "cpu"} if device == "cpu" else {"accelerator": "gpu", "devices": 1}
    trainer = Trainer(max_epochs=2, enable_model_summary=False, callbacks=[epochs], **quiet, **where)
    trainer.fit(NETWORKS[network](), DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return epochs.seconds[1]  # the first epoch warms caches


def measure(
    network: str, candidates: int, *, device: str, steps: int = 20, rounds: int = 5, size: int = 64
) -> dict[str, Any]:
    """Ratios to one candidate's time, and why the network cannot be vectorised, or None."""
    torch.manual_seed(0)
    batches = batches_of(steps, size, device)
    models = [NETWORKS[network]().to(device) for _ in range(candidates)]
    pairs = [(model, model.configure_optimizers()) for model in models]
    reason = check_equal(models[0], [pairs[0][1]], batches[:3], lambda _: [[0.01], [0.1]])
    if reason is not None:
        return {"reason": reason}
    together = stacked(*pairs[0], candidates)
    times: dict[str, list[float]] = {name: [] for name in ("one", "stacked", "in turn", "fit one", "fit stacked")}
    for number in range(rounds + 1):
        row = {
            "one": seconds(lambda: train_alone(*pairs[0], batches), device),
            "stacked": seconds(lambda: train_together(together, batches), device),
            "in turn": seconds(lambda: [train_alone(*pair, batches) for pair in pairs], device),
            "fit one": fit(network, batches, device),
            "fit stacked": fit(network, batches, device, candidates),
        }
        for name, value in row.items() if number > 0 else ():  # the first round warms caches
            times[name].append(value)
    medians = {name: statistics.median(row) for name, row in times.items()}
    return {
        "reason": None,
        "step": 1e3 * medians["one"] / steps,
        "trainer step": 1e3 * medians["fit one"] / steps,
        "plain": medians["stacked"] / medians["one"],
        "trainer": medians["fit stacked"] / medians["fit one"],
        "in turn": medians["in turn"] / medians["one"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="K candidates trained together, as a multiple of one")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--candidates", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=64, help="images in a batch")
    args = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    name = torch.cuda.get_device_name() if args.device != "cpu" else f"cpu, {torch.get_num_threads()} thread(s)"
    print(f"torch {torch.__version__}, {name}, batches of {args.size}")
    print("| network | step of one, plain / Trainer | K | together, plain | together, Trainer | in turn |")
    print("| --- | --- | --- | --- | --- | --- |")
    for network in NETWORKS:
        for k in args.candidates:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                row = measure(network, k, device=args.device, steps=args.steps, rounds=args.rounds, size=args.size)
            if row["reason"] is not None:
                print(f"| {network} | | {k} | {row['reason']} | | |")
                continue
            ratios = " | ".join(f"{row[column]:.2f}" for column in ("plain", "trainer", "in turn"))
            print(f"| {network} | {row['step']:.2f} / {row['trainer step']:.2f} ms | {k} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
