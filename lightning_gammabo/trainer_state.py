"""What training touches: all of a Trainer's state, taken at one moment and put back in place.

One of the two files that know Lightning's insides (the other is :mod:`lightning_gammabo.epoch_runner`). Checked on
Lightning 2.4.0, 2.5.6 and 2.6.6; :func:`check_lightning` says in a sentence when the insides are not as expected.

A :class:`TrainerState` holds

* everything that is reachable from the user's module, data module, optimizers, LR schedulers, the precision plugin
  (GradScaler) and the metric results: parameters, buffers (non-persistent ones too), plain tensors, lists, counters;
* the loops' progress, the logger connector's metrics, the Trainer's plain attributes (``should_stop``, limits);
* the position of the data: generators, samplers and data sets with a state of their own;
* the random number generators.
"""

from __future__ import annotations

import math
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_gammabo.candidate_hooks import has_batch_hooks, hook_owner
from lightning_gammabo.object_image import ObjectImage
from lightning_gammabo.rng import RngState
from lightning_gammabo.run_plan import RunShape

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

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
]

_PLAIN = (int, float, bool, str, type(None))
_ENTERED = {"LightningDataModule", "LRSchedulerConfig", "_BaseProgress", "_ModuleMode"}
_NAMESPACES = ("lightning.pytorch", "pytorch_lightning", "lightning.fabric", "lightning_fabric")


def check_lightning(trainer: Trainer) -> None:
    """Make sure that this Lightning's insides are the ones this package was written for.

    Args:
        trainer: the Trainer of the run.

    Raises:
        RuntimeError: naming what is missing.
        ValueError: if the strategy is none of those whose state can be put back.
    """
    strategies = [base.__name__ for base in type(trainer.strategy).__mro__]
    if not {"SingleDeviceStrategy", "DDPStrategy"} & set(strategies):
        raise ValueError(
            f"GammaLRSearch cannot put back the state of {strategies[0]}: choose Trainer(strategy='ddp') or a single "
            "device, or remove the callback for this run"
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
        "evaluation_loop": (module_of(getattr(epoch_loop, "val_loop", None), "reset"), ("_select_data_fetcher",)),
    }
    missing = [f"{name}.{attr}" for name, (obj, attrs) in wanted.items() for attr in attrs if not hasattr(obj, attr)]
    if missing:
        version = getattr(__import__(type(trainer.fit_loop).__module__.split(".")[0]), "__version__", "unknown")
        raise RuntimeError(
            f"lightning_gammabo cannot rewind this Lightning (version {version}): it has no {', '.join(missing)}. "
            "Install a Lightning that lightning_gammabo was checked on (2.4 to 2.6), or a newer lightning_gammabo."
        )


class TrainerState:
    """The state of a fit at one moment.

    Args:
        trainer: the Trainer, inside ``fit``.
        callbacks: callbacks that take part in candidate epochs; their state is held too.
        data: whether the position of the training data is held (else the loaders and all below them are left alone).
        validation: likewise for the validation data.
        defer: leave the values of parameters and optimizer state uncopied until :meth:`hold_weights`.
        grads: whether gradients are held; else they are None after :meth:`restore`.
    """

    def __init__(
        self,
        trainer: Trainer,
        *,
        callbacks: Iterable[object] = (),
        data: bool = True,
        validation: bool = True,
        defer: bool = False,
        grads: bool = True,
    ) -> None:
        self._loops = [_Attributes(loop, _is_loop_state) for loop in _loops(trainer)]
        self._loops += [_Attributes(obj, _is_plain) for obj in _plain_owners(trainer, data)]
        held = [*(train_loaders(trainer) if data else []), *(val_loaders(trainer) if validation else [])]
        left = [*([] if data else train_loaders(trainer)), *([] if validation else val_loaders(trainer))]
        skip = _data_image(left).visited
        roots = {**_roots(trainer), **_named("callback", map(vars, callbacks)), **_named("loader", held)}
        data_names = [name for name in roots if name.startswith(("loader", "datamodule"))]
        self._image = ObjectImage(
            roots,
            stop=_is_lightning,
            skip=skip,
            data=data_names,
            deferred=_weight_ids(trainer) if defer else (),
            grads=grads,
        )
        self._rng = RngState.take()

    @property
    def unheld(self) -> list[str]:
        """Paths of live iterators that the user's objects hold and nobody can put back."""
        return self._image.unheld

    def hold_weights(self, reuse: TrainerState | None = None) -> bool:
        """Copy the values that were deferred.

        Args:
            reuse: an older state whose copies may be written over (it is useless afterwards).

        Returns:
            False if a parameter or an optimizer's state was written since this state was taken.
        """
        return self._image.hold_deferred(reuse._image if reuse is not None else None)

    def restore(self) -> None:
        """Put everything back, in place."""
        for attributes in self._loops:
            attributes.restore()
        self._image.restore()
        self._rng.restore()


