"""Puts stand-ins into the Trainer's fit loop: for the next epoch, and around the making of the loader's iterator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lightning_gammabo.trainer.inspection import module_of
from lightning_gammabo.trainer.patch import replaced
from lightning_gammabo.trainer.snapshot.loaders import LoaderMark

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

__all__ = ["Run", "arm", "disarm", "make_iterator", "makes_iterator", "watch_loader"]

Run = Callable[[Any], None]


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
