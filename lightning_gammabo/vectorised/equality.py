"""Does a module train the same when its candidates are stacked? Found by training a few steps both ways.

What is tried, on the first few batches, from the state in which the training stands, and left without a trace:

1. one ``training_step`` as the Trainer would call it: which Python attributes it changes, whether it reads a counter
   that stands still while candidates are stacked, whether each trained parameter gets a gradient;
2. two candidates one after the other, by the module and the torch optimizer themselves;
3. the same two candidates stacked: losses, and the buffers of the first step, have to be the same.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gammabo.object_image import ObjectImage
from lightning_gammabo.rng import RngState
from lightning_gammabo.stand_in import replaced
from lightning_gammabo.vectorised.python_state import PythonState
from lightning_gammabo.vectorised.race import Rates, VectorisedTrainer
from lightning_gammabo.vectorised.silence import Silence
from lightning_gammabo.vectorised.stacked import Context, Step, Unstackable

__all__ = ["check_equal"]

COUNTERS = ("global_step",)
"""properties of a LightningModule and of a Trainer that move from step to step"""
_LIGHTNING = ("lightning", "lightning_fabric", "pytorch_lightning")
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_PAIR = 2


def check_equal(
    module: nn.Module,
    optimizers: Sequence[Any],
    batches: Sequence[Any],
    rates: Rates,
    *,
    clip_val: float | None = None,
    clip_algorithm: str | None = None,
    accumulate: int = 1,
    context: Context = contextlib.nullcontext,
    tolerance: float = 1e-5,
) -> str | None:
    """Train candidates 0 and 1 one after the other and stacked, and compare; all is put back afterwards.

    On a GPU, TF32 is off for the comparison. A GPU's dropout draws other numbers by itself than in a stack; there, a
    module that is not equal is compared once more with its dropout layers set to 0.

    Args:
        module: the module, in training mode.
        optimizers: its optimizers, see :func:`~lightning_gammabo.vectorised.why_not`.
        batches: the first few batches, on their device; as many steps are trained, so 2 are the least that says
            something about the optimizer, and more than ``accumulate``.
        rates: as of :class:`~lightning_gammabo.vectorised.VectorisedTrainer`, of at least two candidates. Take two that
            train: where a training explodes, roundings grow beyond any tolerance.
        clip_val: as there.
        clip_algorithm: as there.
        accumulate: as there.
        context: as there.
        tolerance: largest difference of losses over the largest loss of a candidate's steps, and of buffers likewise;
            1e-5 for single precision.

    Returns:
        The reason in one line, or None where they are equal.
    """
    # asked for before any is written: they may be read off the optimizer
    planned = [[list(row) for row in rates(number)[:_PAIR]] for number in range(len(batches))]
    plan = _Plan(module, optimizers[0], batches, planned, clip_val, clip_algorithm, accumulate, context)
    with RngState.kept(), _without_tf32(), Silence(module):
        rewind = _rewind_of(plan)
        try:
            reason = _trace(plan) or _compare(plan, rewind, tolerance)
            if reason is not None and _on_gpu(module):
                rewind()
                with _without_dropout(module) as found:
                    reason = _compare(plan, _rewind_of(plan), tolerance) if found else reason
        except Unstackable as error:
            reason = str(error)
        finally:
            rewind()
    return f"cannot be vectorised: {reason}" if reason is not None else None


@dataclass(frozen=True, slots=True)
class _Plan:
    module: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Sequence[Any]
    rates: list[list[list[float]]]
    clip_val: float | None
    clip_algorithm: str | None
    accumulate: int
    context: Context

    def steps_after(self, number: int) -> bool:
        return (number + 1) % self.accumulate == 0 or number == len(self.batches) - 1


@dataclass(frozen=True, slots=True)
class _Trained:
    losses: list[float]
    buffers: dict[str, Tensor]


def _rewind_of(plan: _Plan) -> Callable[[], None]:
    roots = {"module": plan.module, "optimizer": plan.optimizer, "batches": list(plan.batches)}
    image, generators = ObjectImage(roots, stop=_is_lightning), RngState.take()

    def rewind() -> None:
        image.restore()
        generators.restore()

    return rewind


def _trace(plan: _Plan) -> str | None:
    # one native step: what of it a stack cannot follow
    before = PythonState(plan.module, _is_lightning)
    trained = {id(p) for group in plan.optimizer.param_groups for p in group["params"]}
    named = {name: p for name, p in plan.module.named_parameters() if id(p) in trained}
    with _noting_reads(plan.module) as read:
        loss, _ = Step(plan.module, plan.context)(plan.batches[0], 0)
    if read:
        return f"training_step reads {read[0]}, which stands still while candidates are trained together"
    changed = PythonState(plan.module, _is_lightning).changed(before)
    if changed:
        return f"training_step keeps state in `{changed[0]}`"
    if any(not parameter.requires_grad for parameter in named.values()):
        return "the optimizer has parameters that are frozen"
    if not loss.requires_grad:
        return "the loss depends on no parameter"
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    unused = [name for name, gradient in zip(named, gradients, strict=True) if gradient is None]
    return f"{unused[0]} gets no gradient, and is then passed over by the optimizer" if unused else None


def _compare(plan: _Plan, rewind: Callable[[], None], tolerance: float) -> str | None:
    one_by_one = []
    for candidate in range(_PAIR):
        rewind()
        one_by_one.append(_train_alone(plan, candidate))
    rewind()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            stacked = _train_pair(plan)
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        # what has no form for several sets of weights: control flow by values, `.item()`, some operations
        return _first_line(error)
    slow = [str(warning.message) for warning in caught if "performance drop" in str(warning.message)]
    if slow:
        operation = re.search(r"aten::\w+", slow[0])
        return f"{operation.group() if operation else 'an operation'} would run for one candidate at a time"
    for candidate, (alone, together) in enumerate(zip(one_by_one, stacked, strict=True)):
        difference = _difference(alone, together)
        if not difference <= tolerance:
            return f"candidate {candidate} differs by {difference:.1e} from the one trained alone"
    return None


def _train_alone(plan: _Plan, candidate: int) -> _Trained:
    step = Step(plan.module, plan.context)
    losses: list[float] = []
    buffers: dict[str, Tensor] = {}
    for number, batch in enumerate(plan.batches):
        if number % plan.accumulate == 0:
            plan.optimizer.zero_grad()
        loss, _ = step(batch, number)
        (loss / plan.accumulate if plan.accumulate > 1 else loss).backward()
        losses.append(float(loss.detach()))
        if number == 0:
            buffers = {name: buffer.clone() for name, buffer in plan.module.named_buffers()}
        if not plan.steps_after(number):
            continue
        _clip_alone(plan)
        for group, rate in zip(plan.optimizer.param_groups, plan.rates[number][candidate], strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        plan.optimizer.step()
    return _Trained(losses, buffers)


def _clip_alone(plan: _Plan) -> None:
    parameters = [p for group in plan.optimizer.param_groups for p in group["params"]]
    if plan.clip_val is None or float(plan.clip_val) <= 0:
        return
    if plan.clip_algorithm == "value":
        torch.nn.utils.clip_grad_value_(parameters, plan.clip_val)
    else:
        torch.nn.utils.clip_grad_norm_(parameters, plan.clip_val)


def _train_pair(plan: _Plan) -> list[_Trained]:
    trainer = VectorisedTrainer(
        plan.module,
        [plan.optimizer],
        candidates=_PAIR,
        rates=plan.rates.__getitem__,
        clip_val=plan.clip_val,
        clip_algorithm=plan.clip_algorithm,
        accumulate=plan.accumulate,
        context=plan.context,
    )
    buffers: list[dict[str, Tensor]] = []
    for number, batch in enumerate(plan.batches):
        trainer.step(batch, number, last=number == len(plan.batches) - 1)
        if number == 0:
            # later ones lean on weights, and Adam makes of a gradient's last digit a whole step where it is all noise
            buffers = [trainer.buffers_of(candidate) for candidate in range(_PAIR)]
    return [_Trained(losses, mine) for losses, mine in zip(trainer.losses, buffers, strict=True)]


def _difference(alone: _Trained, together: _Trained) -> float:
    # infinite where one diverged and the other did not
    ours, theirs = torch.tensor(together.losses), torch.tensor(alone.losses)[: len(together.losses)]
    pairs = [(ours, theirs)]
    pairs += [(together.buffers[name].float(), buffer.float()) for name, buffer in alone.buffers.items()]
    if len(together.losses) < len(alone.losses) and theirs[-1:].isfinite().all():
        return float("inf")
    return max(map(_relative, *zip(*pairs, strict=True)), default=0.0)


def _relative(ours: Tensor, theirs: Tensor) -> float:
    both = ours.isfinite() & theirs.isfinite()
    if not bool(both.eq(ours.isfinite() | theirs.isfinite()).all()):
        return float("inf")
    largest = float(theirs[both].abs().max()) if bool(both.any()) else 0.0
    return float((ours[both] - theirs[both]).abs().max()) / largest if largest > 0.0 else 0.0


@contextlib.contextmanager
def _noting_reads(module: nn.Module) -> Iterator[list[str]]:
    """Note which of :data:`COUNTERS` are read off the module, or off its Trainer, within the block."""
    read: list[str] = []
    with contextlib.ExitStack() as stack:
        for owner in (module, _trainer_of(module)):
            kind = owner.__class__
            if any(isinstance(getattr(kind, name, None), property) for name in COUNTERS):
                stack.enter_context(_watched(owner, kind, read))
        yield read


@contextlib.contextmanager
def _watched(owner: Any, kind: type, read: list[str]) -> Iterator[None]:
    def watch(name: str) -> property:
        native: Any = getattr(kind, name)

        def get(self: Any) -> Any:
            read.append(f"`{name}`")
            return native.fget(self)

        return property(get, native.fset)

    names = [name for name in COUNTERS if isinstance(getattr(kind, name, None), property)]
    watching = type(kind.__name__, (kind,), {"__module__": kind.__module__, **{name: watch(name) for name in names}})
    try:
        owner.__class__ = watching
    except TypeError:  # a class with slots, or of C: its reads are not seen
        yield
        return
    try:
        yield
    finally:
        owner.__class__ = kind


def _trainer_of(module: nn.Module) -> Any:
    try:
        return getattr(module, "trainer", None)
    except RuntimeError:  # Lightning says that it is not attached to one
        return None


def _is_lightning(kind: type) -> bool:
    # the Trainer and its parts, which training candidates stacked does not touch
    return not issubclass(kind, nn.Module) and any(base.__module__.split(".")[0] in _LIGHTNING for base in kind.__mro__)


def _on_gpu(module: nn.Module) -> bool:
    return any(parameter.device.type != "cpu" for parameter in module.parameters())


@contextlib.contextmanager
def _without_dropout(module: nn.Module) -> Iterator[bool]:
    layers = [part for part in module.modules() if isinstance(part, _DROPOUTS)]
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced(layer, "p", 0.0))
        yield bool(layers)


@contextlib.contextmanager
def _without_tf32() -> Iterator[None]:
    if not torch.cuda.is_available():
        yield
        return
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = False
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


def _first_line(error: object) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if ".item()" in text or "data-dependent control flow" in text:
        return "training_step reads a value off a tensor (`.item()`, or control flow that depends on data)"
    return text if len(text) <= 160 else f"{text[:157]}..."
