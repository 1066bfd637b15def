"""All state that training touches: taken at one moment, put back in place.

A :class:`~lightning_gammabo.trainer.snapshot.trainer_state.TrainerState` holds

* everything that is reachable from the user's module, data module, optimizers, LR schedulers, the precision plugin
  (GradScaler) and the metric results: parameters, buffers (non-persistent ones too), plain tensors, lists, counters;
* the loops' progress, the logger connector's metrics, the Trainer's plain attributes (``should_stop``, limits);
* the position of the data: generators, samplers and data sets with a state of their own;
* the random number generators.
"""
