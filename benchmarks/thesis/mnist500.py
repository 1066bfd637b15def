"""Tables 4, 5 and 8 to 11 on 500 MNIST images: three searches, with and without kappa, grids of 100 to 500.

    OMP_NUM_THREADS=1 python -m benchmarks.thesis.mnist500 --data-dir data                 # tables 4 and 5
    OMP_NUM_THREADS=1 python -m benchmarks.thesis.mnist500 --data-dir data --sizes         # table 8, and 11's rates
    OMP_NUM_THREADS=1 python -m benchmarks.thesis.mnist500 --data-dir data --sizes --epochs 50 --grids 100   # table 9

Table 10's "20 iterations" is not told apart from table 9 by the text; ``--epochs 50 --candidates 22`` is our reading.
A grid of 500 for 50 epochs is 25,000 trainings: leave it to a machine with many cores (``--jobs``).
"""

from __future__ import annotations

from pathlib import Path

from mnist import load_splits, thesis_mlp

from benchmarks.thesis.experiment import SEARCHES, Setting, parser, run_settings

OBJECTIVES = ("accuracy", "kappa_original", "kappa")
"""without kappa, eq. 11, eq. 12"""


def make(setting: Setting, folder: Path):
    return thesis_mlp(0.01, dropout=0.0), load_splits(folder, download=False, subset=500, seed=setting["seed"])


def main() -> None:
    arguments = parser(__doc__)
    add = arguments.add_argument
    add(
        "--sizes",
        action="store_true",
        help="grids of several sizes, by accuracy alone, instead of the three objectives",
    )
    add("--grids", type=int, nargs="+", default=[100, 200, 300, 400, 500])
    add("--candidates", type=int, default=12, help="of the two Bayesian searches")
    add("--epochs", type=int, help="2, with --sizes 1")
    args = arguments.parse_args()
    epochs = args.epochs or (1 if args.sizes else 2)
    settings = []
    for seed in args.seeds:
        for search in SEARCHES:
            counts = args.grids if search == "grid" else [args.candidates]
            for count in counts if args.sizes else counts[:1]:
                for objective in ("accuracy",) if args.sizes else OBJECTIVES:
                    common = {"search": search, "objective": objective, "candidates": count}
                    settings.append(common | {"epochs": epochs, "seed": seed})
    run_settings("mnist500", settings, make, args)


if __name__ == "__main__":
    main()
