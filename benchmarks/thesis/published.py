"""What the thesis reports (ch. 4), to stand beside ours. Per cent, unless said."""

from __future__ import annotations

MNIST500 = {
    ("accuracy", "grid"): (47, 88), ("accuracy", "gaussian"): (42, 87), ("accuracy", "gamma_thesis"): (46, 87),
    ("kappa_original", "grid"): (52, 91), ("kappa_original", "gaussian"): (50, 88),
    ("kappa_original", "gamma_thesis"): (50, 89),
    ("kappa", "grid"): (52, 90), ("kappa", "gaussian"): (51, 88), ("kappa", "gamma_thesis"): (51, 91),
}  # fmt: skip
"""Tables 4 and 5: accuracy after epochs 1 and 2, by objective and search."""

SIZES = {
    1: {"grid": (49.4, 15.6), "gaussian": (40.4, 4.58), "gamma_thesis": (47.8, 4.48)},
    50: {"grid": (88.8, 729.9), "gaussian": (86.0, 29.22), "gamma_thesis": (88.0, 29.38)},
}
"""Tables 8 and 9: accuracy and seconds after so many epochs, averaged over grids of 100 to 500."""

RATES = {"grid": (0.078, 0.156), "gaussian": (0.075, 0.307), "gamma_thesis": (0.077, 0.265)}
"""Table 11: the rates that were found, lowest and highest."""

MNIST60K = {
    "grid": ((95.95, 99.51, 95.62, 95.10), (98.15, 99.80, 98.18, 97.97), (97.81, 99.76, 97.83, 97.58)),
    "gaussian": ((95.73, 99.53, 95.75, 95.25), (98.11, 99.79, 98.13, 97.94), (98.19, 98.21, 98.21, 98.00)),
    "gamma_thesis": ((95.61, 99.52, 95.64, 95.12), (98.35, 99.82, 98.36, 98.17), (98.21, 99.80, 98.23, 98.03)),
    "gamma_thesis, kappa": ((96.21, 99.49, 96.24, 96.01), (98.61, 99.90, 98.62, 98.56), (98.77, 99.81, 98.79, 98.51)),
}
"""Table 6: sensitivity, specificity, accuracy, Matthews correlation after epochs 1, 2 and 3."""

CIFAR10 = {
    "grid": {1: (49.09, 1.4160), 10: (70.72, 0.8619), 20: (75.30, 0.7133), 50: (75.55, 0.7362)},
    "gaussian": {1: (29.95, 1.8700), 10: (56.30, 1.2100), 20: (65.30, 0.9930), 50: (63.45, 1.0278)},
    "gamma_thesis": {1: (45.79, 1.4728), 10: (73.07, 0.7942), 20: (76.06, 0.6998), 50: (82.78, 0.5169)},
    "gamma_thesis, kappa": {1: (44.74, 1.3701), 10: (75.42, 0.7421), 20: (78.21, 0.6214), 50: (83.04, 0.4951)},
}
"""Table 7: accuracy and loss (not per cent) after so many epochs."""
