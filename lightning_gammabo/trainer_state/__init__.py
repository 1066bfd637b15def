"""What training touches: all of a Trainer's state, taken at one moment and put back in place.

One of the two rooms that know Lightning's insides (the other is :mod:`lightning_gammabo.epoch_runner`). Checked on
Lightning 2.4.0, 2.5.6 and 2.6.6; :func:`check_lightning` says in a sentence when the insides are not as expected.

A :class:`TrainerState` holds

* everything that is reachable from the user's module, data module, optimizers, LR schedulers, the precision plugin
  (GradScaler) and the metric results: parameters, buffers (non-persistent ones too), plain tensors, lists, counters;
* the loops' progress, the logger connector's metrics, the Trainer's plain attributes (``should_stop``, limits);
* the position of the data: generators, samplers and data sets with a state of their own;
* the random number generators.
"""

from lightning_gammabo.trainer_state.data import (
    LoaderMark,
    loader_generators,
    samples_of,
    train_loaders,
    unreplayable,
    val_loaders,
)
from lightning_gammabo.trainer_state.questions import (
    check_lightning,
    goes_on_inside,
    log_to_loggers,
    module_of,
    needs_native_batches,
    overrides,
    shape_of_run,
    trains_weights,
    validates_within,
)
from lightning_gammabo.trainer_state.state import TrainerState

__all__ = [
    "LoaderMark",
    "TrainerState",
    "check_lightning",
    "goes_on_inside",
    "loader_generators",
    "log_to_loggers",
    "module_of",
    "needs_native_batches",
    "overrides",
    "samples_of",
    "shape_of_run",
    "train_loaders",
    "trains_weights",
    "unreplayable",
    "val_loaders",
    "validates_within",
]
