"""Table 6 and figure 20: all of MNIST, three epochs, four searches; sensitivity, specificity, accuracy, correlation.

    OMP_NUM_THREADS=1 python -m benchmarks.thesis.mnist60k --data-dir data --seeds 0 --jobs 2

48,000 images train, 12,000 choose, the 10,000 test images judge. ``--subset`` takes fewer training images.
"""

from __future__ import annotations

from pathlib import Path

from mnist import load_splits, thesis_mlp

from benchmarks.thesis.experiment import Setting, four_searches


def make(setting: Setting, folder: Path):
    loaders = load_splits(folder, download=False, subset=setting["subset"], seed=setting["seed"])
    return thesis_mlp(0.01, dropout=0.0), loaders


if __name__ == "__main__":
    four_searches("mnist60k", __doc__, make, subset=60_000, epochs=3)
