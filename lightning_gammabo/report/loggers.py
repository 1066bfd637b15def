"""The pictures, sent to the loggers that the user has already.

A logger is known by what it can do, not by its class: TensorBoard's writer has ``add_figure``, Lightning's W&B logger
``log_image``, MLflow's client and Comet's experiment ``log_figure``. Others are passed over. Nothing here raises into a
training: a logger or a picture that fails is a warning in this module's log.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lightning_gammabo.records import SearchHistory
from lightning_gammabo.report.figures import Confusion, Kind, plot
from lightning_gammabo.report.style import apart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["log_figures", "takes_figures"]

log = logging.getLogger(__name__)

_OF_ALL: tuple[Kind, ...] = ("schedule", "cost")
_OF_ONE: tuple[Kind, ...] = ("surrogate", "landscape")


def log_figures(
    loggers: Iterable[Any],
    history: SearchHistory,
    epoch: int,
    *,
    step: int | None = None,
    kinds: Sequence[Kind] | None = None,
    confusion: Confusion | None = None,
) -> None:
    """Send the pictures of an epoch that was just searched, each as ``gamma/KIND``.

    Args:
        loggers: ``trainer.loggers``, on the first process only.
        history: the records so far.
        epoch: which epoch's pictures.
        step: the step they stand at; None for the epoch.
        kinds: which pictures; None for those of the search (``surrogate`` where the search has one, ``landscape``,
            ``schedule``, ``cost``).
        confusion: what the kind ``confusion`` draws.
    """
    senders = [sender for logger in loggers if (sender := _sender(logger)) is not None]
    for kind in (*_OF_ONE, *_OF_ALL) if kinds is None else kinds:
        if not senders:
            return
        try:
            figure = _draw(history, kind, epoch, confusion)
        except ValueError as error:  # nothing to draw: a search without a surrogate, an epoch that is not there
            log.debug("No figure %r: %s", kind, error)
            continue
        except Exception:  # the training is worth more than its picture
            log.warning("The figure %r of epoch %d cannot be drawn", kind, epoch, exc_info=True)
            continue
        for send in senders:
            try:
                send(f"gamma/{kind}", figure, epoch, epoch if step is None else step)
            except Exception:
                log.warning("The figure %r of epoch %d cannot be logged", kind, epoch, exc_info=True)


def takes_figures(loggers: Iterable[Any]) -> bool:
    """Whether there is a logger to send figures to.

    Args:
        loggers: ``trainer.loggers``, on the first process only.

    Returns:
        Whether one of them takes figures.
    """
    return any(_sender(logger) is not None for logger in loggers)


def _draw(history: SearchHistory, kind: Kind, epoch: int, confusion: Confusion | None) -> Figure:
    with apart():
        axes = plot(history, kind, None if kind in _OF_ALL else epoch, confusion=confusion)
    figure: Figure = axes.figure  # type: ignore[assignment]
    return figure


_Sender = Callable[[str, "Figure", int, int], None]


def _sender(logger: Any) -> _Sender | None:
    try:
        if callable(getattr(logger, "log_image", None)):
            return lambda name, figure, epoch, step: logger.log_image(key=name, images=[_image(figure)], step=step)
        return _sender_to(getattr(logger, "experiment", None), getattr(logger, "run_id", None))
    except Exception:  # asking for the experiment may open it
        log.warning("A logger cannot be asked for figures", exc_info=True)
        return None


def _sender_to(experiment: Any, run: str | None) -> _Sender | None:
    if callable(getattr(experiment, "add_figure", None)):
        return lambda name, figure, epoch, step: experiment.add_figure(name, figure, global_step=step)
    if not callable(getattr(experiment, "log_figure", None)):
        return None
    if run is not None:
        return lambda name, figure, epoch, step: experiment.log_figure(run, figure, f"{name}_{epoch:04d}.png")
    return lambda name, figure, epoch, step: experiment.log_figure(figure_name=name, figure=figure, step=step)


def _image(figure: Figure) -> Any:
    from PIL import Image  # matplotlib needs it as well

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    buffer.seek(0)
    return Image.open(buffer)
