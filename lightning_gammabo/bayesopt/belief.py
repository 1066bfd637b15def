"""What a search believes: a BoTorch model of the standardised scores, and its fantasies of pending trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_gammabo.bayesopt.surrogate import Units

if TYPE_CHECKING:
    from botorch.acquisition.acquisition import AcquisitionFunction
    from botorch.models.model import Model

    from lightning_gammabo.bayesopt.posterior import StudentTPosterior

__all__ = ["Belief", "condition", "in_double", "log_values", "marginals_at", "mean_at"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Belief:
    """The surrogate after the tells so far, in standardised scores.

    Args:
        x: places, ``n x 1``.
        y: standardised scores, ``n x 1``.
        units: of the scores.
        top: the best score.
        spread: greatest less smallest score, in the units' standard deviations without drawing together.
        model: the surrogate of the told trials.
        ahead: the surrogate that proposals are made from: ``model``, or its fantasies while trials are pending.
        best: the incumbent; of fantasies one for each.
        fantasies: how many they are; 0 while none is pending.
    """

    x: Tensor
    y: Tensor
    units: Units
    top: float
    spread: float
    model: Model
    ahead: Model
    best: Tensor
    fantasies: int


def condition(
    make_model: Callable[[Tensor, Tensor], Model],
    places: Array,
    scores: Array,
    pending: Array,
    *,
    drawn_at: float,
    deterministic: bool,
    fantasies: int,
    seed: int,
) -> Belief:
    """Fit a model to what was told, and let it imagine what is pending.

    Args:
        make_model: fits a model to places ``n x 1`` and standardised scores ``n x 1``.
        places: of the told trials, ``n`` >= 1.
        scores: theirs, ``n``.
        pending: places of the pending trials, ``p``.
        drawn_at: where bad scores are drawn together, see :meth:`Units.of`.
        deterministic: whether the best score is the incumbent, rather than the best mean among the places tried.
        fantasies: how many draws of what the pending trials may score; 1 for their mean in place of a draw.
        seed: of the draws.

    Returns:
        The belief.
    """
    units = Units.of(scores, drawn_at)
    x, y = (torch.as_tensor(values).unsqueeze(-1) for values in (places, units.standard(scores)))
    ahead = model = make_model(x, y)
    all_x, all_y = x, y
    if pending.size:
        ahead, drawn = _fantasise(model, torch.as_tensor(pending).unsqueeze(-1), fantasies, seed)
        all_x = torch.cat([x, torch.as_tensor(pending).unsqueeze(-1)])
        all_y = torch.cat([y.expand(len(drawn), -1, -1), drawn], dim=-2)
    worth = all_y.squeeze(-1) if deterministic else mean_at(ahead, all_x)
    return Belief(
        x=x,
        y=y,
        units=units,
        top=float(scores.max()),
        spread=float((0.5 * scores.max() - 0.5 * scores.min()) / (0.5 * units.unit)),
        model=model,
        ahead=ahead,
        best=worth.amax(dim=-1),
        fantasies=fantasies if pending.size else 0,
    )


def _fantasise(model: Model, pending: Tensor, count: int, seed: int) -> tuple[Model, Tensor]:
    # the model conditioned on joint draws s x p x 1 of what the pending trials may score, and the draws
    from botorch.models.utils.assorted import fantasize
    from botorch.sampling.get_sampler import get_sampler

    with fantasize():
        posterior: Any = model.posterior(pending, observation_noise=True)
        sampler = get_sampler(posterior, torch.Size([count]), seed=seed)
        drawn: Tensor = posterior.mean.unsqueeze(0) if count == 1 else sampler(posterior)
        return model.condition_on_observations(pending, drawn), drawn


def mean_at(model: Model, x: Tensor) -> Tensor:
    """Posterior means of one output.

    Args:
        model: any model of one output.
        x: places, ``n x 1``.

    Returns:
        ``b x n`` for a model of batch shape ``b``.
    """
    posterior: Any = model.posterior(x)
    mean: Tensor = posterior.mean
    return mean.squeeze(-1)


def marginals_at(model: Model, places: Array, *, observation_noise: bool) -> StudentTPosterior:
    """Marginals at some places, those of a Gaussian model too as Student-t's.

    Args:
        model: a model of one output.
        places: ``g``.
        observation_noise: whether they are about new observations.

    Returns:
        Posterior of shape ``g x 1 x 1``.
    """
    from lightning_gammabo.bayesopt.posterior import StudentTPosterior

    posterior: Any = model.posterior(torch.as_tensor(places).view(-1, 1, 1), observation_noise=observation_noise)
    if isinstance(posterior, StudentTPosterior):
        return posterior
    return StudentTPosterior(float("inf"), posterior.mean, posterior.variance.sqrt())


def log_values(function: AcquisitionFunction, places: Array, *, log: bool) -> Array:
    """An acquisition in logs, in one call.

    Args:
        function: an acquisition of one point.
        places: ``g``.
        log: whether its values are logs.

    Returns:
        ``g``.
    """
    value: Tensor = function(torch.as_tensor(places).view(-1, 1, 1))
    # by rounding BoTorch's EI without a log may be less than 0
    return np.asarray((value if log else value.clamp_min(0.0).log()).numpy())


@contextmanager
def in_double() -> Iterator[None]:
    """Arithmetic on the CPU without gradients, whatever the caller has set; all tensors of a search are double."""
    here = nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")
    with torch.inference_mode(False), torch.no_grad(), here:
        yield
