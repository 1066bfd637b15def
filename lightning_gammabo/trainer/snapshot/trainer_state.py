"""The state of a fit at one moment."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lightning_gammabo.trainer.snapshot.loaders import train_loaders, val_loaders
from lightning_gammabo.trainer.snapshot.objects import ObjectImage
from lightning_gammabo.trainer.snapshot.rng import RngState
from lightning_gammabo.trainer.snapshot.roots import data_image, is_lightning, named
from lightning_gammabo.trainer.snapshot.sharding import reshard

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


__all__ = ["TrainerState"]

_FUNCTIONS = (types.FunctionType, types.MethodType)
_PLAIN = (int, float, bool, str, type(None))


class TrainerState:
    """The state of a fit at one moment.

    Args:
        trainer: the Trainer, inside ``fit``.
        callbacks: callbacks that take part in candidate epochs; their state is held too.
        data: whether the position of the training data is held (else the loaders and all below them are left alone).
        validation: likewise for the validation data.
        defer: leave the values of parameters and optimizer state uncopied until :meth:`hold_weights`.
        grads: whether gradients are held; else they are None after :meth:`restore`.
        like: an older state of this fit, of the same kinds; it saves work where nothing has changed since.
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
        like: TrainerState | None = None,
    ) -> None:
        self._module: LightningModule = trainer.lightning_module
        reshard(self._module)
        # functions in a loop's attributes are stand-ins, ours or a plugin's; the fetcher has an entry of its own
        self._loops = [_Attributes(loop, _FUNCTIONS, others=True) for loop in _loops(trainer)]
        self._loops += [_Attributes(obj, _PLAIN) for obj in _plain_owners(trainer, data)]
        held = [*(train_loaders(trainer) if data else []), *(val_loaders(trainer) if validation else [])]
        left = [*([] if data else train_loaders(trainer)), *([] if validation else val_loaders(trainer))]
        skip = data_image(left).visited
        roots = {**_roots(trainer), **named("callback", map(vars, callbacks)), **named("loader", held)}
        data_names = [name for name in roots if name.startswith(("loader", "datamodule"))]
        self._image: ObjectImage = ObjectImage(
            roots,
            stop=is_lightning,
            skip=skip,
            data=data_names,
            deferred=_weight_ids(trainer) if defer else (),
            grads=grads,
            like=like._image if like is not None else None,
        )
        self._rng = RngState.take()

    @property
    def visited(self) -> set[int]:
        """Ids of the objects that the state holds or leaves alone."""
        return self._image.visited

    @property
    def unheld(self) -> list[str]:
        """Paths of live iterators that the user's objects hold and nobody can put back."""
        return list(self._image.unheld)

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
        reshard(self._module)
        for attributes in self._loops:
            attributes.restore()
        self._image.restore()
        self._rng.restore()


class _Attributes:
    """One object's attributes that are of some kinds, or of others than these, by reference."""

    def __init__(self, obj: Any, kinds: tuple[type, ...], *, others: bool = False) -> None:
        self._own: dict[str, Any] = vars(obj)
        self._names = set(self._own)
        self._kinds = kinds
        self._others = others
        self._saved = {name: value for name, value in self._own.items() if isinstance(value, kinds) is not others}

    def restore(self) -> None:
        own, kinds, others = self._own, self._kinds, self._others
        for name in own.keys() - self._names:
            if isinstance(own[name], kinds) is not others:
                del own[name]
        own.update(self._saved)


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
