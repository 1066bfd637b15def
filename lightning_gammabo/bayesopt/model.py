"""GammaPrecisionGP: a Student-t process as a BoTorch model.

| symbol | meaning | shape |
| --- | --- | --- |
| ``b``, ``n``, ``d``, ``m`` | batch, observations, inputs, outputs | |
| ``K = L R`` | hyperparameter nodes | 1 if maximised, 12 lengthscales with 7 noise ratios each if averaged |
| ``k``, ``v`` | kernel; prior variance of a constant mean | |
| ``rho`` | noise variance over signal variance, in the kernel | ``(b x) L x R`` |
| ``a``, ``r`` | concentration and rate of the precision's prior | |

``f | tau ~ GP(0, (k + v) / tau)``, noise variance ``rho / tau``, ``tau ~ Gamma(a, r)``; and, with
``C = k(X, X) + v + rho I``,

- ``a_n = a + n / 2`` and ``r_n = r + y' C^-1 y / 2`` (eqs. 14, 15 with correlated residuals);
- ``f(x) | y`` is Student-t: ``df = 2 a_n``, ``loc = k' C^-1 y``, ``scale^2 = (r_n / a_n) (1 + v - k' C^-1 k)``;
- a node's weight is its prior times the multivariate Student-t density of ``y``.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from botorch.acquisition.objective import PosteriorTransform, ScalarizedPosteriorTransform
from botorch.exceptions.errors import BotorchTensorDimensionError, UnsupportedError
from botorch.models.model import FantasizeMixin, Model
from botorch.models.transforms.input import InputTransform
from botorch.models.transforms.outcome import OutcomeTransform, Standardize
from botorch.models.utils.assorted import fantasize as fantasizing
from botorch.posteriors.posterior import Posterior
from botorch.sampling.base import MCSampler
from torch import Tensor

from lightning_gammabo.bayesopt.factors import Factors, make_factors, marginals
from lightning_gammabo.bayesopt.hyperparameters import KERNELS, HyperNodes, Kernel, find_nodes
from lightning_gammabo.bayesopt.posterior import StudentTPosterior
from lightning_gammabo.bayesopt.training_data import appended, broadcast, validate

__all__ = ["GammaPrecisionGP", "HyperNodes"]


class GammaPrecisionGP(Model, FantasizeMixin):
    """Exact Student-t process regression: a Gaussian process whose precision has a Gamma prior, integrated out.

    The model is fitted when it is made; no ``fit_gpytorch_mll`` is needed. By default its hyperparameters are averaged
    over a grid (one batched Cholesky factorisation), so that posteriors are mixtures of Student-t's. For more than one
    input the ratios of the lengthscales are maximised first, and the grid is laid over their common size.

    Inputs are expected in the unit cube (or give ``input_transform=Normalize(d)``). Outcomes are standardised unless
    another transform is given: the priors are made for both. Arithmetic is in double precision; posteriors come in the
    data type of the training data.

    Joint samples cost one ``q x q`` covariance and factor for each node that a sample picks: with 1,000 points some
    10 MB and 30 ms each, and at most about 65 nodes. Few samples of many points pick few nodes;
    ``hyperparameters="maximise"`` or a larger ``prune`` leaves fewer to pick.

    Args:
        train_X: inputs, ``b x n x d``.
        train_Y: outcomes, ``b x n x m``.
        kernel: ``"matern52"`` or ``"rbf"``.
        hyperparameters: ``"average"``, ``"maximise"``, or nodes of one's own.
        precision_prior: concentration and rate of the precision's Gamma prior, for standardised outcomes; both ``inf``
            for a known precision of 1, which is a Gaussian process.
        prune: nodes that weigh less than this share of the best node are left out; 1.0 keeps the best one alone.
        outcome_transform: applied to the outcomes; ``"standardize"`` for BoTorch's ``Standardize``, None for none.
        input_transform: applied to the inputs.

    Raises:
        BotorchTensorDimensionError: if the shapes do not fit.
        InputDataError: if the data types differ or a value is not finite.
        ValueError: if an option is unknown.

    Example:
        >>> import torch
        >>> X = torch.tensor([[0.1], [0.5], [0.9]], dtype=torch.float64)
        >>> model = GammaPrecisionGP(X, (X - 0.4) ** 2)
        >>> posterior = model.posterior(torch.tensor([[0.45]], dtype=torch.float64))
        >>> posterior.df, round(posterior.mean.item(), 3)
        (6.0, 0.024)
    """

    train_X: Tensor
    transformed_X: Tensor
    transformed_Y: Tensor
    lengthscales: Tensor
    noise_ratios: Tensor
    log_prior: Tensor

    def __init__(
        self,
        train_X: Tensor,
        train_Y: Tensor,
        *,
        kernel: Kernel = "matern52",
        hyperparameters: Literal["average", "maximise"] | HyperNodes = "average",
        precision_prior: tuple[float, float] = (1.5, 1.5),
        prune: float = 1e-3,
        outcome_transform: OutcomeTransform | Literal["standardize"] | None = "standardize",
        input_transform: InputTransform | None = None,
    ) -> None:
        super().__init__()
        validate(train_X, train_Y)
        if kernel not in KERNELS:
            raise ValueError(f"GammaPrecisionGP(kernel={kernel!r}): the kernels are {', '.join(KERNELS)}")
        if len(precision_prior) != 2 or not (
            all(0.0 < p < math.inf for p in precision_prior) or all(p == math.inf for p in precision_prior)
        ):
            raise ValueError(
                f"GammaPrecisionGP(precision_prior={precision_prior!r}): need two positive numbers, or inf twice"
            )
        if not 0.0 <= prune <= 1.0:
            raise ValueError(f"GammaPrecisionGP(prune={prune!r}): need a share between 0 and 1")
        if outcome_transform == "standardize":
            outcome_transform = Standardize(m=train_Y.shape[-1], batch_shape=train_Y.shape[:-2])
        targets, inputs = train_Y, train_X
        if outcome_transform is not None:
            outcome_transform.to(train_Y).train()
            targets = _transformed_outcome(outcome_transform, train_Y, train_X)
        if input_transform is not None:
            inputs = input_transform.to(train_X).train()(train_X)
        nodes = hyperparameters
        if not isinstance(nodes, HyperNodes):
            nodes = find_nodes(nodes, kernel, inputs.detach().double(), targets.detach().double(), precision_prior)
        self.kernel: Kernel = kernel
        self.precision_prior = precision_prior
        self.prune = prune
        self._assemble(train_X, inputs, targets, nodes, outcome_transform, input_transform)

    def _assemble(
        self,
        train_X: Tensor,
        inputs: Tensor,
        targets: Tensor,
        nodes: HyperNodes,
        outcome_transform: OutcomeTransform | None,
        input_transform: InputTransform | None,
    ) -> None:
        self.register_buffer("train_X", train_X)
        self.register_buffer("transformed_X", inputs)
        self.register_buffer("transformed_Y", targets)
        self.register_buffer("lengthscales", nodes.lengthscales.double())
        self.register_buffer("noise_ratios", nodes.noise_ratios.double().contiguous())
        self.register_buffer("log_prior", nodes.log_prior.double().contiguous())
        if outcome_transform is not None:
            self.outcome_transform = outcome_transform
        if input_transform is not None:
            self.input_transform = input_transform
        self._factors: Factors | None = None
        self.eval()

    def _with_data(
        self, train_X: Tensor, inputs: Tensor, targets: Tensor, outcome_transform: OutcomeTransform | None
    ) -> GammaPrecisionGP:
        # a model of the same hyperparameters' nodes with other data
        new = type(self).__new__(type(self))
        Model.__init__(new)
        new.kernel, new.precision_prior, new.prune = self.kernel, self.precision_prior, self.prune
        new._assemble(train_X, inputs, targets, self.nodes, outcome_transform, getattr(self, "input_transform", None))
        return new

    # ------------------------------------------------------------------ what BoTorch asks of a model

    def train(self, mode: bool = True) -> GammaPrecisionGP:
        """Set the mode of the transforms; the hyperparameters are fixed when the model is made.

        Args:
            mode: whether to train.

        Returns:
            The model.
        """
        torch.nn.Module.train(self, mode)
        return self

    def eval(self) -> GammaPrecisionGP:
        """Set the transforms to evaluation.

        Returns:
            The model.
        """
        return self.train(False)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take over buffers (data and nodes) of a model of the same shapes.

        Args:
            state_dict: what ``state_dict`` gave.
            strict: whether the keys have to match.
            assign: as in torch.

        Returns:
            torch's record of missing and unexpected keys.
        """
        self._factors = None
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    @property
    def nodes(self) -> HyperNodes:
        """The hyperparameters' nodes, those that are left out included."""
        return HyperNodes(self.lengthscales, self.noise_ratios, self.log_prior)

    @property
    def node_weights(self) -> Tensor:
        """Posterior weights of the nodes that take part in posteriors, ``b x K x m``."""
        return self._fit().weights

    @property
    def num_outputs(self) -> int:
        """``m``."""
        return int(self.transformed_Y.shape[-1])

    @property
    def batch_shape(self) -> torch.Size:
        """``b``."""
        return broadcast(self.transformed_X.shape[:-2], self.transformed_Y.shape[:-2])

    @property
    def train_inputs(self) -> tuple[Tensor]:
        """The inputs as they were given, in a tuple as GPyTorch has it."""
        return (self.train_X,)

    def posterior(  # type: ignore[override]  # the mixin has its own, looser signature
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Posterior:
        """The joint posterior of ``q`` points.

        Args:
            X: ``b x q x d``.
            output_indices: outputs wanted; None for all.
            observation_noise: whether it is about new observations rather than about the function.
            posterior_transform: applied last; an affine transform of one output is exact.

        Returns:
            A :class:`StudentTPosterior` unless an outcome or posterior transform makes it another.

        Raises:
            UnsupportedError: if ``observation_noise`` is a tensor (the noise is inferred, a part of the kernel), or the
                transform weighs several outputs: their sum is no Student-t.
        """
        if isinstance(observation_noise, Tensor):
            raise UnsupportedError("observation_noise is True or False: GammaPrecisionGP infers it, as a ratio rho")
        if output_indices is not None:
            return self.subset_output(output_indices).posterior(
                X, observation_noise=observation_noise, posterior_transform=posterior_transform
            )
        self.eval()
        inputs = self.transform_inputs(X).double()
        posterior: Posterior = marginals(
            self.kernel, self._fit(), inputs, observation_noise=observation_noise, dtype=self.transformed_Y.dtype
        )
        transform = getattr(self, "outcome_transform", None)
        if type(transform) is Standardize and isinstance(posterior, StudentTPosterior):
            posterior = posterior.affine(transform.means, transform.stdvs)
        elif transform is not None:
            posterior = transform.untransform_posterior(posterior, **_x_for(transform.untransform_posterior, X))
        if posterior_transform is None:
            return posterior
        if isinstance(posterior_transform, ScalarizedPosteriorTransform) and isinstance(posterior, StudentTPosterior):
            return _scaled(posterior, posterior_transform)
        transformed: Posterior = posterior_transform(posterior, **_x_for(posterior_transform.forward, X))
        return transformed

    def condition_on_observations(self, X: Tensor, Y: Tensor, **kwargs: Any) -> GammaPrecisionGP:
        """The model with more data and the same nodes, whose weights and precision are updated exactly.

        Args:
            X: ``b x n' x d``.
            Y: ``b' x n' x m`` with ``b'`` broadcastable with ``b``; of fantasies, ``s x b x n' x m``.
            **kwargs: ``propagate_grads`` is accepted (gradients always propagate).

        Returns:
            A new model; its outcome transform is not refitted, as is BoTorch's convention.

        Raises:
            UnsupportedError: if the noise of the observations is given.
            BotorchTensorDimensionError: if the shapes do not fit.
        """
        if kwargs.keys() - {"propagate_grads"}:
            raise UnsupportedError(f"GammaPrecisionGP infers its noise; it cannot condition with {sorted(kwargs)}")
        if X.shape[-1] != self.train_X.shape[-1] or Y.shape[-2:] != (X.shape[-2], self.num_outputs):
            raise BotorchTensorDimensionError(
                f"need X b x n x {self.train_X.shape[-1]} and Y b x n x {self.num_outputs}, "
                f"got {tuple(X.shape)} and {tuple(Y.shape)}"
            )
        transform = getattr(self, "outcome_transform", None)
        if transform is not None:
            Y = _transformed_outcome(transform.eval(), Y, X)
        preprocess = getattr(self, "input_transform", None)
        inputs = X if preprocess is None else preprocess.preprocess_transform(X)
        return self._with_data(
            appended(self.train_X, X),
            appended(self.transformed_X, inputs),
            appended(self.transformed_Y, Y),
            transform,
        )

    def fantasize(
        self, X: Tensor, sampler: MCSampler, observation_noise: Tensor | None = None, **kwargs: Any
    ) -> GammaPrecisionGP:
        """Models that were conditioned on samples of new observations.

        Args:
            X: ``b x n' x d``.
            sampler: draws the samples; their sample shape ``s`` becomes the first batch dimension.
            observation_noise: None only: the noise is inferred.
            **kwargs: for :meth:`condition_on_observations`.

        Returns:
            A model of batch shape ``s x b``.

        Raises:
            UnsupportedError: if the observation noise is given.
        """
        if observation_noise is not None:
            raise UnsupportedError("GammaPrecisionGP infers its noise; fantasize with observation_noise=None")
        with fantasizing():
            if X.shape[-2] == 0:
                batch = broadcast(X.shape[:-2], self.batch_shape)
                samples = X.new_empty(sampler.sample_shape + batch + torch.Size([0, self.num_outputs]))
            else:
                samples = sampler(self.posterior(X, observation_noise=True))
            return self.condition_on_observations(X, samples, **kwargs)

    def subset_output(self, idcs: list[int]) -> GammaPrecisionGP:
        """The model of some of the outputs.

        Args:
            idcs: indices of the outputs; negative ones count from the last.

        Returns:
            A model with the same inputs and nodes.

        Raises:
            IndexError: if there is no such output.
        """
        m = self.num_outputs
        if not idcs or any(not -m <= i < m for i in idcs):
            raise IndexError(f"subset_output({idcs}): the outputs are 0 to {m - 1}")
        wanted = [i % m for i in idcs]
        transform = getattr(self, "outcome_transform", None)
        return self._with_data(
            self.train_X,
            self.transformed_X,
            self.transformed_Y[..., wanted],
            None if transform is None else transform.subset_output(wanted),
        )

    def _fit(self) -> Factors:
        if self._factors is None or self._factors.inputs.device != self.transformed_X.device:
            x, y = self.transformed_X.double(), self.transformed_Y.double()
            self._factors = make_factors(self.kernel, x, y, self.nodes, self.precision_prior, self.prune)
        return self._factors


def _scaled(posterior: StudentTPosterior, transform: Any) -> StudentTPosterior:
    weights = transform.weights.to(posterior.loc)
    if weights.numel() != 1:
        raise UnsupportedError(
            f"a weighted sum of {weights.numel()} Student-t outputs is no Student-t: give a Monte Carlo acquisition "
            "objective=LinearMCObjective(weights), or choose an output by subset_output([i])"
        )
    return posterior.affine(torch.full_like(weights, transform.offset).unsqueeze(0), weights.unsqueeze(0))


def _transformed_outcome(transform: OutcomeTransform, Y: Tensor, X: Tensor) -> Tensor:
    return transform(Y, **_x_for(transform.forward, X))[0]  # type: ignore[no-any-return]


def _x_for(function: Any, X: Tensor) -> dict[str, Tensor]:
    # newer BoTorch hands X to transforms, older has no such argument
    return {"X": X} if "X" in inspect.signature(function).parameters else {}
