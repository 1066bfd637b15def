"""anomalib, ``lightning.pytorch``: a normalising flow on frozen features, metrics logged by an evaluator callback.

``pip install anomalib`` (2.7). Its Engine makes the Trainer and adds callbacks of its own. The pictures are stripes;
anomalous ones have a bright square. The feature network is not pre-trained, so that nothing is downloaded.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from anomalib.data import Folder
from anomalib.engine import Engine
from anomalib.metrics import AUROC, Evaluator
from anomalib.models import Fastflow
from client_check import EPOCHS, check
from PIL import Image

SIDE = 64


def pictures(folder: Path) -> None:
    drawn = np.random.default_rng(0)
    for name, number in (("good", 24), ("bad", 8)):
        (folder / name).mkdir()
        for index in range(number):
            stripes = 128 + 80 * np.sin(np.arange(SIDE) / 3 + drawn.uniform(0, 6))
            picture = np.repeat(stripes[:, None], SIDE, axis=1) + drawn.normal(0, 5, (SIDE, SIDE))
            if name == "bad":
                picture[20:36, 20:36] = 255
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).convert("RGB").save(folder / name / f"{index}.png")


def train(callbacks: list[Any]) -> Any:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures(folder)
        data = Folder(
            name="stripes", root=folder, normal_dir="good", abnormal_dir="bad", train_batch_size=4, eval_batch_size=4,
            num_workers=0, seed=0,
        )  # fmt: skip
        processor = Fastflow.configure_pre_processor(image_size=(SIDE, SIDE))
        # without masks of what is anomalous, whole pictures are judged
        evaluator = Evaluator(val_metrics=[AUROC(fields=["pred_score", "gt_label"], prefix="image_")])
        model = Fastflow(
            backbone="resnet18", pre_trained=False, flow_steps=2, pre_processor=processor, evaluator=evaluator
        )
        engine = Engine(
            max_epochs=EPOCHS, accelerator="cpu", devices=1, callbacks=callbacks, logger=False, barebones=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        engine.fit(model=model, datamodule=data)
        return engine.trainer


if __name__ == "__main__":
    check("anomalib", "normalising flow, evaluator callback", train)
