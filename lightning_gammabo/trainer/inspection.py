"""What is asked of a Trainer: whether it can be rewound, what of the user's has to see batches, how long it runs."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from torch import nn

from lightning_gammabo.records.run import RunShape
from lightning_gammabo.trainer.callback_hooks import has_batch_hooks, hook_owner
from lightning_gammabo.trainer.snapshot.loaders import samples_of, train_loaders, val_loaders
from lightning_gammabo.trainer.snapshot.roots import NAMESPACES

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


__all__ = [
    "batches_done",
    "call_module",
    "check_lightning",
    "goes_on_inside",
    "log_to_loggers",
    "module_of",
    "needs_native_batches",
    "overrides",
    "shape_of_run",
    "show_in_bar",
    "training_names",
    "trains_weights",
    "validates_within",
]


def check_lightning(trainer: Trainer) -> None:
    """Make sure that this Lightning's insides are the ones this package was written for.

    Args:
        trainer: the Trainer of the run.

    Raises:
        RuntimeError: naming what is missing.
        ValueError: if the strategy keeps weights where they cannot be held and put back in place.
    """
    reason = _weights_out_of_reach(trainer)
    if reason is not None:
        raise ValueError(
            f"GammaLRSearch cannot put back the state of {type(trainer.strategy).__name__}: {reason}. To shard the "
            "model choose ModelParallelStrategy with PyTorch's fully_shard (FSDP2); else Trainer(strategy='ddp') or a "
            "single device, or remove the callback for this run"
        )
    epoch_loop = getattr(trainer.fit_loop, "epoch_loop", None)
    wanted: dict[str, tuple[object, tuple[str, ...]]] = {
        "Trainer": (trainer, ("_logger_connector", "strategy", "precision_plugin", "fit_loop", "loggers", "callbacks")),
        "FitLoop": (trainer.fit_loop, ("setup_data", "epoch_loop", "_data_fetcher", "_combined_loader")),
        "TrainingEpochLoop": (
            epoch_loop,
            ("run", "done", "on_advance_end", "val_loop", "_results", "_should_check_val_fx", "_batches_that_stepped"),
        ),
        "LoggerConnector": (trainer._logger_connector, ("_callback_metrics", "_first_loop_iter")),
        "fit_loop": (module_of(trainer.fit_loop, "setup_data"), ("_select_data_fetcher",)),
        "call": (call_module(trainer), ("_call_callback_hooks",)),
        "evaluation_loop": (module_of(getattr(epoch_loop, "val_loop", None), "reset"), ("_select_data_fetcher",)),
    }
    missing = [f"{name}.{attr}" for name, (obj, attrs) in wanted.items() for attr in attrs if not hasattr(obj, attr)]
    if missing:
        version = getattr(sys.modules[type(trainer.fit_loop).__module__.split(".")[0]], "__version__", "unknown")
        raise RuntimeError(
            f"lightning_gammabo cannot rewind this Lightning (version {version}): it has no {', '.join(missing)}. "
            "Install a Lightning that lightning_gammabo was checked on (2.4 to 2.6), or a newer lightning_gammabo."
        )


def overrides(instance: object, method: str) -> bool:
    """Whether a user's class changes a method of one of Lightning's base classes.

    Args:
        instance: object of the user's class.
        method: name of the method.

    Returns:
        Whether the method is another one than Lightning's; False if there is none.
    """
    if method in vars(instance):
        return True
    owner = next((base for base in type(instance).__mro__ if method in vars(base)), None)
    return owner is not None and not owner.__module__.startswith(NAMESPACES)


def needs_native_batches(trainer: Trainer) -> str | None:
    """Whether something of the user's has to see the committed epoch batch by batch.

    Args:
        trainer: the Trainer, at the start of an epoch.

    Returns:
        What, in words, or None.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if has_batch_hooks(callback) and not _looks_at_epochs_only(callback):
            return f"the batch hooks of {type(callback).__name__}"
    return validates_within(trainer)


def validates_within(trainer: Trainer) -> str | None:
    """Whether the Trainer validates within an epoch.

    Args:
        trainer: the Trainer, at the start of an epoch.

    Returns:
        When, in words, or None.
    """
    if getattr(trainer, "_val_check_time_interval", None) is not None:
        return "validation by the clock (val_check_interval)"
    whole = trainer.val_check_interval == 1.0 and isinstance(trainer.val_check_interval, float)
    length, every = trainer.num_training_batches, trainer.val_check_batch
    at_ends = every == length
    if trainer.check_val_every_n_epoch is None:
        # batches are counted through the run: every end, or every n-th, where whole epochs were trained so far
        begun = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        at_ends = isinstance(every, int) and isinstance(length, int) and length > 0 and every % length == 0
        at_ends = at_ends and begun % length == 0
    if trainer.enable_validation and not (whole or at_ends):
        return f"validation in mid-epoch (val_check_interval={trainer.val_check_interval})"
    return None


def training_names(trainer: Trainer) -> set[str]:
    """What training steps have logged in this epoch so far; reading it changes nothing, as ``callback_metrics`` would.

    Args:
        trainer: the Trainer, in a batch.

    Returns:
        Names.
    """
    names = {result.meta.name for result in trainer.fit_loop.epoch_loop._results.values()}
    return names | {f"{name}_{suffix}" for name in names for suffix in ("step", "epoch")}


def log_to_loggers(trainer: Trainer, metrics: dict[str, float]) -> None:
    """Write to the user's loggers, past the metrics that callbacks see.

    Args:
        trainer: the Trainer.
        metrics: values by name.
    """
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step=trainer.fit_loop.epoch_loop._batches_that_stepped)


