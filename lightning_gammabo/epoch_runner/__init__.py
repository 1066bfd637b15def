"""Trains and validates candidate epochs natively: by the Trainer's own loops, on the user's own module.

One of the two rooms that know Lightning's insides (the other is :mod:`lightning_gammabo.trainer_state`).

The search happens *inside* ``epoch_loop.run``, for which :func:`arm` puts a stand-in: by then every hook at the start
of the epoch has run, once, as in a plain fit. For each candidate the state is put back to that moment, the rate is
set, and the true ``epoch_loop.run`` trains the epoch, or its first batches, with the user's callbacks and loggers set
aside. Just before the tail of its last batch (``on_advance_end``: validation, plateau schedulers, counters) the end
state is noted and the candidate is validated for its score. Then one of them is committed:

* ``copy``: its end state is put back, the true tail runs, and the Trainer trains what is left of the epoch, with the
  user's callbacks and loggers;
* ``replay``: the start state is put back and the epoch is trained natively from its first batch, every hook included.
"""

from lightning_gammabo.epoch_runner.arming import arm, disarm, make_iterator, watch_loader
from lightning_gammabo.epoch_runner.runner import BACK_OFF, EpochRunner
from lightning_gammabo.epoch_runner.scoring import ScoringSet, scoring_loader

__all__ = [
    "BACK_OFF",
    "EpochRunner",
    "ScoringSet",
    "arm",
    "disarm",
    "make_iterator",
    "scoring_loader",
    "watch_loader",
]