class LoaderMark:
    """Data position and random numbers at the moment when the training loader's iterator was made.

    In the first epoch of a fit Lightning makes the iterator long before the epoch starts. To see the same batches
    again, another iterator has to be made from this very state.

    Args:
        trainer: the Trainer, its training loader already requested.
        combined_loader: the loader that the iterator is made from.

    Attributes:
        fetched: batches that were fetched (ahead) when the iterator was made; more by now means that it was used.
    """

    def __init__(self, trainer: Trainer, combined_loader: Any) -> None:
        self.fetched = 0
        self._image = _data_image(getattr(combined_loader, "flattened", [combined_loader]))
        self._rng = RngState.take()

    def restore(self) -> None:
        """Put data position and random numbers back."""
        self._image.restore()
        self._rng.restore()


def train_loaders(trainer: Trainer) -> list[Any]:
    """The training loaders in use.

    Args:
        trainer: the Trainer, inside ``fit``.

    Returns:
        The flat list; empty before they were requested.
    """
    loader = trainer.fit_loop._combined_loader
    return list(loader.flattened) if loader is not None else []


def val_loaders(trainer: Trainer) -> list[Any]:
    """The validation loaders in use.

    Args:
        trainer: the Trainer, inside ``fit``.

    Returns:
        The flat list; empty before they were requested.
    """
    loader = trainer.fit_loop.epoch_loop.val_loop._combined_loader
    return list(loader.flattened) if loader is not None else []


def loader_generators(trainer: Trainer) -> dict[str, Any]:
    """The random number generators that the training loaders hold.

    Args:
        trainer: the Trainer.

    Returns:
        The generators, each under a path that is the same in another process.
    """
    return _data_image(train_loaders(trainer)).generators


def unreplayable(loaders: Iterable[Any]) -> str | None:
    """Whether iterating loaders again gives other batches.

    Args:
        loaders: what :func:`train_loaders` or :func:`val_loaders` gave.

    Returns:
        Why, in words, or None if the batches can be had again.
    """
    for loader in loaders:
        name = type(loader).__name__
        if getattr(loader, "persistent_workers", False) and getattr(loader, "num_workers", 0) > 0:
            return f"{name}(persistent_workers=True): its workers go on with the random numbers of the epoch before"
        if hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict"):
            return f"{name} keeps a position of its own"
        if not isinstance(loader, torch.utils.data.DataLoader) and hasattr(type(loader), "__next__"):
            return f"{name} is an iterator: it goes on where it stopped"
        held = [path for path in _data_image([loader]).unheld if path != "loader0._iterator"]
        if held:
            return f"{name} holds a live iterator ({held[0]})"
    return None


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
    return owner is not None and not owner.__module__.startswith(_NAMESPACES)


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
    if getattr(trainer, "_val_check_time_interval", None) is not None:
        return "validation by the clock (val_check_interval)"
    whole = trainer.val_check_interval == 1.0 and isinstance(trainer.val_check_interval, float)
    every = trainer.val_check_batch == trainer.num_training_batches and trainer.check_val_every_n_epoch is not None
    if trainer.enable_validation and not (whole or every):
        return f"validation in mid-epoch (val_check_interval={trainer.val_check_interval})"
    return None


def log_to_loggers(trainer: Trainer, metrics: dict[str, float]) -> None:
    """Write to the user's loggers, past the metrics that callbacks see.

    Args:
        trainer: the Trainer.
        metrics: values by name.
    """
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step=trainer.fit_loop.epoch_loop._batches_that_stepped)


def shape_of_run(trainer: Trainer, *, replays: bool, scored: int | None) -> RunShape:
    """What is known of a run as it starts.

    Args:
        trainer: the Trainer, in ``on_train_start``.
        replays: whether winners are trained once more.
        scored: validation samples that candidates are scored on at the most; None for all of them.

    Returns:
        Epochs, batches and the size of the validation data, as far as loaders were requested.
    """
    length = trainer.num_training_batches
    batches = length if isinstance(length, int) and length > 0 else None
    accumulate = trainer.accumulate_grad_batches
    epochs = trainer.max_epochs if trainer.max_epochs is not None and trainer.max_epochs > 0 else None
    if trainer.max_steps is not None and trainer.max_steps > 0 and batches is not None:
        by_steps = math.ceil(trainer.max_steps / math.ceil(batches / accumulate))
        epochs = by_steps if epochs is None else min(epochs, by_steps)
    trained = samples_of(train_loaders(trainer), trainer.limit_train_batches)
    validated = samples_of(val_loaders(trainer), trainer.limit_val_batches) or (scored or 0)
    ratio = min(validated, scored or validated) / trained if trained else 0.0
    return RunShape(epochs=epochs, batches=batches, accumulate=accumulate, replays=replays, val_ratio=ratio)