def show_in_bar(trainer: Trainer, name: str, text: str) -> None:
    """Show a value in Lightning's progress bar, past the metrics that callbacks and loggers see.

    Args:
        trainer: the Trainer, in a batch.
        name: of the value; one that the user logs to the bar under that name is shown instead.
        text: what is shown.
    """
    trainer._logger_connector._progress_bar_metrics[name] = text  # type: ignore[assignment]


def shape_of_run(
    trainer: Trainer, *, replays: bool, scored: int | None, own: int | None = None, begin: int = 0, lived: bool = False
) -> RunShape:
    """What is known of a run as it starts.

    Args:
        trainer: the Trainer, in ``on_train_start``.
        replays: whether winners are trained once more.
        scored: validation samples that candidates are scored on at the most; None for all of them.
        own: samples of a loader that candidates are scored on instead; None where there is none.
        begin: epoch at which the fit begins.
        lived: whether candidates live a schedule in miniature.

    Returns:
        Epochs, batches and the size of the validation data, as far as loaders were requested and tell it.
    """
    length = trainer.num_training_batches
    batches = length if isinstance(length, int) and length > 0 else None
    accumulate = trainer.accumulate_grad_batches
    epochs = trainer.max_epochs if trainer.max_epochs is not None and trainer.max_epochs > 0 else None
    if trainer.max_steps is not None and trainer.max_steps > 0 and batches is not None:
        by_steps = math.ceil(trainer.max_steps / math.ceil(batches / accumulate))
        epochs = by_steps if epochs is None else min(epochs, by_steps)
    trained = samples_of(train_loaders(trainer), trainer.limit_train_batches)
    asked = val_loaders(trainer)
    # a guess where they were not requested yet, until the first search
    validated = samples_of(asked, trainer.limit_val_batches) if asked else trained // 4
    if not trainer.enable_validation:
        ratio: float | None = 0.0
    elif trained and (own is not None or validated or trainer.limit_val_batches == 0):
        ratio = (min(validated, scored or validated) if own is None else own) / trained
    else:
        ratio = None  # a loader does not tell how many samples it has
    return RunShape(
        epochs=epochs,
        batches=batches,
        accumulate=accumulate,
        begin=begin,
        max_steps=trainer.max_steps if trainer.max_steps is not None and trainer.max_steps > 0 else None,
        val_ratio=ratio,
        replays=replays,
        lived=lived,
    )


def trains_weights(trainer: Trainer) -> bool:
    """Whether the epoch that starts trains anything (the last one of weight averaging only updates statistics).

    Args:
        trainer: the Trainer.

    Returns:
        Whether there are backward passes.
    """
    return not trainer.fit_loop._skip_backward


def goes_on_inside(trainer: Trainer) -> bool:
    """Whether the epoch loop will go on inside an epoch that another process began.

    Args:
        trainer: the Trainer, at the start of ``epoch_loop.run``.

    Returns:
        True after a resume whose checkpoint was written within the epoch, its very end included: Lightning 2.4 comes
        by the start of such an epoch once more, without training it, where a run is limited by ``max_steps``.
    """
    loop = trainer.fit_loop.epoch_loop
    return loop.restarting and loop.batch_progress.current.ready > 0


def batches_done(trainer: Trainer) -> int:
    """Batches of the present epoch that were trained before this process took over.

    Args:
        trainer: the Trainer, in ``on_train_start`` or ``on_train_epoch_start``.

    Returns:
        Above 0 only after a resume whose checkpoint was written within the epoch.
    """
    ready: int = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return ready if goes_on_inside(trainer) and ready < trainer.num_training_batches else 0


def module_of(loop: object, method: str) -> Any:
    """The module whose functions a loop's method calls by name; a user's subclass lives elsewhere.

    Args:
        loop: the loop.
        method: name of the method.

    Returns:
        The module, or None where there is no such method.
    """
    owner = next((base for base in type(loop).__mro__ if method in vars(base)), None)
    return sys.modules[owner.__module__] if owner is not None else None


def call_module(trainer: Trainer) -> Any:
    """The module by whose functions a Trainer calls hooks.

    Args:
        trainer: the Trainer, of either of Lightning's namespaces.

    Returns:
        The module, or None where this Lightning has another way.
    """
    return getattr(module_of(trainer.fit_loop, "setup_data"), "call", None)


_FLAT_WEIGHTS = ("FullyShardedDataParallel", "XlaFullyShardedDataParallel")


def _weights_out_of_reach(trainer: Trainer) -> str | None:
    # why what the strategy trains is not all in the module's tensors and the optimizers' state; None where it is
    strategy: Any = trainer.strategy
    missing = [
        name for name in ("model", "optimizers", "broadcast", "reduce_boolean_decision") if not hasattr(strategy, name)
    ]
    if missing:
        return f"it has no {', '.join(missing)}"
    if getattr(strategy, "handles_gradient_accumulation", False):
        return "an engine of its own accumulates gradients and keeps weights besides the module's"
    for part in strategy.model.modules() if isinstance(strategy.model, nn.Module) else ():
        flat = [base.__name__ for base in type(part).__mro__ if base.__name__ in _FLAT_WEIGHTS]
        if flat:
            return f"{flat[0]} (FSDP1) lays the weights into flat tensors, of which the module's are passing views"
    return None


def _looks_at_epochs_only(callback: Any) -> bool:
    names = {base.__name__ for base in type(callback).__mro__}
    if "ModelCheckpoint" in names and hook_owner(callback, "on_train_batch_end") == "ModelCheckpoint":
        return not callback._every_n_train_steps and callback._train_time_interval is None
    return "Timer" in names and getattr(callback._interval, "value", callback._interval) == "epoch"
