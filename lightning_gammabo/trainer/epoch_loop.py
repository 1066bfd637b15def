"""Drives the Trainer's fit loop: stand-ins for an epoch's run and for the loader's iterator; a run in two parts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from lightning_gammabo.trainer.inspection import module_of
from lightning_gammabo.trainer.patch import nothing, replaced
from lightning_gammabo.trainer.snapshot.loaders import LoaderMark

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = [
    "CandidateEnded",
    "Run",
    "arm",
    "disarm",
    "end_batch",
    "go_on",
    "make_iterator",
    "makes_iterator",
    "train_until",
    "watch_loader",
]

Run = Callable[[Any], None]
_End = TypeVar("_End")


class CandidateEnded(Exception):
    """A candidate's last batch is trained; leaves the Trainer's loop."""


def arm(trainer: Trainer, search: Callable[[Any, Run], None]) -> None:
    """Let ``search`` have the next epoch.

    Args:
        trainer: the Trainer, in ``on_train_epoch_start``.
        search: called once in place of ``epoch_loop.run``, with its argument and the true ``run``.
    """
    loop: Any = trainer.fit_loop.epoch_loop
    disarm(trainer)
    run = loop.run

    def searched_run(fetcher: Any) -> None:
        disarm(trainer)
        search(fetcher, run)

    loop.run = searched_run


def disarm(trainer: Trainer) -> None:
    """Take the stand-in of :func:`arm` away, if it is still there.

    Args:
        trainer: the Trainer.
    """
    loop: Any = trainer.fit_loop.epoch_loop
    loop.__dict__.pop("run", None)


def watch_loader(trainer: Trainer, note: Callable[[LoaderMark], None]) -> Callable[[], None]:
    """Take a :class:`LoaderMark` whenever Lightning makes the training loader's iterator ahead of an epoch.

    Args:
        trainer: the Trainer, before ``fit_loop.run``.
        note: called with each mark.

    Returns:
        A function that ends the watch.
    """
    fit_loop: Any = trainer.fit_loop
    native = fit_loop.setup_data
    module = module_of(fit_loop, "setup_data")
    select = module._select_data_fetcher

    marks: list[LoaderMark] = []

    def select_and_note(*args: Any, **kwargs: Any) -> Any:
        if fit_loop._combined_loader is not None:
            # the iterator is made right after this
            marks.append(LoaderMark(trainer, fit_loop._combined_loader))
        return select(*args, **kwargs)

    def setup_data() -> None:
        marks.clear()
        with replaced(module, "_select_data_fetcher", select_and_note):
            native()
        for mark in marks:
            mark.fetched = fit_loop._data_fetcher.fetched
            note(mark)

    fit_loop.setup_data = setup_data
    return lambda: fit_loop.__dict__.pop("setup_data", None)


def make_iterator(trainer: Trainer, fetcher: Any) -> LoaderMark | None:
    """Make the training loader's iterator anew, now, where ``epoch_loop.run`` will not make one.

    Args:
        trainer: the Trainer, at the start of ``epoch_loop.run``.
        fetcher: the data fetcher.

    Returns:
        The moment at which it was made, or None if Lightning will make one itself.
    """
    if makes_iterator(trainer):
        return None
    mark = LoaderMark(trainer, trainer.fit_loop._combined_loader)
    iter(fetcher)
    mark.fetched = fetcher.fetched
    return mark


def makes_iterator(trainer: Trainer) -> bool:
    """Whether ``epoch_loop.run`` will make the fetcher's iterator itself.

    Args:
        trainer: the Trainer, at the start of ``epoch_loop.run``.

    Returns:
        False in the first epoch of a fit.
    """
    resuming = getattr(trainer.fit_loop, "is_resuming", False)
    return trainer.current_epoch > 0 and not resuming and not trainer.fit_loop.epoch_loop.restarting


def train_until(loop: Any, run: Callable[[], object], until: int | None, reach: Callable[..., _End]) -> _End:
    """Let the Trainer's loop train, and leave it before the tail of some batch.

    Args:
        loop: the epoch loop.
        run: begins the loop, or goes on within it.
        until: batches of the epoch after which it is left; None for its last one.
        reach: called there with the loop's fetcher and ``tail=True``; with None and ``tail=False`` where the data, or
            the module's ``on_train_batch_start``, ended the epoch without a tail.

    Returns:
        What ``reach`` gave.
    """
    reached: list[_End] = []

    def last_or_native(fetcher: Any) -> None:
        enough = until is not None and loop.batch_progress.current.ready >= until
        if not (loop.done or enough):
            native(fetcher)
            return
        reached.append(reach(fetcher, tail=True))
        raise CandidateEnded

    native = loop.on_advance_end
    with replaced(loop, "on_advance_end", last_or_native), contextlib.suppress(CandidateEnded):
        run()
    return reached[0] if reached else reach(None, tail=False)


def end_batch(loop: Any, fetcher: Any) -> None:
    """The tail of a batch that is trained: the Trainer's own validation, counters, the end of the batch.

    Args:
        loop: the epoch loop, left by :func:`train_until`.
        fetcher: the data fetcher.
    """
    try:
        loop.on_advance_end(fetcher)
    finally:
        if hasattr(loop, "on_iteration_done"):  # Lightning 2.5 on
            loop.on_iteration_done()
        else:
            loop._restarting = False


def go_on(loop: Any, run: Run, fetcher: Any) -> None:
    """Train what is left of the epoch: the Trainer's own loop, without its beginning.

    Args:
        loop: the epoch loop, left by :func:`train_until`.
        run: the true ``epoch_loop.run``.
        fetcher: the data fetcher.
    """
    end_batch(loop, fetcher)
    with replaced(loop, "reset", nothing), replaced(loop, "on_run_start", nothing):
        run(fetcher)
