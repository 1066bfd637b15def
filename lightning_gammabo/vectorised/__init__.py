"""Several candidates trained together: one forward and one backward pass for K sets of weights.

The sequential path, which trains one candidate after the other by the Trainer's own loops, stays the reference. This
room trains K copies of a module's weights on the same batches by ``torch.func.vmap``. Whether a module allows it is
found out beforehand: :func:`why_not` asks what can be asked, :func:`check_equal` trains a few steps both ways.

What is advanced: parameters, buffers, the optimizer's state, the random number generators (as by one candidate).
What is **not**: counters and loops of the Trainer, LR schedulers, logged values, torchmetrics in ``training_step``, and
Python attributes that ``training_step`` writes; the last are found by :func:`check_equal` and named in its reason.
It knows no Trainer: batches are given, on their device, and rates are asked for.
"""

from lightning_gammabo.vectorised.eligible import FORBIDDEN_HOOKS, TrainerFacts, why_not
from lightning_gammabo.vectorised.equality import check_equal
from lightning_gammabo.vectorised.race import StackedResult, VectorisedTrainer, train_stacked

__all__ = [
    "FORBIDDEN_HOOKS",
    "StackedResult",
    "TrainerFacts",
    "VectorisedTrainer",
    "check_equal",
    "train_stacked",
    "why_not",
]