def samples_of(loaders: Iterable[Any], limit: float | None) -> int:
    """How many samples loaders give in a pass.

    Args:
        loaders: the loaders.
        limit: batches of each at the most, or a share of them; None for no limit.

    Returns:
        The number, as far as loaders tell it.
    """
    samples = 0
    for loader in loaders:
        size = getattr(loader, "batch_size", None) or 1
        total = len(loader.dataset) if hasattr(getattr(loader, "dataset", None), "__len__") else 0
        most = math.inf if limit is None or limit == 1.0 else limit * size if isinstance(limit, int) else limit * total
        samples += int(min(total, most))
    return samples


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


class _Attributes:
    """Some of one object's attributes, by reference."""

    def __init__(self, obj: Any, wanted: Callable[[object], bool]) -> None:
        self._own: dict[str, Any] = vars(obj)
        self._names = set(self._own)
        self._wanted = wanted
        self._saved = {name: value for name, value in self._own.items() if wanted(value)}

    def restore(self) -> None:
        for name in [n for n, value in self._own.items() if n not in self._names and self._wanted(value)]:
            del self._own[name]
        self._own.update(self._saved)


def _is_loop_state(value: object) -> bool:
    # functions in a loop's attributes are stand-ins, ours or a plugin's; the fetcher has an entry of its own
    return not isinstance(value, (types.FunctionType, types.MethodType))


def _is_plain(value: object) -> bool:
    return isinstance(value, _PLAIN)


def _loops(trainer: Trainer) -> list[Any]:
    epoch_loop: Any = trainer.fit_loop.epoch_loop
    return [
        trainer.fit_loop,
        epoch_loop,
        epoch_loop.val_loop,
        epoch_loop.automatic_optimization,
        epoch_loop.manual_optimization,
    ]


def _plain_owners(trainer: Trainer, data: bool) -> Iterator[Any]:
    """Objects of which only numbers, flags and words are state.

    Args:
        trainer: the Trainer.
        data: whether the position of the training data is one.

    Yields:
        The Trainer, the data fetcher, and the wrapper that a strategy puts around the module: DDP notes there whether
        its next forward has to synchronise buffers.
    """
    yield trainer
    if data and trainer.fit_loop._data_fetcher is not None:
        yield trainer.fit_loop._data_fetcher
    if trainer.strategy.model is not None and trainer.strategy.model is not trainer.lightning_module:
        yield trainer.strategy.model


def _roots(trainer: Trainer) -> dict[str, object]:
    connector = trainer._logger_connector
    roots: dict[str, object] = {
        "module": trainer.lightning_module,
        "optimizers": trainer.strategy.optimizers,
        "lr_schedulers": trainer.strategy.lr_scheduler_configs,
        "precision": vars(trainer.precision_plugin),
        "state": vars(trainer.state),
        "connector": vars(connector),
        "datamodule": getattr(trainer, "datamodule", None),
    }
    for index, loop in enumerate(_loops(trainer)):
        kept = {name: value for name, value in vars(loop).items() if _is_progress(value)}
        roots[f"loop{index}"] = tuple(kept.values())
    return {name: root for name, root in roots.items() if root is not None}


def _is_progress(value: object) -> bool:
    name = type(value).__name__
    return name.endswith(("Progress", "_ResultCollection", "_ModuleMode")) or isinstance(value, (list, dict))


_lightning_kinds: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()


def _is_lightning(kind: type) -> bool:
    """Lightning's own machinery is not entered; the user's modules, and results and progress, are.

    Args:
        kind: class of an object that the walk came to.

    Returns:
        Whether to leave it alone.
    """
    known = _lightning_kinds.get(kind)
    if known is None:
        own = {base.__name__ for base in kind.__mro__ if base.__module__.startswith(_NAMESPACES)}
        left_alone = bool(own) and not own & _ENTERED and not issubclass(kind, torch.nn.Module)
        known = _lightning_kinds[kind] = left_alone
    return known


def _data_image(loaders: Iterable[object]) -> ObjectImage:
    roots = _named("loader", loaders)
    return ObjectImage(roots, stop=_is_lightning, data=list(roots))


def _named(name: str, objects: Iterable[object]) -> dict[str, object]:
    return {f"{name}{index}": obj for index, obj in enumerate(objects)}


def _weight_ids(trainer: Trainer) -> set[int]:
    module: LightningModule = trainer.lightning_module
    ids = {id(parameter) for parameter in module.parameters()}
    for optimizer in trainer.strategy.optimizers:
        ids |= {id(tensor) for tensor in _tensors(getattr(optimizer, "state", {}))}
        ids |= {id(tensor) for group in getattr(optimizer, "param_groups", []) for tensor in _tensors(group["params"])}
    return ids


def _tensors(tree: object) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _tensors(value)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            yield from _tensors(value)


def _looks_at_epochs_only(callback: Any) -> bool:
    names = {base.__name__ for base in type(callback).__mro__}
    if "ModelCheckpoint" in names and hook_owner(callback, "on_train_batch_end") == "ModelCheckpoint":
        return not callback._every_n_train_steps and callback._train_time_interval is None
    return "Timer" in names and getattr(callback._interval, "value", callback._interval) == "epoch"
