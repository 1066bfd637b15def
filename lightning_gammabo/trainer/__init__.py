"""The only room that names Lightning's insides: trains candidates natively, by the Trainer's own loops.

A search runs *inside* ``epoch_loop.run``, which :func:`~lightning_gammabo.trainer.epoch_loop.arm` replaces for one
epoch: by then every hook at the start of the epoch has run, once, as in a plain fit. For each candidate the state is
put back to that moment, the rate is set, and the true ``epoch_loop.run`` trains the epoch, or its first batches, with
the user's callbacks and loggers held back. Just before the tail of its last batch (``on_advance_end``: validation,
plateau schedulers, counters) the end state is noted and the candidate is validated for its score. Then one of them is
committed:

* ``copy``: its end state is put back, the true tail runs, and the Trainer trains what is left of the epoch, with the
  user's callbacks and loggers;
* ``replay``: the start state is put back and the epoch is trained natively from its first batch, every hook included.
"""
