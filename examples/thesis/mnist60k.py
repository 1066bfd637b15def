"""Table 6 and figure 20: all of MNIST, three epochs, four searches; sensitivity, specificity, accuracy, correlation.

    OMP_NUM_THREADS=1 python examples/thesis/mnist60k.py --data-dir data --seeds 0 --jobs 2

48,000 images train, 12,000 choose, the 10,000 test images judge. ``--subset`` takes fewer training images.
"""

from __future__ import annotations

from pathlib import Path

from experiment import Setting, parser, run_settings
from mnist import load_splits, thesis_mlp

METHODS = (("grid", "accuracy"), ("gaussian", "accuracy"), ("gamma_thesis", "accuracy"), ("gamma_thesis", "kappa"))


def make(setting: Setting, folder: Path):
    loaders = load_splits(folder, download=False, subset=setting["subset"], seed=setting["seed"])
    return thesis_mlp(0.01, dropout=0.0), loaders


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--subset", type=int, default=60_000, help="training images, a fifth of them to choose by")
    arguments.add_argument("--grid", type=int, default=12, help="candidates of the grid; as many as the others have")
    arguments.add_argument("--epochs", type=int, default=3)
    args = arguments.parse_args()
    settings = [
        {"search": search, "objective": objective, "candidates": args.grid if search == "grid" else 12}
        | {"epochs": args.epochs, "seed": seed, "subset": args.subset}
        for seed in args.seeds
        for search, objective in METHODS
    ]
    run_settings("mnist60k", settings, make, args)


if __name__ == "__main__":
    main()
